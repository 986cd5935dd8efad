"""Lost parts of the block table: from the log, and marked as unknown where two states of it are left."""

import numpy as np

from analyzer.evidence_of_logged_tables import lost_table_updates
from analyzer.repair.model import Patch
from analyzer.repair.view import PatchedView
from analyzer.salvage.bench import Bench
from analyzer.salvage.bitmaps import rebuild_bitmaps
from analyzer.salvage.entries import UNKNOWN, put_entries
from analyzer.salvage.model import BitmapPolicy, Certainty
from analyzer.salvage.place import place_blocks
from analyzer.salvage.regions import parameters_at
from vhdx.image import Image, image_from
from vhdx.structures.bat import ENTRY_SIZE, STATE_MASK, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, METADATA_REGION
from vhdx.table import BlockTable


def rebuild_blocks(bench: Bench, image: Image, bitmaps: BitmapPolicy) -> None:
    """Bring back what the log knows of the table; make unknown what cannot be decided."""
    if bench.parent_is_open:
        _forget_absent(bench, image.allocation.table)
    _from_log(bench, image)
    place_blocks(bench, image_from(bench.view))
    _doubt(bench, image.allocation.table)
    _doubt_size(bench, image)
    rebuild_bitmaps(bench, image_from(bench.view), bitmaps)


def _from_log(bench: Bench, image: Image) -> None:
    pages = list(lost_table_updates(image.allocation.table, image.log))
    bench.lay(*((page.offset, page.mended) for page in pages))
    for page in pages:
        how = f"{len(page.slots)} entries at byte {page.offset} come back from the log"
        evidence = f"log entry {page.sequence_number} has the newest copy of this page, in which they are sound"
        bench.note("BAT", how, Certainty.LIKELY, evidence)


def _doubt(bench: Bench, table: BlockTable) -> None:
    """Entries on which the file and a log of unknown standing disagree."""
    end = table.bat_offset + table.bat_length
    unknown: dict[int, int] = {}
    for at, other in bench.suspects.items():
        if table.bat_offset <= at < end:
            now = np.frombuffer(bench.read(at, LOG_SECTOR_SIZE), "<i8")
            differing = np.flatnonzero(now != np.frombuffer(other, "<i8"))
            first = (at - table.bat_offset) // ENTRY_SIZE
            unknown |= dict.fromkeys((first + differing).tolist(), UNKNOWN)
    if unknown:
        put_entries(bench, table, unknown)
        bench.lost.append(f"{len(unknown)} entries of the block table, on which file and log disagree")


def _forget_absent(bench: Bench, table: BlockTable) -> None:
    """Make unknown what the table leaves out, a window at a time."""
    for first, entries in table.all_entries():
        known = np.where(entries & STATE_MASK == BlockState.NOT_PRESENT, UNKNOWN, entries)
        bench.lay((table.bat_offset + first * ENTRY_SIZE, known.astype("<i8").tobytes()))


def _doubt_size(bench: Bench, image: Image) -> None:
    """Metadata on which the file and a log of unknown standing disagree: what both disks have in common is known."""
    region = image.regions.current.find(METADATA_REGION)
    inside = [at for at in bench.suspects if region and region.file_offset <= at < region.end]
    if region is None or not inside:
        return
    patches = [Patch(at, LOG_SECTOR_SIZE, bench.suspects[at]) for at in inside]
    other = parameters_at(PatchedView(bench.view, patches), region.file_offset, region.length)
    mine, table = image.parameters, image.allocation.table
    if other is None or other == mine:
        return
    same = (other.block_size, other.flags) == (mine.block_size, mine.flags)
    first = other.size // mine.block_size if same else 0
    bench.lost.append("which metadata are right: log and file differ; what both disks have in common is shown")
    for start, entries in table.all_entries():
        slots = start + np.arange(len(entries))
        known = np.where(slots >= table.geometry.payload_slot(first), UNKNOWN, entries)
        bench.lay((table.bat_offset + start * ENTRY_SIZE, known.astype("<i8").tobytes()))
