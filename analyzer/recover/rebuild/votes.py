"""Where blocks belong by the ends of files: each file whose end lies in a block says what stands there, and has a vote.

File systems tell to the byte where files end. The last byte of a file is seldom zero, and what is behind it in its last
cluster is zeros where the system cleared it. A block that is not the right one has no reason to show either.
"""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.progress import Progress, no_progress
from analyzer.recover.rebuild import signatures_ext, signatures_ntfs
from analyzer.recover.rebuild.tails import SECTOR, Tail, Tails
from analyzer.recover.rebuild.workspace import payload_entries, places_of
from vhdx.image import Image
from vhdx.structures.constants import MIB

Column = npt.NDArray[np.int64]
# Ends of files that are looked at, and those of one block that are kept: three of four of so many say what all say.
_MOST_ENDS, _MOST_OF_BLOCK = 1 << 22, 128
# Rooms that overlap are looked at in parts of the file of this length: their sectors are counted once.
_WINDOW = 64 * MIB
# All room that can be without an owner: a minute or two, each MiB of which is read once.
_MOST_ROOMS = 1 << 16
# Blocks that are read to know whether ends are right in them.
_MOST_COUNTED = 64
# Of four files that end in a block three have to end there. Some systems leave old bytes behind an end, and some files
# end with zeros: what a disk has of these shows in the blocks that have a place, and votes count only where hardly any
# of at least eight ends there is another.
_IN_FAVOUR, _OF = 3, 4
_MEASURED, _LEAST_RATE = 8, 0.8
# One end is right by chance where a block has zeros behind a byte at that very place: two are believed, and only where
# no other block has half as many.
_LEAST_VOTES = 2
# Fewer bytes of zeros behind an end than this say little.
_LEAST_SLACK = 4
# Bytes that are looked at together; every cluster is a multiple of them.


class Vote(NamedTuple):
    """How many of the files that end in a block of the disk do so in the room at a byte of the file."""

    start: int
    hits: int
    total: int


class Ends(NamedTuple):
    """Ends of files by block of the disk, and from there the byte behind the last one and the end of its cluster."""

    block: Column
    end: Column
    limit: Column


@dataclass(frozen=True)
class Votes:
    """The votes of the volumes on a disk, as it is put together so far."""

    tails: Tails
    image: Image

    @cached_property
    def _ends(self) -> Ends:
        found = chain(signatures_ext.file_ends(self.image), signatures_ntfs.file_ends(self.image))
        return Ends(*np.unique(self._chosen(islice(found, _MOST_ENDS)), axis=0).T)

    def _chosen(self, found: Iterable[tuple[int, int]]) -> Column:
        """Rows of `Ends`, the first of each block, that say something."""
        rows, counts = array("q"), Counter[int]()
        for end, limit in found:
            block = (end - 1) // self._size
            start = block * self._size
            says = limit <= start + self._size and limit - end >= _LEAST_SLACK and (limit - start) % SECTOR == 0
            if says and counts[block] < _MOST_OF_BLOCK:
                counts[block] += 1
                rows.extend((block, end - start, limit - start))
        return np.frombuffer(rows, dtype=np.int64).reshape(-1, 3) if rows else np.empty((0, 3), np.int64)

    @property
    def _size(self) -> int:
        return self.image.geometry.block_size

    @cached_property
    def _blocks(self) -> tuple[Column, Column, Column]:
        """Blocks of the disk in which files end, how many do so in each, and for each end the number of its block."""
        blocks, number, totals = np.unique(self._ends[0], return_inverse=True, return_counts=True)
        return blocks, totals, number

    def _hits(self, tail: Tail) -> Column:
        """For each block in which files end how many do so in a part of the file."""
        (_, end, limit), (blocks, _, number) = self._ends, self._blocks
        sector, length = np.divmod(end - 1, SECTOR)
        right = (tail.lengths[sector] == length + 1) & (tail.held[limit // SECTOR] == tail.held[sector + 1])
        return np.bincount(number[right], minlength=len(blocks))

    def agree(self, pairs: Iterable[tuple[int, int]]) -> bool:
        """Whether hardly any end of a file says that blocks are not at these bytes of the file; so where none is."""
        hits, total = self._counted(pairs)
        return hits * _OF >= total * _IN_FAVOUR

    def _counted(self, pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
        """Of files that end in blocks, the first of those given, how many do so at these bytes of the file; and all."""
        blocks, totals, _ = self._blocks
        numbers = {block: number for number, block in enumerate(blocks.tolist())}
        some = list(islice(((numbers[block], start) for block, start in pairs if block in numbers), _MOST_COUNTED))
        hits = (self._hits(self.tails.of(start, self._size))[number] for number, start in some)
        return sum(map(int, hits)), sum(int(totals[number]) for number, _ in some)

    @property
    def ends(self) -> int:
        """How many ends of files are known."""
        return len(self._ends[0])

    @cached_property
    def count(self) -> bool:
        """Whether ends are right in the blocks that have a place, or too few of these to tell."""
        blocks, places = self._blocks[0], places_of(payload_entries(self.image.table))
        known = ((block, int(places[block])) for block in blocks.tolist() if block < len(places) and places[block])
        hits, total = self._counted(known)
        return len(blocks) > 0 and (total < _MEASURED or hits >= total * _LEAST_RATE)

    def won(self, rooms: Sequence[int], progress: Progress = no_progress) -> Iterator[tuple[int, Vote]]:
        """Blocks without a place and the one room for which each votes, and that no other block votes for.

        `progress` hears of bytes of the rooms that are read.
        """
        by_block, by_room = defaultdict[int, list[Vote]](list), defaultdict[int, list[int]](list)
        if not self.count:
            return
        blocks, totals, _ = self._blocks
        places = places_of(payload_entries(self.image.table))
        is_open = np.array([block < len(places) and not places[block] for block in blocks.tolist()], dtype=np.bool_)
        for start, tail in self._rooms(rooms[:_MOST_ROOMS], progress):
            hits = self._hits(tail)
            for index in np.flatnonzero(hits * is_open).tolist():
                by_block[int(blocks[index])].append(Vote(start, int(hits[index]), int(totals[index])))
                by_room[start].append(int(hits[index]))
        for block, votes in by_block.items():
            best, *others = sorted(votes, key=lambda vote: -vote.hits)
            rivals = [*(vote.hits for vote in others), *sorted(by_room[best.start])[:-1]]
            enough = best.hits >= _LEAST_VOTES and best.hits * _OF >= best.total * _IN_FAVOUR
            if enough and best.hits == max(by_room[best.start]) and all(2 * hits <= best.hits for hits in rivals):
                yield block, best

    def _rooms(self, rooms: Sequence[int], progress: Progress) -> Iterator[tuple[int, Tail]]:
        """Rooms, sorted, and where content ends in them; what several of them have in common is looked at once."""
        first = 0
        while first < len(rooms):
            last = bisect_left(rooms, rooms[first] + _WINDOW, first + 1)
            apart = (at for at in range(first + 1, last) if rooms[at] > rooms[at - 1] + self._size)
            last = next(apart, last)
            whole = self.tails.of(rooms[first], rooms[last - 1] + self._size - rooms[first], progress)
            yield from ((start, whole.part(start - rooms[first], self._size)) for start in rooms[first:last])
            first = last
