"""Where content ends in a file: for each sector how far it holds something; each MiB is read once, however often asked.

A file is asked in every room in which a block could be, and rooms begin at each MiB: read by room, blocks of 32 MiB
would be read 32 times over, for every look.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analyzer.progress import Progress, no_progress
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, extents_of, read_if_possible
from vhdx.structures.constants import MIB

SECTOR = 512
Lengths = npt.NDArray[np.uint16]
_SECTORS, _WORDS = MIB // SECTOR, SECTOR // 8
# 4 KiB each: 256 MiB of memory for the 64 GiB that are searched at most; what is beyond is read again when it is asked.
_MOST_KEPT = 1 << 16
_NOTHING = np.zeros(_SECTORS, np.uint16)
_NOTHING.flags.writeable = False
_BYTES = np.array([1 << 8 * count for count in range(8)], np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """Where content ends in the sectors of a part of a file."""

    lengths: Lengths
    """For each sector the bytes up to its last one that is not zero; 0 where all are."""
    held: npt.NDArray[np.int32]
    """In front of each sector, and behind the last one, how many hold something, counted from anywhere."""

    def part(self, at: int, length: int) -> "Tail":
        """The sectors from byte `at` of this part on."""
        first, last = at // SECTOR, (at + length) // SECTOR
        return Tail(self.lengths[first:last], self.held[first : last + 1])


@dataclass(eq=False)
class Tails:
    """The ends of what the sectors of a file hold."""

    source: ByteSource
    _kept: dict[int, Lengths] = field(default_factory=dict)

    @cached_property
    def _held(self) -> Ranges:
        return Ranges.of(extents_of(self.source))

    def of(self, start: int, length: int, progress: Progress = no_progress) -> Tail:
        """Of whole MiB of the file; what cannot be read, or is behind its end, holds nothing.

        `progress` hears of the bytes that are read.
        """
        lengths = np.concatenate([self._of_mib(at, progress) for at in range(start, start + length, MIB)])
        return Tail(lengths, np.concatenate(([0], np.cumsum(lengths > 0, dtype=np.int32)), dtype=np.int32))

    def _of_mib(self, at: int, progress: Progress) -> Lengths:
        known = self._kept.get(at)
        if known is None:
            known = _NOTHING
            if self._held.touches(Range(at, MIB)):
                known = lengths_of(read_if_possible(self.source, at, MIB))
                progress(MIB)
            if len(self._kept) < _MOST_KEPT:
                self._kept[at] = known
        return known


def lengths_of(raw: bytes) -> Lengths:
    """For each sector of a MiB the bytes up to its last one that is not zero; none where less than a MiB is there."""
    words = np.frombuffer(raw, "<u8").reshape(-1, _WORDS)
    held = words != 0
    if len(words) < _SECTORS or not held.any():
        return _NOTHING
    last = _WORDS - 1 - np.argmax(held[:, ::-1], axis=1)
    word = words[np.arange(_SECTORS), last]
    return np.where(word > 0, last * 8 + _BYTES.searchsorted(word, "right"), 0).astype(np.uint16)
