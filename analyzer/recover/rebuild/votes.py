"""Where blocks belong by the ends of files: each file whose end lies in a block says what stands there, and has a vote.

File systems tell to the byte where files end. The last byte of a file is seldom zero, and what is behind it in its last
cluster is zeros where the system cleared it. A block that is not the right one has no reason to show either.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.recover.rebuild import signatures_ext, signatures_ntfs
from analyzer.recover.rebuild.workspace import payload_entries, places_of
from vhdx.image import Image
from vhdx.source import ByteSource, read_if_possible

Column = npt.NDArray[np.int64]
# Ends of files that are asked, and rooms that are looked through: a minute or two at the most.
_MOST_ENDS, _MOST_ROOMS, _MOST_READ = 1 << 17, 1 << 14, 1 << 35
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
_WORD = 8


class Vote(NamedTuple):
    """How many of the files that end in a block of the disk do so in the room at a byte of the file."""

    start: int
    hits: int
    total: int


@dataclass(frozen=True)
class Votes:
    """The votes of the volumes on a disk, as it is put together so far."""

    source: ByteSource
    image: Image

    @cached_property
    def _ends(self) -> tuple[Column, Column, Column]:
        """Of each end of a file its block, and from there the byte behind its last one and the end of its cluster."""
        found = chain(signatures_ext.file_ends(self.image), signatures_ntfs.file_ends(self.image))
        pairs = np.array(sorted(set(islice(found, _MOST_ENDS))), dtype=np.int64).reshape(-1, 2)
        block = (pairs[:, 0] - 1) // self._size
        inside = pairs - block[:, None] * self._size
        chosen = (
            (inside[:, 1] <= self._size) & (pairs[:, 1] - pairs[:, 0] >= _LEAST_SLACK) & (inside[:, 1] % _WORD == 0)
        )
        return block[chosen], inside[chosen, 0], inside[chosen, 1]

    @property
    def _size(self) -> int:
        return self.image.geometry.block_size

    @cached_property
    def _blocks(self) -> tuple[Column, Column, Column]:
        """Blocks of the disk in which files end, how many do so in each, and for each end the number of its block."""
        blocks, number, totals = np.unique(self._ends[0], return_inverse=True, return_counts=True)
        return blocks, totals, number

    def _hits(self, start: int) -> Column:
        """For each block in which files end how many do so in what is at a byte of the file."""
        (_, end, limit), (blocks, _, number) = self._ends, self._blocks
        raw = read_if_possible(self.source, start, self._size)
        if len(raw) < self._size:
            return np.zeros(len(blocks), dtype=np.int64)
        # By words, an eighth as many: of the one in which a file ends, its last byte must be the highest that is not 0.
        words, word, byte = np.frombuffer(raw, "<u8"), (end - 1) // _WORD, (end - 1) % _WORD
        held = np.concatenate(([0], np.cumsum(words != 0, dtype=np.int32)))
        last = words[word] >> (8 * byte).astype(np.uint64)
        right = (last > 0) & (last < 1 << 8) & (held[limit // _WORD] == held[word + 1])
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
        return sum(int(self._hits(start)[number]) for number, start in some), sum(int(totals[n]) for n, _ in some)

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

    def won(self, rooms: Sequence[int]) -> Iterator[tuple[int, Vote]]:
        """Blocks without a place and the one room for which each votes, and that no other block votes for."""
        by_block, by_room = defaultdict[int, list[Vote]](list), defaultdict[int, list[int]](list)
        if not self.count:
            return
        blocks, totals, _ = self._blocks
        places = places_of(payload_entries(self.image.table))
        is_open = np.array([block < len(places) and not places[block] for block in blocks.tolist()], dtype=np.bool_)
        for start in rooms[: min(_MOST_ROOMS, _MOST_READ // self._size)]:
            hits = self._hits(start)
            for index in np.flatnonzero(hits * is_open).tolist():
                by_block[int(blocks[index])].append(Vote(start, int(hits[index]), int(totals[index])))
                by_room[start].append(int(hits[index]))
        for block, votes in by_block.items():
            best, *others = sorted(votes, key=lambda vote: -vote.hits)
            rivals = [*(vote.hits for vote in others), *sorted(by_room[best.start])[:-1]]
            enough = best.hits >= _LEAST_VOTES and best.hits * _OF >= best.total * _IN_FAVOUR
            if enough and best.hits == max(by_room[best.start]) and all(2 * hits <= best.hits for hits in rivals):
                yield block, best
