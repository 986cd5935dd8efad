"""Sector bitmaps: from the log's copies of them; what then is still without one is treated as the caller wants."""

from collections.abc import Iterator

import numpy as np

from analyzer.salvage.bench import Bench
from analyzer.salvage.entries import UNKNOWN, entry_for, put_entries
from analyzer.salvage.logged import newest_pages
from analyzer.salvage.model import BitmapPolicy, Certainty
from vhdx.image import Image
from vhdx.structures.bat import OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB, SECTOR_BITMAP_SIZE
from vhdx.table import WINDOW_SLOTS, BlockTable

_MOST_BITMAPS = 1 << 12
_TREATED = {
    BitmapPolicy.LOST: "they are lost",
    BitmapPolicy.WHOLE: "they are taken whole, as asked for",
    BitmapPolicy.PARENT: "they are left to the parent, as asked for",
}


def rebuild_bitmaps(bench: Bench, image: Image, policy: BitmapPolicy) -> None:
    """Bring empty pages of bitmaps back from the log; treat partial blocks that have no bitmap as `policy` says."""
    if not image.has_parent:
        return
    table = image.allocation.table
    blocks = list(_without_entry(table))
    empty = list(_empty_pages(bench, table))
    copies = newest_pages(image.log) if empty else {}
    restored = [(at, copies[at].content) for at, _ in empty if at in copies and any(copies[at].content)]
    back = {at for at, _ in restored}
    if restored:
        bench.lay(*restored)
        evidence = "these pages are zeros under blocks that are partially present, and the log has a copy of each"
        how = f"{len(restored)} pages come back from the log's newest copies"
        bench.note("sector bitmaps", how, Certainty.LIKELY, evidence)
        bench.doubt_blocks(table.geometry.block_size, [n for at, under in empty if at in back for n in under])
    _treat(bench, table, sorted(set(_doubted(bench, table))), BitmapPolicy.LOST)
    blocks += [block for at, under in empty if at not in back for block in under]
    _treat(bench, table, sorted(set(blocks)), policy)


def _without_entry(table: BlockTable) -> Iterator[int]:
    """Blocks that are partially present and whose bitmap's entry cannot be right."""
    count = table.geometry.block_count
    for first in range(0, count, WINDOW_SLOTS):
        yield from table.blocks_without_bitmap(first, min(first + WINDOW_SLOTS, count)).tolist()


def _empty_pages(bench: Bench, table: BlockTable) -> Iterator[tuple[int, list[int]]]:
    """Pages of bitmaps, by byte of the file, that are all zeros, each with the partial blocks that it describes."""
    for chunk, blocks in _partial_chunks(table):
        entry = table.bitmap_entry(chunk)
        if any(True for _ in table.flaws_of_bitmap(chunk)) or entry.file_offset + MIB > bench.view.size:
            continue
        held = np.frombuffer(bench.read(entry.file_offset, SECTOR_BITMAP_SIZE), "<u8").reshape(-1, LOG_SECTOR_SIZE // 8)
        yield from _under(table, entry.file_offset, blocks, [bool(page.any()) for page in held])


def _doubted(bench: Bench, table: BlockTable) -> Iterator[int]:
    """Partial blocks under pages of bitmaps on which the file and a log of unknown standing disagree."""
    for chunk, blocks in _partial_chunks(table) if bench.suspects else ():
        place = table.bitmap_entry(chunk).file_offset
        agreed = [place + at not in bench.suspects for at in range(0, SECTOR_BITMAP_SIZE, LOG_SECTOR_SIZE)]
        for _, under in _under(table, place, blocks, agreed):
            yield from under


def _partial_chunks(table: BlockTable) -> Iterator[tuple[int, list[int]]]:
    geometry = table.geometry
    ratio = geometry.chunk_ratio
    for chunk in range(min(geometry.chunk_count, _MOST_BITMAPS)):
        first, last = chunk * ratio, min((chunk + 1) * ratio, geometry.block_count)
        states = table.entries(geometry.payload_slot(first), last - first) & STATE_MASK
        blocks = (first + np.flatnonzero(states == BlockState.PARTIALLY_PRESENT)).tolist()
        if blocks:
            yield chunk, blocks


def _under(table: BlockTable, place: int, blocks: list[int], held: list[bool]) -> Iterator[tuple[int, list[int]]]:
    geometry = table.geometry
    share = geometry.block_size // geometry.sector_size // 8
    pages: dict[int, list[int]] = {}
    for block in blocks:
        start = block % geometry.chunk_ratio * share
        for page in range(start // LOG_SECTOR_SIZE, -(-(start + share) // LOG_SECTOR_SIZE)):
            if not held[page]:
                pages.setdefault(place + page * LOG_SECTOR_SIZE, []).append(block)
    yield from pages.items()


def _treat(bench: Bench, table: BlockTable, blocks: list[int], policy: BitmapPolicy) -> None:
    if not blocks:
        return
    put_entries(bench, table, {table.geometry.payload_slot(block): _entry(table, block, policy) for block in blocks})
    named = ", ".join(map(str, blocks[:8])) + (" and more" if len(blocks) > len(blocks[:8]) else "")
    bench.lost.append(f"the sector bitmap of {len(blocks)} blocks ({named}); {_TREATED[policy]}")
    if policy is not BitmapPolicy.LOST:
        evidence = "which sectors are this file's is not known; the choice was the caller's"
        bench.note("sector bitmaps", f"{len(blocks)} blocks: {_TREATED[policy]}", Certainty.LIKELY, evidence)
        bench.doubt_blocks(table.geometry.block_size, blocks)


def _entry(table: BlockTable, block: int, policy: BitmapPolicy) -> int:
    match policy:
        case BitmapPolicy.LOST:
            return UNKNOWN | table.payload_entry(block).offset_mib << OFFSET_SHIFT
        case BitmapPolicy.WHOLE:
            return entry_for(BlockState.FULLY_PRESENT, table.payload_entry(block).file_offset)
        case BitmapPolicy.PARENT:
            return BlockState.NOT_PRESENT.value
