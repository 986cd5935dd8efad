"""The block table: entries from old log entries, displaced ones back to their slots, old places cleared."""

from collections.abc import Iterator

import numpy as np

from analyzer.check.diagnosis.displaced_entries import displacements
from analyzer.check.diagnosis.logged_entries import lost_table_updates
from analyzer.repair.workspace import Fix, Workspace
from analyzer.text import plural
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, image_of
from vhdx.patched import Patch
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE
from vhdx.table import WINDOW_SLOTS, BlockTable, distinct

# Pages of 4 KiB that are fixed at once: 64 MiB of the table.
_MOST_PAGES = 16 << 10


def fix_table(work: Workspace) -> None:
    """Fix what the log, or the table itself, gives evidence for; nothing when the file does not open."""
    for fix in (_from_log, _displaced, _old_places):
        try:
            image = image_of(work.structures)  # anew each time: with what the fix before has put right
        except VhdxError:
            return
        fix(work, image)


def _from_log(work: Workspace, image: Image) -> None:
    for page in lost_table_updates(image.table, image.log):
        title = f"{plural(len(page.slots), 'block table entry', 'comes', 'come')} back from the log"
        evidence = (
            f"log entry {page.sequence_number} has the newest copy of this page, in which they are sound; as they are "
            "in the file they are zeros or impossible; sound entries are kept"
        )
        work.fix("BAT-16", title, evidence, (page.offset, page.fixed))


def _displaced(work: Workspace, image: Image) -> None:
    for displacement in displacements(image.table, image.identifier.creator):
        finding, patches = displacement.finding, displacement.patches
        work.add(Fix(code=finding.code, title=finding.message, evidence=displacement.evidence, patches=patches))
        if displacement.lost_block is not None:
            work.unfixable.append(_lost(displacement.lost_block, finding))


def _lost(block: int, shift: Finding) -> Finding:
    text = f"the shift has pushed the entry of block {block} out of its page: if it was allocated, where is not known"
    return Finding("BAT-17", Severity.WARNING, text, shift.offset, shift.length, shift.section)


def _old_places(work: Workspace, image: Image) -> None:
    """Clear the places of absent blocks, when nothing else is wrong with the table."""
    table = image.table
    if any(len(blocks) for blocks in table.damaged_blocks()):
        return
    patches = tuple(patch for _, patch in zip(range(_MOST_PAGES), stale_pages(table), strict=False))
    if patches:
        title = f"places of absent blocks are cleared in {plural(len(patches), 'page')} of the block table"
        evidence = "the entries say that the blocks are absent or zeros, so that their places mean nothing"
        work.add(Fix(code="BAT-13", title=title, evidence=evidence, patches=patches))


def stale_pages(table: BlockTable) -> Iterator[Patch]:
    """Pages of the table in which NOT_PRESENT or ZERO entries keep an offset, as patches that clear it."""
    slots, per_page = min(table.slots_needed, table.bat_length // ENTRY_SIZE), LOG_SECTOR_SIZE // ENTRY_SIZE
    for first in range(0, slots, WINDOW_SLOTS):
        entries = table.entries(first, min(WINDOW_SLOTS, slots - first))
        states = entries & STATE_MASK
        stale = np.isin(states, (BlockState.NOT_PRESENT, BlockState.ZERO)) & (entries >> OFFSET_SHIFT != 0)
        cleared = np.where(stale, entries & (1 << OFFSET_SHIFT) - 1, entries)
        for page in distinct(np.flatnonzero(stale) // per_page).tolist():
            part = slice(page * per_page, (page + 1) * per_page)
            at = table.bat_offset + (first + page * per_page) * ENTRY_SIZE
            yield Patch.between(at, *(value[part].astype("<i8").tobytes() for value in (entries, cleared)))
