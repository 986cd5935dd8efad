"""What old log entries hold: the newest image of each page, and parts of the block table that it heals (BAT-16).

A closed log is never wiped: its old entries are 4 KiB images of the table as it was. Where an entry of the file is
impossible, or 512 bytes of the table are zeros, and the newest logged copy of the page has a sound entry there, the
logged one is believed. Sound entries of the file are always kept: they may be newer than the log's.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.text import plural
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.patched import OverlaySource, Patch
from vhdx.replay import Log
from vhdx.source import read_at
from vhdx.structures.bat import ENTRY_SIZE, BatEntry, check_payload_entry, parse_bat_entry
from vhdx.structures.constants import KIB, LOG_SECTOR_SIZE, MIB, NIL
from vhdx.table import BlockTable

Entries = npt.NDArray[np.int64]
_SLOTS = LOG_SECTOR_SIZE // ENTRY_SIZE
_SLOTS_OF_SECTOR = 512 // ENTRY_SIZE
_PIECE, _OF_BLOCK = 64 * KIB, 2 * MIB
"""A block is looked into piece by piece, so far and no farther, to know that it holds something."""
# Pages that are held at once: 128 MiB.
_MOST_PAGES = 1 << 15
# A log is given up whose entries clear so much that to follow them would take minutes.
_MOST_STEPS = 1 << 24


@dataclass(frozen=True, slots=True)
class LoggedImage:
    """A page of 4 KiB as the log entry of this number wrote it."""

    content: bytes
    sequence_number: int


def newest_pages(log: Log, start: int = 0, end: int = 1 << 63) -> Mapping[int, LoggedImage]:
    """The newest logged image of each page from byte `start` to `end` of the file, by its place.

    Newest is the greatest sequence number, whichever session wrote it: sessions go on counting. A page that was
    cleared later is left out: an older copy says nothing. Raises what reading the log raises.
    """
    # Numbers order the entries of one session. Windows begins each session at a random number, so between sessions
    # the greatest number is only likely to be the newest. That is why nothing restored from here is called certain
    # unless all else of the page agrees with the copy; test_a_sound_table_is_left_alone and
    # test_the_whole_matrix_says_nothing_wrong.
    pages: dict[int, LoggedImage] = {}
    steps = 0
    for at in sorted(log.places, key=lambda place: log.headers[place].sequence_number):
        placed = log.entry(at)
        for write in placed.writes():
            if write.data is None:
                steps += len(pages)
                for page in [page for page in pages if write.file_offset <= page < write.file_offset + write.length]:
                    del pages[page]
            elif start <= write.file_offset < end and (write.file_offset in pages or len(pages) < _MOST_PAGES):
                pages[write.file_offset] = LoggedImage(write.data, placed.header.sequence_number)
        if steps > _MOST_STEPS:
            return {}
    return pages


def readable_pages(log: Log, start: int = 0, end: int = 1 << 63) -> Mapping[int, LoggedImage]:
    """As `newest_pages`; none where the medium fails in the log."""
    with suppress(VhdxError):
        return newest_pages(log, start, end)
    return {}


@dataclass(frozen=True, slots=True)
class LoggedPage:
    """A 4 KiB page of the block table at file offset `offset`: as it is, and with logged entries in their slots."""

    offset: int
    found: bytes
    fixed: bytes
    sequence_number: int
    """Of the log entry that the copy is from."""
    slots: tuple[int, ...]
    """The entries that are restored."""
    finding: Finding


@dataclass
class _ReadBudget:
    """How many bytes of blocks are still looked into: a hostile table must not make this go on for ever."""

    left: int = 256 * MIB


def lost_table_updates(table: BlockTable, log: Log) -> Iterator[LoggedPage]:
    """The pages of the block table that old log entries can heal; nothing while the log is live."""
    # A live log will be applied by opening; what its old entries say of the table is then known to be older.
    if log.log_guid != NIL:
        return
    budget = _ReadBudget()
    copies = newest_pages(log, table.bat_offset, table.bat_offset + table.bat_length)
    candidates = [page for at, copy in copies.items() if (page := _judge(table, at, copy, budget))]
    patches = [Patch.of(page.offset, page.found, page.fixed) for page in candidates]
    healed = replace(table, source=OverlaySource(table.source, patches)) if patches else table
    for page in candidates:
        first, last = page.slots[0], page.slots[-1]
        contested = healed.contested(first, healed.entries(first, last - first + 1)).tolist()
        if set(contested).isdisjoint(page.slots):
            yield page


def _judge(table: BlockTable, at: int, logged: LoggedImage, budget: _ReadBudget) -> LoggedPage | None:
    """The page at `at` with what its logged copy heals; None when there is nothing, or no sound way to do it."""
    found = read_at(table.source, at, LOG_SECTOR_SIZE)
    if found == logged.content:
        return None
    first = (at - table.bat_offset) // ENTRY_SIZE
    old, new = (np.frombuffer(page, "<i8").astype(np.int64) for page in (logged.content, found))
    bad = {slot - first for slot in table.contested(first, new).tolist()}
    bad |= {index for index in range(_SLOTS) if _is_flawed(table, first + index, int(new[index]))}
    bad = {index for index in bad | _lost(table, first, old, new, budget) if old[index] != new[index]}
    # All or nothing for a page: a copy that is itself wrong somewhere is from another disk or another time.
    if not bad or any(_is_flawed(table, first + index, int(old[index])) for index in bad):
        return None
    chosen, number = sorted(bad), logged.sequence_number
    fixed = new.copy()
    fixed[chosen] = old[chosen]
    text = f"{plural(len(chosen), 'block table entry', 'contradicts', 'contradict')} a logged copy (log entry {number})"
    finding = Finding("BAT-16", Severity.ERROR, text, at + chosen[0] * ENTRY_SIZE, len(chosen) * ENTRY_SIZE, "2.3")
    slots = tuple(first + index for index in chosen)
    return LoggedPage(at, found, fixed.astype("<i8").tobytes(), number, slots, finding)


def _is_flawed(table: BlockTable, slot: int, value: int) -> bool:
    """An entry that no sound table has in this slot; padding behind the last entry is never judged."""
    geometry = table.geometry
    if slot >= table.slots_needed:
        return False
    entry, (_, block) = _parse(value), geometry.chunk_and_block(slot)
    if block is not None:
        needed = max(0, geometry.bytes_of_block(block))
        found = check_payload_entry(entry, 0, needed, geometry.block_size, table.around)
        return any(finding.severity is Severity.ERROR for finding in found)
    if not table.has_parent or entry.state not in {0, 6, 7}:
        return value != 0
    return any(True for _ in check_payload_entry(entry, 0, MIB, MIB, table.around))


def _lost(table: BlockTable, first: int, old: Entries, new: Entries, budget: _ReadBudget) -> set[int]:
    """Entries in sectors of 512 zeros where the log has blocks that hold something and that nobody else has."""
    lost: set[int] = set()
    for start in range(0, _SLOTS, _SLOTS_OF_SECTOR):
        # A medium loses sectors of 512 bytes. Fewer zeros are what a sparse disk has anyway.
        if not new[start : start + _SLOTS_OF_SECTOR].any():
            indexes = [index for index in range(start, start + _SLOTS_OF_SECTOR) if old[index]]
            if any(_holds_something(table, first + index, int(old[index]), budget) for index in indexes):
                lost.update(indexes)
    return lost


def _holds_something(table: BlockTable, slot: int, value: int, budget: _ReadBudget) -> bool:
    entry = _parse(value)
    if not entry.state.holds_data or _is_flawed(table, slot, value):
        return False
    end = min(entry.file_offset + min(table.geometry.block_size, _OF_BLOCK), table.source.size)
    for at in range(entry.file_offset, end, _PIECE):
        if budget.left <= 0:
            return False
        budget.left -= _PIECE
        if any(read_at(table.source, at, min(_PIECE, end - at))):
            return True
    return False


def _parse(value: int) -> BatEntry:
    return parse_bat_entry((value & (1 << 64) - 1).to_bytes(ENTRY_SIZE, "little"))
