"""How far what looks alike goes on in a file: the stretch of noise or zeros around a place."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from analyzer.witnesses.pages import PAGE, Bytes, Look, looks_of
from vhdx.errors import VhdxError
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import MIB

_PAGES = MIB // PAGE
# One page of every 64 KiB is a sample; of files of more than 64 GiB fewer.
_UNIT, _MOST_SAMPLES = 1 << 16, 1 << 20
# Looks of so many MiB are kept: 16 MiB of memory.
_MOST_KEPT = 1 << 16
# Files whose samples are kept, each at most a MiB: as many as have states of their own that are looked at.
_MOST_SAMPLED = 16


class Samples(NamedTuple):
    """The looks of one page, the first, of every `unit` bytes of a file."""

    unit: int
    looks: Bytes


class Looks:
    """The looks of the pages of files, each MiB looked at once."""

    def __init__(self, sources: Sequence[ByteSource]) -> None:
        """Of the files of a disk, by layer."""
        self._sources = sources
        self.of_mib = lru_cache(maxsize=_MOST_KEPT)(self._of_mib)
        self.samples = lru_cache(maxsize=_MOST_SAMPLED)(self._samples)

    def _samples(self, layer: int) -> Samples:
        source = self._sources[layer]
        unit = max(_UNIT, 1 << max(0, source.size // _MOST_SAMPLES).bit_length())
        places = range(0, source.size, unit)
        return Samples(unit, np.fromiter((self.look_at(layer, at) for at in places), dtype=np.uint8))

    def size_of(self, layer: int) -> int:
        """Bytes of a file."""
        return self._sources[layer].size

    def look_at(self, layer: int, start: int) -> int:
        """The look of one page of a file."""
        source = self._sources[layer]
        try:
            return int(looks_of(read_at(source, start, min(PAGE, source.size - start)))[0])
        except VhdxError:
            return Look.UNKNOWN

    def _of_mib(self, layer: int, mib: int) -> Bytes:
        source, start = self._sources[layer], mib * MIB
        length = max(0, min(MIB, source.size - start))
        looks = np.full(_PAGES, Look.UNKNOWN, dtype=np.uint8)
        try:
            found = looks_of(read_at(source, start, length))
        except VhdxError:  # one bad sector does not hide what is around it
            pages = range(start, start + length, PAGE)
            found = np.fromiter((self.look_at(layer, at) for at in pages), dtype=np.uint8)
        looks[: len(found)] = found
        return looks

    def alike_in(self, layer: int, mib: int, look: Look) -> Iterator[Range]:
        """The stretches of pages of one look in one MiB, in bytes of the file."""
        parts = Ranges.where(self.of_mib(layer, mib) == look)
        return (Range(mib * MIB + part.start * PAGE, part.length * PAGE) for part in parts)

    def stretches(self, layer: int, look: Look, mibs: Iterable[int]) -> Ranges:
        """The whole stretches of pages of one look that have any page in these MiB, in bytes of the file."""
        waiting, seen, found = list(mibs), set[int](), list[Range]()
        while waiting:
            mib = waiting.pop()
            if mib in seen or mib < 0 or mib * MIB >= self._sources[layer].size:
                continue
            seen.add(mib)
            marks = self.of_mib(layer, mib) == look
            found += self.alike_in(layer, mib, look)
            waiting += [mib - 1] if marks[0] else []
            waiting += [mib + 1] if marks[-1] else []
        return Ranges.of(found)
