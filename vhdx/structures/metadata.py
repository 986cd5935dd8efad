"""The metadata table and the items that say what disk this is ([MS-VHDX] 2.6)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from uuid import UUID

from construct import Bytes, Int16ul, Int32ul, Struct

from vhdx.findings import Finding, Severity, counted
from vhdx.structures.constants import (
    CHS_GEOMETRY,
    FILE_PARAMETERS,
    INCOMPLETE_FILE,
    LOGICAL_SECTOR_SIZE,
    MAX_ITEM_SIZE,
    MAX_TABLE_ENTRIES,
    MAX_USER_ITEMS,
    METADATA_TABLE_SIZE,
    NIL,
    PARENT_LOCATOR,
    PHYSICAL_SECTOR_SIZE,
    PMEM_LABEL,
    VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
)
from vhdx.structures.fields import Guid, built, listed, parsed_table

SIGNATURE = b"metadata"
SECTION = "2.6.1"
USER_ITEM, BELONGS_TO_DISK, REQUIRED = 1, 2, 4

_HEAD = Struct("signature" / Bytes(8), "reserved" / Int16ul, "entry_count" / Int16ul, "reserved2" / Bytes(20))
_ENTRY = Struct("item_id" / Guid, "offset" / Int32ul, "length" / Int32ul, "flags" / Int32ul, "reserved" / Int32ul)
_HEAD_SIZE, _ENTRY_SIZE = _HEAD.sizeof(), _ENTRY.sizeof()

NAMES = {
    FILE_PARAMETERS: "file parameters",
    VIRTUAL_DISK_SIZE: "virtual disk size",
    VIRTUAL_DISK_ID: "virtual disk id",
    LOGICAL_SECTOR_SIZE: "logical sector size",
    PHYSICAL_SECTOR_SIZE: "physical sector size",
    PARENT_LOCATOR: "parent locator",
    INCOMPLETE_FILE: "incomplete file mark",
    CHS_GEOMETRY: "CHS geometry",
    PMEM_LABEL: "PMEM label",
}
ITEM_SIZES = {
    FILE_PARAMETERS: 8,
    VIRTUAL_DISK_SIZE: 8,
    VIRTUAL_DISK_ID: 16,
    LOGICAL_SECTOR_SIZE: 4,
    PHYSICAL_SECTOR_SIZE: 4,
}
"""The items that every file must have, and their lengths in bytes."""
ITEM_FLAGS = {
    FILE_PARAMETERS: REQUIRED,
    VIRTUAL_DISK_SIZE: REQUIRED | BELONGS_TO_DISK,
    VIRTUAL_DISK_ID: REQUIRED | BELONGS_TO_DISK,
    LOGICAL_SECTOR_SIZE: REQUIRED | BELONGS_TO_DISK,
    PHYSICAL_SECTOR_SIZE: REQUIRED | BELONGS_TO_DISK,
    PARENT_LOCATOR: REQUIRED,
}


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """One item's place: `offset` from the start of the region and `length`, in bytes."""

    item_id: UUID
    offset: int
    length: int
    flags: int
    reserved: int

    @property
    def name(self) -> str:
        """What the item is, or its GUID where that is unknown."""
        return NAMES.get(self.item_id, str(self.item_id))

    @property
    def is_user(self) -> bool:
        """A user item: somebody's own, never needed to read the disk."""
        return bool(self.flags & USER_ITEM)

    @property
    def is_required(self) -> bool:
        """A reader that does not know this item must refuse the file."""
        return bool(self.flags & REQUIRED)


@dataclass(frozen=True, slots=True)
class MetadataItem:
    """An item with its content: what a new file takes over as it is."""

    item_id: UUID
    flags: int
    content: bytes


_EMPTY = MetadataEntry(NIL, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """The table. `entries` are at most 2047, whatever `entry_count` claims."""

    signature: bytes
    reserved: int
    entry_count: int
    reserved2: bytes
    entries: tuple[MetadataEntry, ...]

    def find(self, item_id: UUID) -> MetadataEntry | None:
        """The system item of that id."""
        return next((entry for entry in self.entries if entry.item_id == item_id and not entry.is_user), None)


def parse_metadata_table(page: bytes) -> MetadataTable:
    """The table in the first 64 KiB of the metadata region."""
    head, entries = parsed_table(_HEAD, _ENTRY, SIGNATURE, page)
    return MetadataTable(**head, entries=tuple(MetadataEntry(**fields) for fields in entries))


def build_metadata_table(table: MetadataTable) -> bytes:
    """The 64 KiB that `parse_metadata_table` reads back."""
    entries = (built(_ENTRY, entry) for entry in table.entries)
    return b"".join((built(_HEAD, table), *entries)).ljust(METADATA_TABLE_SIZE, b"\0")


def build_metadata(items: Mapping[UUID, bytes], further: Sequence[MetadataItem] = ()) -> bytes:
    """A metadata region up to the end of its items: the table of these system items and of `further` ones, and they."""
    every = [*(MetadataItem(item_id, ITEM_FLAGS[item_id], content) for item_id, content in items.items()), *further]
    places = accumulate((len(item.content) for item in every), initial=METADATA_TABLE_SIZE)
    # An item of no bytes has no place (2.6.1.2).
    entries = tuple(
        MetadataEntry(item.item_id, place if item.content else 0, len(item.content), item.flags, 0)
        for item, place in zip(every, places, strict=False)
    )
    table = build_metadata_table(MetadataTable(SIGNATURE, 0, len(entries), bytes(20), entries))
    return b"".join((table, *(item.content for item in every)))


def check_metadata_table(table: MetadataTable, at: int, region_length: int) -> Iterator[Finding]:
    """What is wrong with the table of a region at file offset `at`, `region_length` bytes long."""
    if table.signature != SIGNATURE:
        text = f"the metadata table's signature is {table.signature!r}, not b'metadata'"
        yield Finding("MET-01", Severity.ERROR, text, at, 8, SECTION)
        return
    if table.reserved or any(table.reserved2):
        yield Finding("MET-02", Severity.ERROR, "a reserved field of the metadata table is not 0", at + 8, 24, SECTION)
    if table.entry_count > MAX_TABLE_ENTRIES:
        text = f"the metadata table claims {table.entry_count} entries; at most {MAX_TABLE_ENTRIES} fit"
        yield Finding("MET-03", Severity.ERROR, text, at + 10, 2, SECTION)
    entries = listed(table.entries, table.entry_count, _EMPTY)
    for index, entry in enumerate(entries):
        yield from _check_entry(entry, at + _HEAD_SIZE + index * _ENTRY_SIZE, region_length)
    yield from _check_together(entries, at)


def _check_entry(entry: MetadataEntry, at: int, region_length: int) -> Iterator[Finding]:
    yield from _check_place(entry, at, region_length)
    yield from _check_meaning(entry, at)
    if entry.reserved or entry.flags & ~(USER_ITEM | BELONGS_TO_DISK | REQUIRED):
        text = f"the {entry.name} item has the flags {entry.flags:#x} and {entry.reserved:#x} in its reserved field"
        yield Finding("MET-24", Severity.WARNING, f"{text}; bits from 3 up must be 0", at + 24, 8, SECTION)
    expected = ITEM_SIZES.get(entry.item_id)
    if expected is not None and not entry.is_user and entry.length != expected:
        text = f"the {entry.name} item is {counted(entry.length, 'byte')} long, not {expected}"
        yield Finding("MET-13", Severity.ERROR, text, at + 20, 4, SECTION)


def _check_place(entry: MetadataEntry, at: int, region_length: int) -> Iterator[Finding]:
    if not entry.length:
        if entry.offset:
            text = f"the {entry.name} item is empty and has the offset {entry.offset}"
            yield Finding("MET-07", Severity.ERROR, text, at + 16, 8, SECTION)
    elif entry.offset < METADATA_TABLE_SIZE:
        text = f"the {entry.name} item at {entry.offset} is inside the metadata table"
        yield Finding("MET-04", Severity.ERROR, text, at + 16, 8, SECTION)
    elif entry.length > MAX_ITEM_SIZE or entry.offset + entry.length > region_length:
        size = counted(entry.length, "byte")
        text = f"the {entry.name} item of {size} at {entry.offset} passes 1 MiB or the end of its region"
        yield Finding("MET-04", Severity.ERROR, text, at + 16, 8, SECTION)


def _check_meaning(entry: MetadataEntry, at: int) -> Iterator[Finding]:
    if entry.item_id == NIL:
        yield Finding("MET-08", Severity.ERROR, "an item has the id 0", at, 16, SECTION)
    elif entry.is_user and entry.is_required:
        text = f"the user item {entry.item_id} is marked as required"
        yield Finding("MET-09", Severity.ERROR, text, at + 24, 4, SECTION)
    elif entry.item_id == INCOMPLETE_FILE:
        yield Finding("MET-11", Severity.ERROR, "the file was never completely written", at, 32, SECTION)
    elif entry.is_required and entry.item_id not in NAMES:
        text = f"the item {entry.item_id} is required and unknown"
        yield Finding("MET-10", Severity.ERROR, text, at, 32, SECTION)
    elif not entry.is_user and entry.flags & 7 != ITEM_FLAGS.get(entry.item_id, entry.flags & 7):
        text = f"the {entry.name} item has the flags {entry.flags}, not {ITEM_FLAGS[entry.item_id]}"
        yield Finding("MET-14", Severity.WARNING, text, at + 24, 4, SECTION)


def _check_together(entries: Sequence[MetadataEntry], at: int) -> Iterator[Finding]:
    # An id is unique together with whether the item is a user's ([MS-VHDX] 2.6.1.2).
    times = Counter((entry.item_id, entry.is_user) for entry in entries)
    for item_id, _ in (key for key, count in times.items() if count > 1):
        yield Finding("MET-06", Severity.ERROR, f"the item {item_id} is listed more than once", at, None, SECTION)
    if sum(entry.is_user for entry in entries) > MAX_USER_ITEMS:
        yield Finding("MET-03", Severity.ERROR, f"there are over {MAX_USER_ITEMS} user items", at, None, SECTION)
    for item_id in ITEM_SIZES:
        if (item_id, False) not in times:
            yield Finding("MET-12", Severity.ERROR, f"the {NAMES[item_id]} item is missing", at, None, SECTION)
    placed = sorted((entry.offset, entry.offset + entry.length, entry.name) for entry in entries if entry.length)
    for (_, end, name), (start, _, other) in pairwise(placed):
        if start < end:
            text = f"the items {name} and {other} overlap"
            yield Finding("MET-05", Severity.ERROR, text, at + start, end - start, SECTION)
