"""Sector bitmap blocks ([MS-VHDX] 2.4): least significant bit first, 1 is this file's sector, 0 the parent's."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import SECTORS_PER_CHUNK

SECTION = "2.4"
# Bits are compared a word at a time: sixty-four sectors by one exclusive or.
_WORD_BITS = 64


@dataclass(frozen=True, slots=True)
class SectorBitmap:
    """One bitmap block of 1 MiB, or the front of it."""

    bits: bytes

    def has(self, sector: int) -> bool:
        """Whether this file holds that sector of the chunk."""
        return bool(self.bits[sector >> 3] >> (sector & 7) & 1)

    def count(self, start: int, length: int) -> int:
        """How many of `length` sectors from sector `start` of the chunk this file holds."""
        window = int.from_bytes(self.bits[start >> 3 : (start + length + 7) >> 3], "little") >> (start & 7)
        return (window & ((1 << length) - 1)).bit_count()


def parse_bitmap(block: bytes) -> SectorBitmap:
    """The bitmap in its block."""
    return SectorBitmap(bytes(block))


def build_bitmap(runs: Iterable[tuple[int, int]]) -> bytes:
    """The 1 MiB block in which the sectors of each (start, length) run, counted from the chunk's start, are set."""
    bits = np.zeros(SECTORS_PER_CHUNK, dtype=np.bool_)
    for start, length in runs:
        bits[start : start + length] = True
    return np.packbits(bits, bitorder="little").tobytes()


def edges_of_bits(words: npt.NDArray[np.uint64], most: int) -> tuple[npt.NDArray[np.int64], int]:
    """The bits, rising, that differ from the one before them (bit 0 from a clear one), and how far that was looked.

    `most` edges are enough; a word more is looked at, so that there is always an answer for some bits.
    """
    before = np.concatenate((np.zeros(1, dtype=np.uint64), words[:-1] >> np.uint64(_WORD_BITS - 1)))
    different = words ^ (words << np.uint64(1) | before)
    found = np.flatnonzero(different)
    enough = int(np.searchsorted(np.cumsum(np.bitwise_count(different[found]), dtype=np.int64), most)) + 1
    looked = (int(found[enough]) if enough < len(found) else len(words)) * _WORD_BITS
    bits = np.unpackbits(different[found[:enough]].view(np.uint8), bitorder="little")
    places = np.flatnonzero(bits.view(np.bool_))
    return found[places // _WORD_BITS] * _WORD_BITS + places % _WORD_BITS, looked


def check_bitmap(bitmap: SectorBitmap, at: int, start: int, length: int) -> Iterator[Finding]:
    """What is remarkable about the bits of one PARTIALLY_PRESENT block, `length` sectors from `start`."""
    count = bitmap.count(start, length)
    if count in {0, length}:
        text = f"{'all' if count else 'none'} of the {length} sectors of a partially present block are marked"
        yield Finding("SBM-01", Severity.NOTE, text, at + (start >> 3), (length + 7) >> 3, SECTION)
