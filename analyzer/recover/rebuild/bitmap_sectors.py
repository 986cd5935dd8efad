"""Sector bitmaps in parts of 512 bytes, and which are lost: zeros over blocks that hold something, or noise."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.recover.rebuild.workspace import RebuildWorkspace
from vhdx.errors import VhdxError
from vhdx.ranges import Range
from vhdx.source import ByteSource, read_at
from vhdx.structures.bat import STATE_MASK, BlockState
from vhdx.structures.constants import MIB
from vhdx.table import BlockTable

UNIT = 512
"""Bytes of a bitmap that are lost together: a sector of the medium."""
# 4096 chunks of 4 GiB: disks to 16 TiB with sectors of 512 bytes. Beyond, bitmaps are taken at their word.
_MOST_BITMAPS = 1 << 12
# Bytes of blocks that are looked into to know whether they hold anything.
_MOST_READ = 1 << 32
# Derivation: 512 random bytes have 256 * (1 - (255/256)^512) = 221 different values, with a deviation of about 5. A
# guest that writes clusters of 4 KiB sets 8 sectors, a whole byte, at once: such a bitmap has two values and a few at
# edges. Limit: a guest that writes single sectors at random makes a bitmap that looks like noise, and loses it.
# So many different bytes in one part are no bitmap: guests write in clusters, noise has some 220.
_VALUES_OF_NOISE = 128
_PIECE = 1 << 16
_ZEROS = bytes(_PIECE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bitmap at byte `place` of the file, and the partially present blocks that it describes."""

    place: int
    blocks: tuple[int, ...]


def lost_parts(work: RebuildWorkspace, table: BlockTable) -> Iterator[Part]:
    """Parts that are all zeros while the sectors they describe hold something, and parts that are noise."""
    budget = _MOST_READ
    for chunk, blocks in partial_chunks(table):
        entry = table.bitmap_entry(chunk)
        if any(True for _ in table.flaws_of_bitmap(chunk)) or entry.file_offset + MIB > work.view.size:
            continue
        for part in parts_of(table, entry.file_offset, blocks):
            content = _read(work.view, part.place)
            if len(set(content)) >= _VALUES_OF_NOISE:
                yield part
            elif content and not any(content) and budget > 0:
                ranges = list(_described(table, entry.file_offset, part))
                budget -= sum(one.length for one in ranges)
                if any(_holds_something(work.view, *one) for one in ranges):
                    yield part


def partial_chunks(table: BlockTable) -> Iterator[tuple[int, list[int]]]:
    """Chunks that have partially present blocks, with these, rising."""
    geometry = table.geometry
    ratio = geometry.chunk_ratio
    for chunk in range(min(geometry.chunk_count, _MOST_BITMAPS)):
        first, last = chunk * ratio, min((chunk + 1) * ratio, geometry.block_count)
        states = table.entries(geometry.payload_slot(first), last - first) & STATE_MASK
        blocks = (first + np.flatnonzero(states == BlockState.PARTIALLY_PRESENT)).tolist()
        if blocks:
            yield chunk, blocks


def parts_of(table: BlockTable, place: int, blocks: list[int]) -> Iterator[Part]:
    """The parts of the bitmap at byte `place` of the file that describe these blocks, rising."""
    share = _share(table)
    parts: dict[int, list[int]] = {}
    for block in blocks:
        start = block % table.geometry.chunk_ratio * share
        for number in range(start // UNIT, -(-(start + share) // UNIT)):
            parts.setdefault(number, []).append(block)
    yield from (Part(place + number * UNIT, tuple(under)) for number, under in sorted(parts.items()))


def _share(table: BlockTable) -> int:
    """Bytes of a bitmap for each block."""
    return table.geometry.block_size // table.geometry.sector_size // 8


def _described(table: BlockTable, place: int, part: Part) -> Iterator[Range]:
    """Where the sectors that a part describes are in the file, a range for each of its blocks."""
    share, per_byte = _share(table), 8 * table.geometry.sector_size
    begin = part.place - place
    for block in part.blocks:
        start = block % table.geometry.chunk_ratio * share
        low, high = max(begin, start), min(begin + UNIT, start + share)
        yield Range(table.payload_entry(block).file_offset + (low - start) * per_byte, (high - low) * per_byte)


def _read(source: ByteSource, at: int) -> bytes:
    """A part; b"" where it cannot be read: that is no loss of the bitmap, the blocks are lost by themselves."""
    try:
        return read_at(source, at, UNIT)
    except VhdxError:
        return b""


def _holds_something(source: ByteSource, start: int, length: int) -> bool:
    try:
        end = min(start + length, source.size)
        return any(read_at(source, at, min(_PIECE, end - at)) != _ZEROS[: end - at] for at in range(start, end, _PIECE))
    except VhdxError:
        return False
