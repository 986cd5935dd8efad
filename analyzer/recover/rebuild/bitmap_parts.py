"""Sector bitmaps in parts of 512 bytes, and which sectors of which blocks each part describes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from analyzer.text import listed, plural
from vhdx.ranges import Range
from vhdx.table import BlockTable

UNIT = 512
"""Bytes of a bitmap that are lost together: a sector of the medium."""
# 4096 chunks of 4 GiB: disks to 16 TiB with sectors of 512 bytes. Beyond, bitmaps are taken at their word.
_MOST_BITMAPS = 1 << 12


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bitmap at byte `place` of the file, and the partially present blocks that it describes."""

    place: int
    blocks: tuple[int, ...]


def partial_chunks(table: BlockTable) -> Iterator[tuple[int, list[int]]]:
    """Chunks that have partially present blocks, with these, sorted."""
    ratio = table.geometry.chunk_ratio
    for chunk, parts in groupby(table.partial_blocks(), key=itemgetter(0)):
        if chunk < _MOST_BITMAPS:
            yield chunk, [chunk * ratio + number for _, numbers in parts for number in numbers.tolist()]


def parts_of(table: BlockTable, place: int, blocks: list[int]) -> Iterator[Part]:
    """The parts of the bitmap at byte `place` of the file that describe these blocks, sorted."""
    share = table.geometry.bits_size
    parts: dict[int, list[int]] = {}
    for block in blocks:
        start = block % table.geometry.chunk_ratio * share
        for number in range(start // UNIT, -(-(start + share) // UNIT)):
            parts.setdefault(number, []).append(block)
    yield from (Part(place + number * UNIT, tuple(under)) for number, under in sorted(parts.items()))


def described(table: BlockTable, place: int, part: Part) -> Iterator[Range]:
    """Where the sectors that a part describes are in the file, a range for each of its blocks."""
    share, per_byte = table.geometry.bits_size, 8 * table.geometry.sector_size
    begin = part.place - place
    for block in part.blocks:
        start = block % table.geometry.chunk_ratio * share
        low, high = max(begin, start), min(begin + UNIT, start + share)
        yield Range(table.payload_entry(block).file_offset + (low - start) * per_byte, (high - low) * per_byte)


def named(blocks: list[int]) -> str:
    """Blocks in words: how many, and the first ones."""
    return f"{plural(len(blocks), 'block')} ({listed(blocks)})"
