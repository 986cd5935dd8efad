"""Block table entries ([MS-VHDX] 2.5.1), one a record here, many an array in the kernels; and sector bitmaps (2.4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from construct import Int64ul

from vhdx.findings import Finding, Severity, counted
from vhdx.ranges import NamedRange
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB, SECTOR_BITMAP_SIZE

SECTION = "2.5.1"
ENTRY_SIZE = 8
STATE_MASK = 7
RESERVED_MASK = 0x1FFFF
RESERVED_SHIFT = 3
OFFSET_SHIFT = 20
_WORD_BITS = 64


class BlockState(IntEnum):
    """What a payload entry says of its block. Bitmap entries use NOT_PRESENT and FULLY_PRESENT alone."""

    NOT_PRESENT = 0
    UNDEFINED = 1
    ZERO = 2
    UNMAPPED = 3
    INVALID_4 = 4
    INVALID_5 = 5
    FULLY_PRESENT = 6
    PARTIALLY_PRESENT = 7

    @property
    def holds_data(self) -> bool:
        """The entry's offset is that of a block of data."""
        return self in {BlockState.FULLY_PRESENT, BlockState.PARTIALLY_PRESENT}


@dataclass(frozen=True, slots=True)
class BatEntry:
    """One entry. `reserved` are its 17 reserved bits."""

    state: BlockState
    reserved: int
    offset_mib: int

    @property
    def file_offset(self) -> int:
        """Where the block is in the file, in bytes."""
        return self.offset_mib * MIB


@lru_cache  # a few entries are asked for again and again: those of sector bitmaps
def parse_bat_entry(raw: bytes) -> BatEntry:
    """The entry in 8 bytes."""
    value = Int64ul.parse(raw)
    return BatEntry(BlockState(value & STATE_MASK), value >> RESERVED_SHIFT & RESERVED_MASK, value >> OFFSET_SHIFT)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a block must not run into: the file's end and the structures."""

    file_size: int
    structures: tuple[NamedRange, ...]


def check_payload_entry(
    entry: BatEntry, at: int, needed: int, block_size: int, around: Surroundings
) -> Iterator[Finding]:
    """What is wrong with one payload entry at file offset `at`; `needed` bytes of its block belong to the disk."""
    if entry.state in {BlockState.INVALID_4, BlockState.INVALID_5}:
        yield Finding("BAT-01", Severity.ERROR, f"the block state {entry.state.value} is not valid", at, 8, SECTION)
    if entry.reserved:
        yield Finding("BAT-02", Severity.ERROR, f"reserved bits are set ({entry.reserved:#x})", at, 8, SECTION)
    if entry.state.holds_data:
        yield from _check_place("block", entry, at, needed, block_size, around)


def check_bitmap_entry(entry: BatEntry, at: int, around: Surroundings) -> Iterator[Finding]:
    """What is wrong with a sector bitmap's entry at file offset `at` that a PARTIALLY_PRESENT block needs."""
    if not entry.state.holds_data:
        text = f"a partially present block has no sector bitmap (its entry has the state {entry.state.name})"
        yield Finding("BAT-07", Severity.ERROR, text, at, 8, "2.5.1.2")
        return
    if entry.state is BlockState.PARTIALLY_PRESENT:
        yield Finding("BAT-09", Severity.NOTE, "a sector bitmap has the state 7, which means 6", at, 8, "2.5.1.2")
    if entry.reserved:
        yield Finding("BAT-02", Severity.ERROR, f"reserved bits are set ({entry.reserved:#x})", at, 8, SECTION)
    yield from _check_place("sector bitmap", entry, at, SECTOR_BITMAP_SIZE, SECTOR_BITMAP_SIZE, around)


def check_anchor_entry(entry: BatEntry, at: int, block_size: int, around: Surroundings) -> Iterator[Finding]:
    """What is wrong with the place that an UNMAPPED or UNDEFINED entry at file offset `at` keeps; it is never read."""
    yield from _check_place("place kept for an absent block", entry, at, block_size, block_size, around)


def _check_place(
    what: str, entry: BatEntry, at: int, needed: int, size: int, around: Surroundings
) -> Iterator[Finding]:
    start = entry.file_offset
    if start < HEADER_AREA_SIZE:
        text = f"the {what} is at {start}, among the headers"
        yield Finding("BAT-03", Severity.ERROR, text, at, 8, SECTION)
        return
    # By what the disk needs: the last block may hang over the disk's end, and writers leave that part out.
    if start + needed > around.file_size:
        past = counted(start + needed - around.file_size, "byte")
        text = f"the {what} at {start} ends {past} past the end of the file"
        yield Finding("BAT-04", Severity.ERROR, text, at, 8, SECTION)
    for other in around.structures:
        if start < other.end and other.start < start + size:
            yield Finding("BAT-05", Severity.ERROR, f"the {what} at {start} overlaps the {other.name}", at, 8, SECTION)


def edges_of_bits(words: npt.NDArray[np.uint64], most: int) -> tuple[npt.NDArray[np.int64], int]:
    """The bits, sorted, that differ from the one before them (bit 0 from a clear one), and how far that was looked.

    Of a sector bitmap the least significant bit is first; 1 is this file's sector, 0 the parent's.
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
