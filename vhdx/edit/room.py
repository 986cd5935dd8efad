"""Where in a file something new can be: behind its end, and where nothing claims the bytes."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vhdx.claims import MOST_MIB
from vhdx.ranges import Range, Ranges
from vhdx.structures.bat import OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB
from vhdx.table import BlockTable

# Entries of these states may keep an offset that means nothing any more.
_PLACELESS = (BlockState.NOT_PRESENT, BlockState.ZERO)


class Place(NamedTuple):
    """`length` bytes of the file from `start`; `is_new` ones are behind its end, and zeros."""

    start: int
    length: int
    is_new: bool


class Room:
    """The free ranges of a file, whole MiB, and its end. What is given back is free after `settle` alone."""

    def __init__(self, free: Ranges, end: int) -> None:
        """`free` are bytes that nothing claims, below `end`, the file's end in whole MiB."""
        self._free = [[part.start, part.end] for part in free]
        self._given: list[Range] = []
        # Gaps before these are too short for so many bytes: they only become shorter until something is given back.
        self._looked: dict[int, int] = {}
        self.end = end

    @classmethod
    def of(cls, table: BlockTable, file_size: int) -> "Room":
        """The room of a file with this table; the table's structures are all regions, known and unknown, and the log.

        A place that an UNMAPPED or UNDEFINED entry keeps is not free: it may be wanted again, and it is evidence.
        """
        end_mib = max(-(-file_size // MIB), _claims_end(table))
        claimed = _claimed_mib(table, end_mib)
        free = Ranges.where(~claimed)
        return cls(Ranges(free.start * MIB, free.length * MIB), end_mib * MIB)

    @property
    def free(self) -> Ranges:
        """What is free below the end now."""
        return Ranges.of(Range.between(start, end) for start, end in self._free)

    def take(self, length: int) -> Place:
        """Room for `length` bytes, whole MiB: the first that is free, else behind the end."""
        for number in range(self._looked.get(length, 0), len(self._free)):
            gap = self._free[number]
            if gap[1] - gap[0] >= length:
                gap[0] += length
                self._looked[length] = number
                return Place(gap[0] - length, length, is_new=False)
        self._looked[length] = len(self._free)
        return self.take_behind_end(length)

    def take_behind_end(self, length: int) -> Place:
        """Room for `length` bytes, whole MiB, at the file's end."""
        self.end += length
        return Place(self.end - length, length, is_new=True)

    def take_below(self, length: int, limit: int) -> int | None:
        """The start of the first free room for `length` bytes that ends before `limit`; None where there is none."""
        for number in range(self._looked.get(length, 0), len(self._free)):
            gap = self._free[number]
            if gap[0] + length > limit:
                return None
            if gap[1] - gap[0] >= length:
                gap[0] += length
                self._looked[length] = number
                return gap[0] - length
        return None

    def give(self, part: Range) -> None:
        """Give back what a change that is not durable yet leaves."""
        self._given.append(part)

    def settle(self) -> tuple[Range, ...]:
        """What was given back is free from now on: that nothing leads there any more is durable. Returns it."""
        given, self._given = tuple(self._given), []
        if given:
            merged = Ranges.of([*given, *(Range.between(start, end) for start, end in self._free)])
            self._free, self._looked = [[part.start, part.end] for part in merged], {}
        return given

    def cut(self) -> int:
        """The end without the free room in front of it, which is let go; for a file that is made shorter."""
        while self._free and self._free[-1][1] == self.end:
            self.end = self._free.pop()[0]
        self._looked = {}
        return self.end


def _placed(table: BlockTable) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    """MiB of the file where entries have a place, or keep one, and which of them are bitmaps' of one MiB."""
    period = table.geometry.chunk_ratio + 1
    for first, entries in table.used_entries():
        used = np.flatnonzero((entries >> OFFSET_SHIFT > 0) & ~np.isin(entries & STATE_MASK, _PLACELESS))
        yield entries[used] >> OFFSET_SHIFT, (first + used + 1) % period == 0


def _claims_end(table: BlockTable) -> int:
    """The first MiB behind all blocks: writers leave out what of the last one is past the end of the disk."""
    block_mib = table.geometry.block_size // MIB
    ends = (np.where(is_bitmap, places + 1, places + block_mib).max(initial=0) for places, is_bitmap in _placed(table))
    return min(int(max(ends, default=0)), MOST_MIB)


def _claimed_mib(table: BlockTable, end_mib: int) -> npt.NDArray[np.bool_]:
    """For each MiB of the file whether anything claims it, or keeps it."""
    claimed = np.zeros(end_mib, dtype=np.bool_)
    claimed[: HEADER_AREA_SIZE // MIB] = True
    for one in table.structures:
        claimed[one.start // MIB : -(-one.end // MIB)] = True
    for places, is_bitmap in _placed(table):
        claimed[places[places < end_mib]] = True
        for further in range(1, table.geometry.block_size // MIB):
            rest = places[~is_bitmap] + further
            claimed[rest[rest < end_mib]] = True
    return claimed
