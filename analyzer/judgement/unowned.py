"""Room in a file that nothing owns, and what of it holds data: the one finder that check, recover and carve share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vhdx.ranges import Range, Ranges
from vhdx.source import extents_of, holds_something
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB
from vhdx.table import BlockTable

MOST_READ = 1 << 16
"""MiB that are read to know whether they hold anything: room for 64 GiB of zeros that a host wrote out. What a host
keeps as holes is not read at all."""
# In one free stretch: a file of zeros of terabytes would otherwise give a place for each MiB.
_MOST_STARTS = 1 << 16
# A terabyte of file at a time: a log may claim 128 TiB, and temporary arrays must not grow with that.
_WINDOW = 1 << 20


@dataclass(frozen=True, slots=True)
class Unowned:
    """What no structure, block or kept place owns, in whole MiB of the file."""

    free: Ranges
    held: Ranges
    """Those of them that hold anything, or could not be read."""
    looked_at_all: bool = True
    """Not so where more was free than is read."""

    def starts(self, block_mib: int, grid: int | None = None) -> Iterator[int]:
        """MiB at which a whole block could begin that holds anything, sorted.

        With `grid` those alone that are whole blocks away from that MiB.
        """
        step = 1 if grid is None else block_mib
        for free in self.free:
            first = free.start + ((grid or 0) - free.start) % step
            for start in range(first, min(free.end - block_mib + 1, first + _MOST_STARTS * step), step):
                if self.held.touches(Range(start, block_mib)):
                    yield start

    def blocks(self, block_mib: int) -> int:
        """How many whole blocks, side by side, could be there that hold anything."""
        count = 0
        for free in self.free:
            position = free.start
            for held in self.held.within(free):
                position = max(position, min(held.start, free.end - block_mib))
                fitting = max(0, min(-(-(held.end - position) // block_mib), (free.end - position) // block_mib))
                count, position = count + fitting, position + fitting * block_mib
        return count


def owners_of(table: BlockTable) -> npt.NDArray[np.uint8]:
    """One byte for each whole MiB of the file: not 0 where a structure, a block or a kept place is."""
    owners, _ = table.claims.owners(table.all_places())
    owners = owners[: table.source.size // MIB]
    owners[: HEADER_AREA_SIZE // MIB] = 1
    for one in table.structures:
        owners[one.start // MIB : -(-one.end // MIB)] = 1
    return owners


def free_room(owners: npt.NDArray[np.uint8]) -> Ranges:
    """The MiB that nobody owns; a window at a time, for a log may claim 128 TiB of file."""
    turns = []
    before = True
    for start in range(0, len(owners), _WINDOW):
        owned = owners[start : start + _WINDOW] != 0
        turns.append(start + np.flatnonzero(np.diff(owned, prepend=before)))
        before = bool(owned[-1])
    edges = np.concatenate([*turns, np.array([] if before else [len(owners)], dtype=np.int64)]).astype(np.int64)
    return Ranges.between(edges[::2], edges[1::2])


def unowned_in(table: BlockTable, looked_at: Callable[[int], None] = lambda _: None) -> Unowned:
    """What nothing owns, each MiB that a host does not keep as a hole read until something is found.

    `looked_at` hears of the bytes that are.
    """
    free = free_room(owners_of(table))
    if not len(free):
        return Unowned(free, free)
    extents = (Range.between(part.start // MIB, -(-part.end // MIB)) for part in extents_of(table.source))
    stored = free & Ranges.of(extents)
    # In order from the front until the budget is gone: what was not read is said to be unknown, not empty.
    held, budget = [], MOST_READ
    for part in stored:
        for mib in range(part.start, part.start + min(part.length, budget)):
            held += [Range(mib, 1)] * holds_something(table.source, mib * MIB, MIB, unreadable=True)
            looked_at(MIB)
        budget = max(0, budget - part.length)
    return Unowned(free, Ranges.of(held), stored.size <= MOST_READ)
