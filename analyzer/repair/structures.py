"""Identifier, headers, region tables and block table, fixed by what explains them; the log, applied for good."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from itertools import islice
from pathlib import Path
from uuid import UUID

import numpy as np

from analyzer.check.diagnosis.checksums import (
    HEADERS,
    REGION_TABLES,
    FlippedCopy,
    flips_of,
    named_copies,
    wrongly_summed,
)
from analyzer.check.diagnosis.displaced_entries import displacements
from analyzer.check.diagnosis.logged_entries import lost_table_updates
from analyzer.repair.workspace import Fix, Workspace, nonzero_pieces
from analyzer.text import plural
from vhdx.errors import VhdxError
from vhdx.findings import Severity
from vhdx.identities import Identities
from vhdx.image import Image, image_from, image_of
from vhdx.patched import PIECE, SHOWN, OverlaySource, Patch, visible
from vhdx.ranges import Range, Ranges
from vhdx.replay import Log, logged_patches
from vhdx.source import extents_of
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import HEADER_OFFSETS, LOG_SECTOR_SIZE, NIL, REGION_TABLE_OFFSETS, REGION_TABLE_SIZE
from vhdx.structures.fields import Copies
from vhdx.structures.header import build_header, parse_header
from vhdx.structures.identifier import SIGNATURE
from vhdx.structures.region import RegionTable, check_region_tables, judge_region_tables
from vhdx.table import WINDOW_SLOTS, BlockTable, distinct

# What the log of a file is found to be when nothing of it can be applied.
_DEAD = {"LOG-02"}
# Pages of 4 KiB that are fixed at once: 64 MiB of the table.
_MOST_PAGES = 16 << 10
# There is no greater number: then the restored copy gets the one before, so that its twin stays the current one.
_LAST_NUMBER = (1 << 64) - 1

Children = Callable[[], Iterable[tuple[UUID, Path]]]
"""Finds the files that were made from a file, which may be many: each identity that one names as its parent's."""


def fix_headers(work: Workspace, children: Children = tuple) -> None:
    """Put right what a flip or a child explains, then write a copy that is still invalid from its twin."""
    for flipped in flips_of(work.view, HEADERS):
        code = "HDR-04" if work.structures.headers.get().current_copy is None else "HDR-03"
        title = f"header copy {flipped.copy + 1}: {flipped.flip.what}"
        evidence = "of all single errors in the page this one alone makes its checksum match, and the fields make sense"
        work.fix(code, title, evidence, (flipped.at, flipped.page))
    for summed in wrongly_summed(work.view):
        title = f"the header at byte {summed.at} gets the checksum of its page"
        evidence = (
            "both headers have identities and a log, and say the same but for their numbers: only the sums are wrong"
        )
        work.fix("HDR-04", title, evidence, (summed.at, summed.page))
    pair = work.structures.headers.get()
    if any(pair.flaws):
        _by_children(work, dict(children()))
        pair = work.structures.headers.get()
    for copy, flaws in enumerate(pair.flaws):
        if flaws and pair.current_copy is not None:
            twin = pair.current
            number = twin.sequence_number + 1 if twin.sequence_number < _LAST_NUMBER else twin.sequence_number - 1
            page = build_header(replace(twin, sequence_number=number))
            title = f"header copy {copy + 1} is written anew from copy {2 - copy}, with sequence number {number}"
            evidence = f"copy {2 - copy} has a matching checksum and sequence number {twin.sequence_number}"
            work.fix("HDR-03", title, evidence, (HEADER_OFFSETS[copy], page))


def _by_children(work: Workspace, named: Mapping[UUID, Path]) -> None:
    """A header that a child was made from must not be lost to an older twin: the child would no longer fit."""
    code = "HDR-04" if work.structures.headers.get().current_copy is None else "HDR-03"
    for summed in named_copies(work.view, named):
        identity = parse_header(summed.page).data_write_guid
        title = f"the header at byte {summed.at} gets the checksum of its page"
        evidence = f"its fields make sense, and {named[identity].name} was made from its data_write_guid, {identity}"
        work.fix(code, title, evidence, (summed.at, summed.page))


def update_headers(work: Workspace, code: str, why: str, identities: Identities) -> None:
    """Write both headers as the format wants an update: the one that is not current first, each with the next number.

    The log is closed and the file gets a new file_write_guid; data_write_guid stays, for children know the disk by it.
    [MS-VHDX] 2.2.2.1.
    """
    pair = work.structures.headers.get()
    current, copy = pair.current, pair.current_copy or 0
    new = replace(current, log_guid=NIL, file_write_guid=identities("file_write_guid"))
    for step, slot in enumerate((1 - copy, copy), 1):
        number = min(current.sequence_number + step, _LAST_NUMBER)
        title = f"header copy {slot + 1} is updated ({why}), with sequence number {number}"
        evidence = f"copy {copy + 1} is the current header; the other one is written, flushed, and then this one"
        page = build_header(replace(new, sequence_number=number))
        work.fix(code, title, evidence, (HEADER_OFFSETS[slot], page))


def fix_identifier(work: Workspace) -> None:
    """Restore the 8 bytes when with them, and nothing else, the file opens."""
    found = work.read(0, len(SIGNATURE))
    if found == SIGNATURE:
        return
    view = OverlaySource(work.view, [Patch.of(0, found, SIGNATURE)])
    try:
        image_from(view)
    except VhdxError:
        return
    evidence = "headers, region tables, metadata and the block table's place behind it are valid"
    work.fix("FID-01", "the signature of the file is written again", evidence, (0, SIGNATURE))


def fix_region_tables(work: Workspace) -> None:
    """Make both copies valid and equal."""
    pages = tuple(work.read(offset, REGION_TABLE_SIZE) for offset in REGION_TABLE_OFFSETS)
    pair = judge_region_tables((pages[0], pages[1]))
    flips = {flipped.copy: flipped for flipped in flips_of(work.view, REGION_TABLES)}
    if pair.current_copy is None:
        _by_flips(work, flips)
    elif any(pair.flaws):
        bad = 1 - pair.current_copy
        seen = f"; besides, {flips[bad].flip.what}" if bad in flips and flips[bad].page == pages[1 - bad] else ""
        _table_from_twin(work, "REG-03", bad, f"copy {2 - bad} has a matching checksum{seen}")
    elif pages[0] != pages[1]:
        _of_two(work, pair, pages)


def _by_flips(work: Workspace, flips: dict[int, FlippedCopy]) -> None:
    for flipped in flips.values():
        title = f"region table copy {flipped.copy + 1}: {flipped.flip.what}"
        evidence = (
            "of all single errors in the table this one alone makes its checksum match, and the entries make sense"
        )
        work.fix("REG-04", title, evidence, (flipped.at, flipped.page))
    if len(flips) == 1:
        fix_region_tables(work)


def _of_two(work: Workspace, pair: Copies[RegionTable], pages: tuple[bytes, ...]) -> None:
    """Both are valid and differ: the first one serves, unless it alone breaks a rule."""
    if pair.copies[0].checksum == pair.copies[1].checksum:
        return
    found = [check_region_tables(judge_region_tables((page, page)), work.view.size) for page in pages]
    sound = [not any(finding.severity is Severity.ERROR for finding in flaws) for flaws in found]
    bad = 0 if sound == [False, True] else 1
    if any(sound):
        _table_from_twin(work, "REG-05", bad, f"both have matching checksums; copy {2 - bad} serves and breaks no rule")


def _table_from_twin(work: Workspace, code: str, bad: int, evidence: str) -> None:
    page = work.read(REGION_TABLE_OFFSETS[1 - bad], REGION_TABLE_SIZE)
    title = f"region table copy {bad + 1} is written anew from copy {2 - bad}"
    work.fix(code, title, evidence, (REGION_TABLE_OFFSETS[bad], page))


class DeadLog(Enum):
    """What becomes of a live log that has no entry which could be applied."""

    KEEP = "keep"
    DROP = "drop"
    """It is closed as it is: what it once held, if anything, is given up, and the file opens."""


def fix_log(work: Workspace, identities: Identities, dead: DeadLog) -> None:
    """Apply the active entries, make the file as long as they want it, and close the log; nothing when it is closed."""
    held = work.structures
    if held.header is None or not held.header.log_is_live or not held.headers.is_sound:
        return
    if (
        dead is DeadLog.DROP
        and {found.code for found in held.log.findings if found.severity is Severity.ERROR} == _DEAD
    ):
        update_headers(work, "LOG-02", "its log has no entry that could be applied, and is given up", identities)
        return
    log, size = held.log.get(), held.replay.get().size
    if not held.log.is_sound:
        return
    # What a damaged entry would have changed is not in the result: that stays said, although the log is closed.
    work.unfixable += [finding for finding in held.log.findings if finding.code == "LOG-05"]
    first, last = (log.session[at].sequence_number for at in (log.active[0], log.active[-1]))
    numbers = f"entry {first} is" if first == last else f"the entries {first} to {last} are"
    grown = size - work.view.size
    title = f"{plural(len(log.active), 'log entry', 'is', 'are')} applied" + (
        f", the file grows by {grown} bytes" if grown else ""
    )
    evidence = f"{numbers} an unbroken sequence of the live session, all with matching checksums"
    patches = tuple(_patches(work, log))
    work.add(Fix(code="LOG-01", title=title, evidence=evidence, patches=patches), size)
    update_headers(work, "LOG-01", "its log is closed", identities)


def _patches(work: Workspace, log: Log) -> Iterator[Patch]:
    """What replay changes, in the order of the file; what is zeros already is left out."""
    run: list[Patch] = []
    for start, end, patch in visible(tuple(logged_patches(log))):
        if patch.after is None:
            # Holes of the host's file system need no look.
            for part in Ranges.of(extents_of(work.source)).within(Range.between(start, min(end, work.view.size))):
                for at, data in nonzero_pieces(work.source, part):
                    yield Patch(at, len(data), None, data[:SHOWN])
            continue
        if run and (run[-1].end != start or start - run[0].offset >= PIECE):
            yield _joined(run, work)
            run = []
        run.append(patch.cut(start, end))
    if run:
        yield _joined(run, work)


def _joined(run: list[Patch], work: Workspace) -> Patch:
    offset, after = run[0].offset, b"".join(patch.after or b"" for patch in run)
    there = min(len(after), SHOWN, work.view.size - offset)
    return Patch.of(offset, work.read(offset, there) if there > 0 else b"", after)


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
            text = (
                f"the shift has pushed the entry of block {displacement.lost_block} out of its page: if it was "
                "allocated, where is not known"
            )
            work.unfixable.append(replace(finding, severity=Severity.WARNING, message=text))


def _old_places(work: Workspace, image: Image) -> None:
    """Clear the places of absent blocks, when nothing else is wrong with the table."""
    table = image.table
    if any(len(blocks) for blocks in table.damaged_blocks()):
        return
    patches = tuple(islice(_cleared_pages(table), _MOST_PAGES))
    if patches:
        title = f"places of absent blocks are cleared in {plural(len(patches), 'page')} of the block table"
        evidence = "the entries say that the blocks are absent or zeros, so that their places mean nothing"
        work.add(Fix(code="BAT-13", title=title, evidence=evidence, patches=patches))


def _cleared_pages(table: BlockTable) -> Iterator[Patch]:
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
