"""Sector bitmaps in parts of 512 bytes: which are lost, what the log has of them, and what becomes of the rest."""

from collections.abc import Iterator

from analyzer.check.diagnosis.logged_entries import readable_pages
from analyzer.recover.rebuild.bitmap_content import from_content, laid_anew
from analyzer.recover.rebuild.bitmap_parts import UNIT, Part, described, named, partial_chunks, parts_of
from analyzer.recover.rebuild.workspace import (
    UNKNOWN,
    BitmapPolicy,
    Certainty,
    RebuildWorkspace,
    entry_for,
    places_of,
    put_entries,
)
from vhdx.image import Image
from vhdx.ranges import Range
from vhdx.source import holds_something, read_if_possible
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB
from vhdx.table import WINDOW_SLOTS, BlockTable

# Bytes of blocks that are looked into to know whether they hold anything.
_MOST_READ = 1 << 32
# Derivation: 512 random bytes have 256 * (1 - (255/256)^512) = 221 different values, with a deviation of about 5. A
# guest that writes clusters of 4 KiB sets 8 sectors, a whole byte, at once: such a bitmap has two values and a few at
# edges. Limit: a guest that writes single sectors at random makes a bitmap that looks like noise, and loses it.
# So many different bytes in one part are no bitmap: guests write in clusters, noise has some 220.
_VALUES_OF_NOISE = 128
_TREATED = {
    BitmapPolicy.WHOLE: "they are taken whole, as asked for",
    BitmapPolicy.PARENT: "they are left to the parent, as asked for",
}


def lost_parts(work: RebuildWorkspace, table: BlockTable) -> Iterator[Part]:
    """Parts that are all zeros while the sectors they describe hold something, and parts that are noise."""
    budget = _MOST_READ
    for chunk, blocks in partial_chunks(table):
        entry = table.bitmap_entry(chunk)
        if any(True for _ in table.flaws_of_bitmap(chunk)) or entry.file_offset + MIB > work.view.size:
            continue
        for part in parts_of(table, entry.file_offset, blocks):
            # What cannot be read is no loss of the bitmap: the blocks under it are lost by themselves.
            content = read_if_possible(work.view, part.place, UNIT)
            if len(set(content)) >= _VALUES_OF_NOISE:
                yield part
            elif content and not any(content) and budget > 0:
                ranges = list(described(table, entry.file_offset, part))
                budget -= sum(one.length for one in ranges)
                if any(holds_something(work.view, *one, unreadable=False) for one in ranges):
                    yield part


def rebuild_bitmaps(work: RebuildWorkspace, image: Image, policy: BitmapPolicy) -> None:
    """Bring empty parts of bitmaps back from the log; treat partial blocks that have no bitmap as `policy` says."""
    if not image.has_parent:
        return
    table = image.table
    count = table.geometry.block_count
    windows = ((first, min(first + WINDOW_SLOTS, count)) for first in range(0, count, WINDOW_SLOTS))
    blocks = [block for window in windows for block in table.blocks_without_bitmap(*window).tolist()]
    parts = list(lost_parts(work, table))
    back = _from_log(work, image, parts)
    _treat(work, table, sorted(set(_doubted(work, table))), BitmapPolicy.LOST)
    lost = [part for part in parts if part.place not in back]
    if policy is BitmapPolicy.AUTO:
        if any((places_of(entries) >= table.source.size).any() for _, entries in table.all_entries()):
            _treat(work, table, blocks, BitmapPolicy.LOST)  # the file was cut: nothing can be laid behind it
            blocks = []
        from_content(work, table, [*lost, *laid_anew(work, table, blocks)])
    else:
        _treat(work, table, sorted({*blocks, *(block for part in lost for block in part.blocks)}), policy)


def _from_log(work: RebuildWorkspace, image: Image, parts: list[Part]) -> set[int]:
    """Lay the log's newest copies over parts that are lost; the places of those that came back.

    Certain where the copy is the page as it is now but for parts that are lost.
    """
    # The log is read only when something is lost: its entries may be many.
    copies = readable_pages(image.log) if parts else {}
    table, back = image.table, set()
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
    which = named(blocks)
    if policy is BitmapPolicy.LOST:
        then = "what this file has in them is not shown; an older state shows there as stale, where there is one"
        work.lost.append(f"the sector bitmap of {which}; {then}")
        return
    evidence = "which sectors are this file's is not known; the choice was the caller's and may be wrong"
    work.note("sector bitmaps", f"{which}: {_TREATED[policy]}", Certainty.GUESSED, evidence)
    size = table.geometry.block_size
    work.guessed += [Range(block * size, size) for block in blocks]


def _entry(table: BlockTable, block: int, policy: BitmapPolicy) -> int:
    place = table.payload_entry(block).file_offset
    match policy:
        case BitmapPolicy.WHOLE:
            return entry_for(BlockState.FULLY_PRESENT, place)
        case BitmapPolicy.PARENT:
            return BlockState.NOT_PRESENT.value
        case _:
            return UNKNOWN | entry_for(BlockState.NOT_PRESENT, place)
