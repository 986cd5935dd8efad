"""A child's blocks whose entries are lost: a sector bitmap that stands tells which sectors of each block were written.

A sector that was never written is zeros in a checkpoint's block, and a guest seldom writes zeros. So the sectors of a
block that are not zeros are those that the bitmap has for it, or hardly fewer, and of no other block.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from analyzer.judgement.unowned import Unowned
from analyzer.recover.rebuild.bitmap_content import bits_of
from analyzer.recover.rebuild.workspace import UNKNOWN, Certainty, RebuildWorkspace, entry_for, put_entries
from analyzer.text import plural
from vhdx.image import Image
from vhdx.ranges import Range
from vhdx.source import read_if_possible
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import MIB, SECTOR_BITMAP_SIZE
from vhdx.table import BlockTable

Bits = npt.NDArray[np.uint8]
# MiB whose sectors are looked at, and chunks whose bitmaps are.
_MOST_MIB, _MOST_CHUNKS = 1 << 15, 1 << 10
# So many blocks have to fit a MiB exactly before it is taken for a bitmap: one fits by chance, where a guest wrote the
# same few sectors of two blocks.
_ENOUGH = 3
# Of eight sectors that a bitmap has one may be zeros all the same.
_SHARE_OF_ZEROS = 8
# Comparisons of bits, each of some hundred bytes: a few seconds of them.
_MOST_COMPARED = 1 << 20
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8).reshape(-1, 1), axis=1).sum(axis=1)


@dataclass(frozen=True, slots=True)
class _Rooms:
    """Where a block could stand that nothing owns: its start in MiB of the file, and which sectors hold anything."""

    starts: tuple[int, ...]
    bits: tuple[bytes, ...]


def place_by_bitmaps(work: RebuildWorkspace, image: Image, unowned: Unowned) -> None:
    """Put blocks of a child whose entries are unknown, or absent, where the sectors of no other fit their bitmap."""
    table = replace(image.table, source=work.view)
    geometry, held = table.geometry, list(_mibs(unowned))
    rooms = _rooms_of(work, table, unowned)
    for chunk in range(min(geometry.chunk_count, _MOST_CHUNKS)) if rooms.starts else ():
        first, last = chunk * geometry.chunk_ratio, min((chunk + 1) * geometry.chunk_ratio, geometry.block_count)
        # A table older than the bitmaps has no entry for a block of which they have sectors.
        missing = [UNKNOWN, 0] if _known_bitmap(table, chunk) is not None else [UNKNOWN]
        entries = table.entries(geometry.payload_slot(first), last - first)
        unknown = (first + np.flatnonzero(np.isin(entries, missing))).tolist()
        place = _bitmap_of(work, table, chunk, held, rooms, unknown) if unknown else None
        if place is not None:
            _place(work, table, chunk, place, _matches(work, table, place, rooms, unknown))


def _rooms_of(work: RebuildWorkspace, table: BlockTable, unowned: Unowned) -> _Rooms:
    block_mib, sector = table.geometry.block_size // MIB, table.geometry.sector_size
    starts = tuple(islice(unowned.starts(block_mib), _MOST_MIB))
    empty = bytes(MIB // sector // 8)
    each = {mib: bits_of(work.view, Range(mib * MIB, MIB), sector) for mib in _mibs(unowned)}
    return _Rooms(starts, tuple(b"".join(each.get(start + n, empty) for n in range(block_mib)) for start in starts))


def _mibs(unowned: Unowned) -> Iterator[int]:
    return islice((part.start + n for part in unowned.held for n in range(part.length)), _MOST_MIB)


def _bitmap_of(
    work: RebuildWorkspace, table: BlockTable, chunk: int, held: list[int], rooms: _Rooms, unknown: list[int]
) -> int | None:
    """The byte of the file at which the bitmap of a chunk is: by its entry, else by the blocks that fit it."""
    if (known := _known_bitmap(table, chunk)) is not None:
        return known
    if table.geometry.chunk_count > 1:  # whose bitmap it is, nothing in it tells
        return None
    counts = {mib * MIB: len(_exact(_bits(work, table, mib * MIB, unknown), rooms)) for mib in held}
    best, *others = sorted(counts, key=lambda place: -counts[place]) or [0]
    beats = counts.get(best, 0) >= _ENOUGH and (not others or counts[others[0]] < counts[best])
    return best if beats else None


def _known_bitmap(table: BlockTable, chunk: int) -> int | None:
    """The byte of the file at which the bitmap of a chunk is by its entry; None where that is not sound."""
    entry = table.bitmap_entry(chunk)
    is_sound = entry.state.value == BlockState.FULLY_PRESENT and not any(table.flaws_of_bitmap(chunk))
    return entry.file_offset if is_sound else None


def _bits(work: RebuildWorkspace, table: BlockTable, place: int, blocks: list[int]) -> dict[int, bytes]:
    """What a bitmap has for each of the blocks that have anything in it, and not everything."""
    raw = read_if_possible(work.view, place, SECTOR_BITMAP_SIZE)
    share = table.geometry.bits_size
    starts = ((block, block % table.geometry.chunk_ratio * share) for block in blocks)
    found = {block: raw[start : start + share] for block, start in starts}
    return {block: bits for block, bits in found.items() if any(bits) and bits.count(0xFF) < share}


def _exact(bits: dict[int, bytes], rooms: _Rooms) -> dict[int, int]:
    """Blocks and the numbers of the rooms whose sectors are theirs, one of each alone."""
    by_room, by_block = defaultdict[bytes, list[int]](list), defaultdict[bytes, list[int]](list)
    for number, held in enumerate(rooms.bits):
        by_room[held].append(number)
    for block, held in bits.items():
        by_block[held].append(block)
    both = ((by_block[held], by_room[held]) for held in by_block if held in by_room)
    return {blocks[0]: numbers[0] for blocks, numbers in both if len(blocks) == len(numbers) == 1}


def _matches(
    work: RebuildWorkspace, table: BlockTable, place: int, rooms: _Rooms, unknown: list[int]
) -> dict[int, int]:
    """Blocks and the MiB of the file at which they are: exact ones, then those with a few sectors of zeros."""
    bits, block_mib = _bits(work, table, place, unknown), table.geometry.block_size // MIB
    found = {block: rooms.starts[number] for block, number in _exact(bits, rooms).items()}
    taken = np.array([*found.values(), place // MIB])
    left = [n for n, start in enumerate(rooms.starts) if (np.abs(taken - start) >= block_mib).all()]
    rest = [block for block in bits if block not in found]
    if left and len(left) * len(rest) <= _MOST_COMPARED:
        held = np.frombuffer(b"".join(rooms.bits[number] for number in left), np.uint8).reshape(len(left), -1)
        fits = {block: _fitting(held, np.frombuffer(bits[block], np.uint8)) for block in rest}
        counts = Counter(number for some in fits.values() for number in some)
        alone = {block: some[0] for block, some in fits.items() if len(some) == 1 and counts[some[0]] == 1}
        found |= {block: rooms.starts[left[number]] for block, number in alone.items()}
    # Two that would overlap contradict one another, as does one with the bitmap in it.
    starts = np.array([*found.values(), place // MIB])
    clear = {start: int((np.abs(starts - start) < block_mib).sum()) == 1 for start in found.values()}
    return {block: start for block, start in found.items() if clear[start]}


def _fitting(held: Bits, bits: Bits) -> list[int]:
    """The rows of sectors that hold something which are all among those of a bitmap, and hardly fewer."""
    inside = ~(held & ~bits).any(axis=1)
    counts, wanted = _ONES[held].sum(axis=1), int(_ONES[bits].sum())
    found: list[int] = np.flatnonzero(inside & ((wanted - counts) * _SHARE_OF_ZEROS <= wanted)).tolist()
    return found


def _place(work: RebuildWorkspace, table: BlockTable, chunk: int, bitmap: int, found: dict[int, int]) -> None:
    geometry = table.geometry
    entries = {
        geometry.payload_slot(block): entry_for(BlockState.PARTIALLY_PRESENT, start * MIB)
        for block, start in found.items()
    }
    put_entries(work, table, entries | {geometry.bitmap_slot(chunk): entry_for(BlockState.FULLY_PRESENT, bitmap)})
    how = f"put back by the sector bitmap at byte {bitmap}: {plural(len(found), 'block')}"
    evidence = "the sectors of each that hold something are those that the bitmap has for it, and of no other block"
    work.note("BAT", how, Certainty.LIKELY, evidence)
    work.doubt_blocks(geometry.block_size, found)
