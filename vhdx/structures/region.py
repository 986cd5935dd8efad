"""The two region tables: where the BAT and the metadata are ([MS-VHDX] 2.2.3)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from construct import Bytes, Int32ul, Int64ul, Struct

from vhdx.findings import Finding, Severity
from vhdx.ranges import NamedRange, Range
from vhdx.structures.constants import (
    BAT_REGION,
    HEADER_AREA_SIZE,
    MAX_TABLE_ENTRIES,
    METADATA_REGION,
    MIB,
    NIL,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.fields import (
    Copies,
    Guid,
    built,
    check_validity,
    crc32c_without_field,
    judge_copies,
    listed,
    parsed_table,
    with_checksum,
)

SIGNATURE = b"regi"
SECTION = "2.2.3"
REQUIRED = 1

_HEAD = Struct("signature" / Bytes(4), "checksum" / Int32ul, "entry_count" / Int32ul, "reserved" / Int32ul)
_ENTRY = Struct("guid" / Guid, "file_offset" / Int64ul, "length" / Int32ul, "flags" / Int32ul)
_HEAD_SIZE, _ENTRY_SIZE = _HEAD.sizeof(), _ENTRY.sizeof()

NAMES = {BAT_REGION: "BAT", METADATA_REGION: "metadata"}


@dataclass(frozen=True, slots=True)
class RegionEntry:
    """One region: `file_offset` and `length` in bytes."""

    guid: UUID
    file_offset: int
    length: int
    flags: int

    @property
    def name(self) -> str:
        """What the region holds, or its GUID where that is unknown."""
        return NAMES.get(self.guid, str(self.guid))

    @property
    def is_required(self) -> bool:
        """A reader that does not know this region must refuse the file."""
        return bool(self.flags & REQUIRED)

    @property
    def end(self) -> int:
        """The first byte after the region."""
        return self.file_offset + self.length


_EMPTY = RegionEntry(NIL, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class RegionTable:
    """One copy of the table. `entries` are at most 2047, whatever `entry_count` claims."""

    signature: bytes
    checksum: int
    entry_count: int
    reserved: int
    entries: tuple[RegionEntry, ...]

    def find(self, guid: UUID) -> RegionEntry | None:
        """The region of that GUID."""
        return next((entry for entry in self.entries if entry.guid == guid), None)


def parse_region_table(page: bytes) -> RegionTable:
    """The table in its 64 KiB page."""
    head, entries = parsed_table(_HEAD, _ENTRY, SIGNATURE, page)
    return RegionTable(**head, entries=tuple(RegionEntry(**fields) for fields in entries))


def build_region_table(table: RegionTable) -> bytes:
    """The 64 KiB page of a table, with its checksum made right."""
    entries = (built(_ENTRY, entry) for entry in table.entries)
    return with_checksum(b"".join((built(_HEAD, table), *entries)).ljust(REGION_TABLE_SIZE, b"\0"))


def build_regions(bat: Range, metadata: Range) -> bytes:
    """The page of a table of the two regions that every file has."""
    regions = ((BAT_REGION, bat), (METADATA_REGION, metadata))
    entries = tuple(RegionEntry(guid, *place, REQUIRED) for guid, place in regions)
    return build_region_table(RegionTable(SIGNATURE, 0, len(entries), 0, entries))


def check_region_table(table: RegionTable, page: bytes, at: int) -> Iterator[Finding]:
    """Why one copy, at file offset `at`, cannot be believed."""
    if table.signature != SIGNATURE:
        yield Finding("REG-01", Severity.ERROR, f"the signature is {table.signature!r}, not b'regi'", at, 4, SECTION)
    elif table.checksum != crc32c_without_field(page):
        yield Finding("REG-02", Severity.ERROR, "the checksum does not match the table", at, len(page), SECTION)


def judge_region_tables(pages: tuple[bytes, bytes]) -> Copies[RegionTable]:
    """Parse and judge both copies: the second serves when the first fails its checksum."""
    return judge_copies(pages, parse_region_table, check_region_table, REGION_TABLE_OFFSETS, lambda _: 0)


def check_region_tables(pair: Copies[RegionTable], file_size: int) -> Iterator[Finding]:
    """What is wrong with the tables as a pair, then with the one that serves; sizes are bytes."""
    codes = "REG-04", "REG-03"
    yield from check_validity(pair, "region table", codes, REGION_TABLE_OFFSETS, REGION_TABLE_SIZE, SECTION)
    if pair.current_copy is None:
        return
    if pair.previous is not None and pair.previous.checksum != pair.current.checksum:
        text = "both region tables are valid and differ; copy 1 serves"
        yield Finding("REG-05", Severity.WARNING, text, REGION_TABLE_OFFSETS[1], REGION_TABLE_SIZE, SECTION)
    at = REGION_TABLE_OFFSETS[pair.current_copy]
    table = pair.current
    if table.entry_count > MAX_TABLE_ENTRIES:
        text = f"the table claims {table.entry_count} entries; at most {MAX_TABLE_ENTRIES} fit"
        yield Finding("REG-06", Severity.ERROR, text, at + 8, 4, SECTION)
    if table.reserved:
        text = f"the reserved field is {table.reserved:#x}, not 0"
        yield Finding("REG-07", Severity.ERROR, text, at + 12, 4, SECTION)
    entries = listed(table.entries, table.entry_count, _EMPTY)
    for index, entry in enumerate(entries):
        yield from _check_entry(entry, at + _HEAD_SIZE + index * _ENTRY_SIZE, file_size)
    yield from _check_together(entries, at)


def _check_entry(entry: RegionEntry, at: int, file_size: int) -> Iterator[Finding]:
    known = entry.guid in NAMES
    if not known and entry.is_required:
        text = f"the region {entry.guid} is required and unknown"
        yield Finding("REG-11", Severity.ERROR, text, at, 32, SECTION)
    elif not known:
        yield Finding("REG-12", Severity.NOTE, f"the region {entry.guid} is unknown and optional", at, 32, SECTION)
    elif not entry.is_required:
        text = f"the {entry.name} region is not marked as required"
        yield Finding("REG-14", Severity.NOTE, text, at + 28, 4, SECTION)
    if entry.flags & ~REQUIRED:
        text = f"the {entry.name} region has the flags {entry.flags:#x}; all but bit 0 are reserved and must be 0"
        yield Finding("REG-17", Severity.WARNING, text, at + 28, 4, SECTION)
    if entry.file_offset % MIB or entry.length % MIB or not entry.length or entry.file_offset < HEADER_AREA_SIZE:
        place = f"at {entry.file_offset}, {entry.length} bytes long,"
        text = f"the {entry.name} region {place} is not on whole MiB from 1 MiB up"
        yield Finding("REG-08", Severity.ERROR, text, at + 16, 12, SECTION)
    elif entry.end > file_size and known:  # of an unknown region nothing is ever read
        text = f"the {entry.name} region ends at {entry.end}, past the end of the file at {file_size}"
        yield Finding("REG-09", Severity.ERROR, text, at + 16, 12, SECTION)


def _check_together(entries: Sequence[RegionEntry], at: int) -> Iterator[Finding]:
    guids = Counter(entry.guid for entry in entries)
    for guid in (guid for guid, times in guids.items() if times > 1):
        yield Finding("REG-10", Severity.ERROR, f"the region {guid} is listed more than once", at, None, SECTION)
    for guid, name in NAMES.items():
        if guid not in guids:
            yield Finding("REG-13", Severity.ERROR, f"no {name} region is listed", at, None, SECTION)


def check_layout(structures: Iterable[NamedRange]) -> Iterator[Finding]:
    """Which of the file's structures overlap."""
    furthest = NamedRange(0, 0, "")
    for one in sorted(structures):
        if one.start < furthest.end:
            text = f"the {furthest.name} and the {one.name} overlap"
            length = min(one.end, furthest.end) - one.start
            yield Finding("REG-15", Severity.ERROR, text, one.start, length, SECTION)
        furthest = max(furthest, one, key=lambda structure: structure.end)
