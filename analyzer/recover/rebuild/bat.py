"""Lost parts of the block table: from the log, from the disk's own signs, and marked as unknown where neither tells."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from analyzer.check.diagnosis.displaced_entries import with_interleave
from analyzer.check.diagnosis.logged_entries import LoggedImage, LoggedPage, lost_table_updates, readable_pages
from analyzer.judgement.judge import judge
from analyzer.judgement.unowned import Unowned, unowned_in
from analyzer.recover.rebuild.bitmap_matches import place_by_bitmaps
from analyzer.recover.rebuild.bitmaps import rebuild_bitmaps
from analyzer.recover.rebuild.distrust import Suspicion, discard_untrusted_entries, forget_absent_entries
from analyzer.recover.rebuild.exchanged import exchange_entries
from analyzer.recover.rebuild.placement import place_blocks, starts_in
from analyzer.recover.rebuild.regions import parameters_at
from analyzer.recover.rebuild.workspace import (
    UNKNOWN,
    BitmapPolicy,
    Certainty,
    RebuildWorkspace,
    blocks_of,
    put_entries,
    put_window,
)
from analyzer.text import plural
from vhdx.errors import VhdxError
from vhdx.image import Image, image_of
from vhdx.patched import OverlaySource, Patch
from vhdx.ranges import Range
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, METADATA_REGION, MIB
from vhdx.table import BlockTable


def rebuild_blocks(work: RebuildWorkspace, image: Image, bitmaps: BitmapPolicy) -> None:
    """Bring back what the log knows of the table; make unknown what cannot be decided."""
    image = _in_slots(work, image)
    table = image.table
    if work.parent_is_open:  # whatever the table leaves out may be the parent's
        for first, entries in table.all_entries():
            absent = entries & STATE_MASK == BlockState.NOT_PRESENT
            put_window(work, table, first, np.where(absent, UNKNOWN, entries))
    pages, agreed = _from_log(work, image)
    table = replace(table, source=work.view)
    with work.stage("looking for blocks without an entry", None) as progress:
        unowned = unowned_in(table, progress)
    block_mib = table.geometry.block_size // MIB
    rooms = starts_in(unowned, table.geometry.block_size)
    if work.log_is_open and rooms[:1] == [MIB]:
        del rooms[0]  # a log of unknown place: every writer known puts it there
    _note(work, table, pages, agreed=agreed and not rooms and not work.log_is_open)
    if work.log_is_open and (rooms or image.has_parent):
        work.doubt_all()
    why = Suspicion(
        rooms=len(rooms) and unowned.blocks(block_mib),
        log_is_open=work.log_is_open,
        log_was_live=work.log_was_live,
        healed=frozenset(slot for page in pages for slot in page.slots),
        zeros_in_log=frozenset(
            at + start
            for at, page in _logged(image).items()
            for start in range(0, len(page.content), 512)
            if not any(page.content[start : start + 512])
        ),
        # Of a child the disk is not here: its parents have a part in it.
        judgement=judge(table, image.log, lambda: None if image.has_parent else image_of(work.structures)),
    )
    before = len(work.doubted), len(work.rebuilt)
    discard_untrusted_entries(work, table, why)
    marked = slice(before[0], len(work.doubted)), slice(before[1], len(work.rebuilt))
    _doubt(work, table, frozenset(rooms))
    if rooms:
        _give_places(work, table, unowned, rooms)
        _settle(work, replace(table, source=work.view), why, marked)
    else:
        exchange_entries(work, image_of(work.structures))
    _doubt_size(work, image)
    rebuild_bitmaps(work, image_of(work.structures), bitmaps)


def _settle(work: RebuildWorkspace, table: BlockTable, why: Suspicion, believed: tuple[slice, slice]) -> None:
    """Now that all signs were used: what is absent is known where every block has an owner, and else in doubt.

    `believed` are what `work` has as doubted and as rebuilt because absent entries were taken at their word.
    """
    left = unowned_in(table).blocks(table.geometry.block_size // MIB)
    if left:
        forget_absent_entries(work, table, replace(why, rooms=left))
    elif not work.log_was_live:
        del work.doubted[believed[0]], work.rebuilt[believed[1]]


def _give_places(work: RebuildWorkspace, table: BlockTable, unowned: Unowned, rooms: list[int]) -> None:
    """Put blocks without an entry where their bitmap, or their content, says that they are."""
    if table.has_parent:
        place_by_bitmaps(work, image_of(work.structures), unowned)
        unowned = unowned_in(replace(table, source=work.view))
        rooms = starts_in(unowned, table.geometry.block_size)
    place_blocks(work, image_of(work.structures), rooms, unowned)


def _in_slots(work: RebuildWorkspace, image: Image) -> Image:
    """The image with a table that was written without entries for sector bitmaps read as it was meant."""
    table, chunk = image.table, image.geometry.chunk_size
    entries = with_interleave(table)
    if entries is None:
        return image
    put_window(work, table, 0, entries)
    # What another program wrote before is in its slot already: from the second chunk on nothing is certain.
    work.doubted.append(Range.between(chunk, image.size))
    evidence = (
        "entries for bitmaps, which a disk without a parent does not need, hold blocks, as cloud-hypervisor has it"
    )
    how = f"from byte {chunk} of the disk on every entry is taken for one slot early: the table has no interleave"
    work.note("BAT", how, Certainty.LIKELY, evidence)
    return image_of(work.structures)


def _from_log(work: RebuildWorkspace, image: Image) -> tuple[list[LoggedPage], bool]:
    """Lay what the log can heal over the table; the pages, and whether the log's copies are the table as it is now."""
    try:
        pages = list(lost_table_updates(image.table, image.log))
    except VhdxError:  # a medium that fails where the log is
        return [], False
    work.patch(*((page.offset, page.fixed) for page in pages))
    copies = _logged(image) if pages else {}
    return pages, all(page.offset in copies and copies[page.offset].content == page.fixed for page in pages)


def _logged(image: Image) -> Mapping[int, LoggedImage]:
    table = image.table
    return readable_pages(image.log, table.bat_offset, table.bat_offset + table.bat_length)


def _note(work: RebuildWorkspace, table: BlockTable, pages: list[LoggedPage], *, agreed: bool) -> None:
    """Say what came from the log: certain where nothing tells that the table went on after the log's copy."""
    more = ["all else in the page is as in that copy, and with them every block of the file has an owner"] * agreed
    for page in pages:
        how = f"from the log: {plural(len(page.slots), 'entry')} at byte {page.offset}"
        evidence = f"log entry {page.sequence_number} has the newest copy of this page, in which they are sound"
        if not agreed:
            work.doubt_blocks(table.geometry.block_size, blocks_of(table, page.slots))
        work.note("BAT", how, Certainty.CERTAIN if agreed else Certainty.LIKELY, evidence, *more)


def _doubt(work: RebuildWorkspace, table: BlockTable, rooms: frozenset[int]) -> None:
    """Entries on which the file and a log of unknown standing disagree.

    Where the file has none and the log a block in room that nothing else owns, the log is likely right: it was live.
    """
    end = table.bat_offset + table.bat_length
    entries: dict[int, int] = {}
    for at, other in work.suspects.items():
        if table.bat_offset <= at < end:
            now, logged = (np.frombuffer(page, "<i8") for page in (work.read(at, LOG_SECTOR_SIZE), other))
            first = (at - table.bat_offset) // ENTRY_SIZE
            for index in np.flatnonzero(now != logged).tolist():
                entries[first + index] = _of_two(int(now[index]), int(logged[index]), rooms)
    unknown = [slot for slot, entry in entries.items() if entry == UNKNOWN]
    put_entries(work, table, entries)
    if len(unknown) < len(entries):
        how = f"from the last session of the log: {plural(len(entries) - len(unknown), 'entry')}"
        evidence = (
            "which session was live is not known; the file has no entry there, and nothing else owns these blocks"
        )
        work.note("BAT", how, Certainty.LIKELY, evidence)
        work.doubt_blocks(table.geometry.block_size, blocks_of(table, sorted(entries)))
    if unknown:
        work.lost.append(f"{plural(len(unknown), 'entry')} of the block table, on which file and log disagree")


def _of_two(now: int, logged: int, rooms: frozenset[int]) -> int:
    place, state = (logged >> OFFSET_SHIFT) * MIB, logged & STATE_MASK
    reserved = logged & ((1 << OFFSET_SHIFT) - 1) & ~STATE_MASK
    is_sound = state == BlockState.FULLY_PRESENT and not reserved and place in rooms
    return logged if is_sound and now in (0, UNKNOWN) else UNKNOWN


def _doubt_size(work: RebuildWorkspace, image: Image) -> None:
    """Metadata on which the file and a log of unknown standing disagree: what both disks have in common is known."""
    region = image.regions.current.find(METADATA_REGION)
    inside = [at for at in work.suspects if region and region.file_offset <= at < region.end]
    if region is None or not inside:
        return
    patches = [Patch(at, LOG_SECTOR_SIZE, work.suspects[at]) for at in inside]
    other = parameters_at(OverlaySource(work.view, patches), region.file_offset, region.length)
    mine, table = image.parameters, image.table
    if other is None or other == mine:
        return
    same = (other.block_size, other.flags) == (mine.block_size, mine.flags)
    first = other.size // mine.block_size if same else 0
    work.lost.append("which metadata are right: log and file differ; what both disks have in common is shown")
    for start, entries in table.all_entries():
        slots = start + np.arange(len(entries))
        put_window(work, table, start, np.where(slots >= table.geometry.payload_slot(first), UNKNOWN, entries))
