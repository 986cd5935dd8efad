"""Sector bitmaps: from the log's copies of them; what then is still without one is treated as the caller wants."""

from collections.abc import Iterator

from analyzer.check.diagnosis.logged_entries import readable_pages
from analyzer.recover.rebuild.bat_entries import UNKNOWN, entry_for, put_entries
from analyzer.recover.rebuild.bitmap_sectors import UNIT, Part, lost_parts, partial_chunks, parts_of
from analyzer.recover.rebuild.model import BitmapPolicy, Certainty
from analyzer.recover.rebuild.workspace import RebuildWorkspace
from analyzer.text import plural
from vhdx.image import Image
from vhdx.structures.bat import OFFSET_SHIFT, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE
from vhdx.table import WINDOW_SLOTS, BlockTable

_TREATED = {
    BitmapPolicy.WHOLE: "they are taken whole, as asked for",
    BitmapPolicy.PARENT: "they are left to the parent, as asked for",
}


def rebuild_bitmaps(work: RebuildWorkspace, image: Image, policy: BitmapPolicy) -> None:
    """Bring empty parts of bitmaps back from the log; treat partial blocks that have no bitmap as `policy` says."""
    if not image.has_parent:
        return
    table = image.allocation.table
    blocks = list(_without_entry(table))
    parts = list(lost_parts(work, table))
    back = _from_log(work, image, parts)
    _treat(work, table, sorted(set(_doubted(work, table))), BitmapPolicy.LOST)
    blocks += [block for part in parts if part.place not in back for block in part.blocks]
    _treat(work, table, sorted(set(blocks)), policy)


def _from_log(work: RebuildWorkspace, image: Image, parts: list[Part]) -> set[int]:
    """Lay the log's newest copies over parts that are lost; the places of those that came back.

    Certain where the copy is the page as it is now but for parts that are lost.
    """
    # The log is read only when something is lost: its entries may be many.
    copies = readable_pages(image.log) if parts else {}
    table, back = image.allocation.table, set()
    pages: dict[int, list[Part]] = {}
    for part in parts:
        pages.setdefault(part.place // LOG_SECTOR_SIZE * LOG_SECTOR_SIZE, []).append(part)
    for at, inside in pages.items():
        copy = copies[at].content if at in copies else bytes(LOG_SECTOR_SIZE)
        found = [part for part in inside if any(copy[part.place - at :][:UNIT])]
        if not found:
            continue
        now = bytearray(work.read(at, LOG_SECTOR_SIZE))
        for part in found:
            now[part.place - at : part.place - at + UNIT] = copy[part.place - at :][:UNIT]
        work.patch((at, bytes(now)))
        _note(work, table, at, found, agreed=bytes(now) == copy)
        back |= {part.place for part in found}
    return back


def _note(work: RebuildWorkspace, table: BlockTable, at: int, parts: list[Part], *, agreed: bool) -> None:
    certain = agreed and not work.log_is_open
    how = f"{len(parts) * UNIT} bytes of the page at byte {at} come back from the log's newest copy"
    evidence = ["they are zeros or noise under blocks that are partially present and hold something"]
    if certain:
        evidence.append("all else in the page is as in that copy")
    else:
        work.doubt_blocks(table.geometry.block_size, [block for part in parts for block in part.blocks])
    work.note("sector bitmaps", how, Certainty.CERTAIN if certain else Certainty.LIKELY, *evidence)


def _without_entry(table: BlockTable) -> Iterator[int]:
    """Blocks that are partially present and whose bitmap's entry cannot be right."""
    count = table.geometry.block_count
    for first in range(0, count, WINDOW_SLOTS):
        yield from table.blocks_without_bitmap(first, min(first + WINDOW_SLOTS, count)).tolist()


def _doubted(work: RebuildWorkspace, table: BlockTable) -> Iterator[int]:
    """Partial blocks under pages of bitmaps on which the file and a log of unknown standing disagree."""
    for chunk, blocks in partial_chunks(table) if work.suspects else ():
        place = table.bitmap_entry(chunk).file_offset
        for part in parts_of(table, place, blocks):
            if part.place // LOG_SECTOR_SIZE * LOG_SECTOR_SIZE in work.suspects:
                yield from part.blocks


def _treat(work: RebuildWorkspace, table: BlockTable, blocks: list[int], policy: BitmapPolicy) -> None:
    if not blocks:
        return
    put_entries(work, table, {table.geometry.payload_slot(block): _entry(table, block, policy) for block in blocks})
    named = ", ".join(map(str, blocks[:8])) + (" and more" if len(blocks) > len(blocks[:8]) else "")
    if policy is BitmapPolicy.LOST:
        then = "what this file has in them is not shown; an older state shows there as stale, where there is one"
        work.lost.append(f"the sector bitmap of {plural(len(blocks), 'block')} ({named}); {then}")
        return
    evidence = "which sectors are this file's is not known; the choice was the caller's and may be wrong"
    work.note(
        "sector bitmaps", f"{plural(len(blocks), 'block')} ({named}): {_TREATED[policy]}", Certainty.GUESSED, evidence
    )
    work.guess_blocks(table.geometry.block_size, blocks)


def _entry(table: BlockTable, block: int, policy: BitmapPolicy) -> int:
    match policy:
        case BitmapPolicy.LOST:
            return UNKNOWN | table.payload_entry(block).offset_mib << OFFSET_SHIFT
        case BitmapPolicy.WHOLE:
            return entry_for(BlockState.FULLY_PRESENT, table.payload_entry(block).file_offset)
        case BitmapPolicy.PARENT:
            return BlockState.NOT_PRESENT.value
