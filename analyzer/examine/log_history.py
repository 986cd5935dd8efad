"""What a file remembers of its past: its log's sessions, its previous header, blocks that entries let go and keep.

A closed log is never wiped, so that entries of earlier sessions say what each changed ([MS-VHDX] 2.3). Content is read
in a fixed number of steps, whatever the log claims; nothing here raises for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import UUID

import numpy as np

from vhdx.image import Image
from vhdx.structures.bat import ENTRY_SIZE, parse_bat_entry
from vhdx.structures.constants import (
    BAT_REGION,
    LOG_SECTOR_SIZE,
    METADATA_REGION,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
    SECTOR_BITMAP_SIZE,
)
from vhdx.structures.log import LogEntry, Write
from vhdx.table import BlockTable, keeps_place

MOST_CHANGES = 1024
"""Writes that are listed, of all sessions together, and anchored blocks; more are counted."""
# Changes are listed for people; more are counted.
_MOST_PAGES = 1 << 12


@dataclass(frozen=True, slots=True)
class Step:
    """A block table entry that a log entry wrote: what it was before, as far as the log says, and what it became."""

    block: int | None
    """The payload block; None for a sector bitmap's entry."""
    chunk: int | None
    """The chunk of a sector bitmap's entry; None for a payload block's."""
    before: str | None
    after: str
    file_offset: int


@dataclass(frozen=True, slots=True)
class Change:
    """One write of a log entry: what it hit, and for the block table each entry that changed."""

    sequence_number: int
    structure: str
    offset: int
    length: int
    zeroed: bool
    entries: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """The log entries that were written under one log_guid, between opening the file and closing it."""

    log_guid: UUID
    live: bool
    entries: int
    first_sequence: int
    last_sequence: int
    changes: tuple[Change, ...]
    unlisted: int


@dataclass(frozen=True, slots=True)
class Previous:
    """The header before the current one."""

    sequence_number: int
    file_write_guid: UUID
    data_write_guid: UUID
    same_data: bool
    """What the disk shows has the same identity as now."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A block that reads as zeros while its entry still keeps the place of old data."""

    block: int
    state: str
    file_offset: int
    length: int


@dataclass(frozen=True, slots=True)
class History:
    """Sessions oldest first, the previous header where there is a valid one, anchored blocks by number."""

    path: Path
    sessions: tuple[Session, ...]
    previous_header: Previous | None
    anchored: tuple[Anchor, ...]
    anchored_blocks: int


def history_of(image: Image) -> History:
    """What the file of an image remembers; raises InputOutputError, ShortReadError."""
    header, previous = image.headers.previous, None
    if header is not None:
        same = header.data_write_guid == image.data_write_guid
        previous = Previous(header.sequence_number, header.file_write_guid, header.data_write_guid, same)
    return History(image.path, tuple(_sessions(image)), previous, *_anchors(image.table))


def _anchors(table: BlockTable) -> tuple[tuple[Anchor, ...], int]:
    """Blocks whose absent entries keep a place, a window of the table at a time: the first of them, and how many."""
    found: list[Anchor] = []
    count = 0
    for blocks, entries in table.blocks_of(table.used_entries()):
        anchored = blocks[keeps_place(entries)]
        count += len(anchored)
        for block in anchored[: MOST_CHANGES - len(found)].tolist():
            entry = table.payload_entry(block)
            found.append(Anchor(block, entry.state.name, entry.file_offset, table.geometry.bytes_of_block(block)))
    return tuple(found), count


def _sessions(image: Image) -> Iterator[Session]:
    log = image.log
    guids: dict[UUID, list[int]] = {}
    for at in sorted(log.places, key=lambda place: log.headers[place].sequence_number):
        guids.setdefault(log.headers[at].log_guid, []).append(at)
    # While the log is followed: the newest copy of each page of the table, and how many changes are still listed.
    pages, left = dict[int, bytes](), MOST_CHANGES
    for guid, places in guids.items():
        found = (change for at in places for change in _changes(image, log.entry(at), pages))
        changes = tuple(islice(found, left))
        left, unlisted = left - len(changes), sum(1 for _ in found)
        numbers = [log.headers[at].sequence_number for at in places]
        live = image.header.log_is_live and guid == image.header.log_guid
        yield Session(guid, live, len(places), min(numbers), max(numbers), changes, unlisted)


def _changes(image: Image, placed: LogEntry, pages: dict[int, bytes]) -> Iterator[Change]:
    number = placed.header.sequence_number
    for write in placed.writes():
        structure = _structure(image, write.file_offset)
        steps = tuple(_steps(image, write, pages)) if structure == "bat" else ()
        yield Change(number, structure, write.file_offset, write.length, write.data is None, steps)


def _structure(image: Image, at: int) -> str:
    if any(start <= at < start + REGION_TABLE_SIZE for start in REGION_TABLE_OFFSETS):
        return "region_table"
    for guid, name in ((BAT_REGION, "bat"), (METADATA_REGION, "metadata")):
        region = image.regions.current.find(guid)
        if region and region.file_offset <= at < region.end:
            return name
    # A name for people, asked for each write: a disk of 64 TiB has too many chunks to look through each time, and a
    # bitmap of a later one is called "other".
    chunks = range(min(image.geometry.chunk_count, 64) if image.has_parent else 0)
    places = [one.file_offset for one in map(image.table.bitmap_entry, chunks) if one.state.holds_data]
    return "bitmap" if any(place <= at < place + SECTOR_BITMAP_SIZE for place in places) else "other"


def _steps(image: Image, write: Write, pages: dict[int, bytes]) -> Iterator[Step]:
    """The entries of one page of the table that differ from the copy that was logged before it."""
    if write.data is None or write.file_offset % LOG_SECTOR_SIZE:
        end = write.file_offset + write.length
        pages.update(dict.fromkeys((page for page in pages if write.file_offset <= page < end), bytes(LOG_SECTOR_SIZE)))
        return
    # Where no earlier copy is known, every entry that is not zero counts as changed.
    before = pages.get(write.file_offset)
    if before is not None or len(pages) < _MOST_PAGES:
        pages[write.file_offset] = write.data
    table = image.table
    first = (write.file_offset - table.bat_offset) // ENTRY_SIZE
    now = np.frombuffer(write.data, "<u8")
    differing = np.flatnonzero(now if before is None else now != np.frombuffer(before, "<u8")).tolist()
    for index in differing:
        part = slice(index * ENTRY_SIZE, (index + 1) * ENTRY_SIZE)
        after = parse_bat_entry(write.data[part])
        old = parse_bat_entry(before[part]).state.name if before is not None else None
        chunk, block = table.geometry.chunk_and_block(first + index)
        yield Step(block, chunk if block is None else None, old, after.state.name, after.file_offset)
