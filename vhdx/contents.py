"""What one file holds: each structure read once from its source, with what is wrong with it.

Opening a file requires this record to be without errors; checking lists it, dumping prints it, recovery fills its
gaps. It never raises for what a file holds, nor for what its medium does.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from uuid import UUID

from vhdx.findings import Finding, Severity
from vhdx.geometry import Geometry
from vhdx.parsed import Once, Parsed
from vhdx.ranges import NamedRange, Range
from vhdx.replay import Log, check_log, open_log, replayed
from vhdx.source import ByteSource, assume_of, close_source, read_at, read_if_possible
from vhdx.source_map import BESIDE, SourceMaps
from vhdx.structures.constants import (
    BAT_REGION,
    FILE_PARAMETERS,
    HEADER_AREA_SIZE,
    HEADER_OFFSETS,
    HEADER_SIZE,
    MAX_ITEM_SIZE,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    MIB,
    PARENT_LOCATOR,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.disk import DiskParameters, check_disk_parameters, has_parent_flag, parse_disk_parameters
from vhdx.structures.fields import Copies
from vhdx.structures.header import Header, check_headers, judge_headers
from vhdx.structures.identifier import SIGNATURE, Identifier, check_identifier, check_length, parse_identifier
from vhdx.structures.identifier import SIZE as IDENTIFIER_SIZE
from vhdx.structures.locator import ParentLocator, check_locator, parse_locator
from vhdx.structures.lookalikes import FRONT_SIZE, TAIL_SIZE, is_vhd
from vhdx.structures.metadata import ITEM_SIZES, MetadataTable, check_metadata_table, parse_metadata_table
from vhdx.structures.region import (
    RegionEntry,
    RegionTable,
    check_layout,
    check_region_tables,
    judge_region_tables,
)
from vhdx.table import BlockTable

# Sectors of this byte have no valid signature and no valid checksum: no header, region table or log entry.
_INVALID = 0xFF


@dataclass(frozen=True, eq=False, repr=False)
class Structures:
    """The structures of one open file, in the order in which one leads to the next."""

    file: ByteSource
    """The file as it is."""
    reading: AbstractContextManager[object] = field(default_factory=RLock, init=False)
    """See Reads."""

    def __post_init__(self) -> None:
        """Take what was not read of the copies for invalid, so that the others serve, and ignore what is reserved."""
        assume_of(self.file, Range.between(len(SIGNATURE), HEADER_AREA_SIZE), 0)
        for offset in HEADER_OFFSETS:
            assume_of(self.file, Range(offset, HEADER_SIZE), _INVALID)
        for offset in REGION_TABLE_OFFSETS:
            assume_of(self.file, Range(offset, REGION_TABLE_SIZE), _INVALID)

    @Once
    def identifier(self) -> Parsed[Identifier]:
        """The file's first bytes, and whether the file is long enough for its headers."""
        page = read_at(self.file, 0, min(self.file.size, IDENTIFIER_SIZE))
        identifier, tail = parse_identifier(page), b""
        if identifier.signature != SIGNATURE:
            page = read_at(self.file, 0, min(self.file.size, FRONT_SIZE))
            tail = read_at(self.file, max(0, self.file.size - TAIL_SIZE), min(self.file.size, TAIL_SIZE))
        length = check_length(self.file.size) if identifier.signature == SIGNATURE else ()
        return Parsed(identifier, (*check_identifier(identifier, page, tail), *length))

    @Once
    def headers(self) -> Parsed[Copies[Header]]:
        """Both header copies."""
        pair = judge_headers(_two_pages(self.file, HEADER_OFFSETS, HEADER_SIZE))
        return Parsed(pair, tuple(check_headers(pair, self.file.size)))

    @property
    def header(self) -> Header | None:
        """The current header; None where neither copy can serve."""
        pair = self.headers.value
        return None if pair is None or pair.current_copy is None else pair.current

    @Once
    def log(self) -> Parsed[Log]:
        """The log that the current header points at, else the first one; it is looked through only where it is live."""
        log = open_log(self.file, self.headers.get().current)
        assume_of(self.file, Range(log.log_offset, log.log_length), _INVALID)
        is_live = self.header is not None and self.header.log_is_live
        return Parsed(log, tuple(check_log(log, self.file.size)) if is_live else ())

    @Once
    def replay(self) -> Parsed[ByteSource]:
        """The file once its live log is applied; the file itself where that is closed, or holds nothing to apply."""
        log = self.log.value
        is_live = log is not None and self.header is not None and self.header.log_is_live
        return Parsed(replayed(log) if log is not None and is_live and log.active else self.file)

    @property
    def source(self) -> ByteSource:
        """What all that follows the log is read from: the file once its log is applied, as far as that can be."""
        return self.file if self.replay.value is None else self.replay.value

    @Once
    def regions(self) -> Parsed[Copies[RegionTable]]:
        """Both region tables, and whether what the one that serves lists overlaps."""
        pair = judge_region_tables(_two_pages(self.source, REGION_TABLE_OFFSETS, REGION_TABLE_SIZE))
        overlaps = () if pair.current_copy is None else check_layout(structures_of(self.header, pair))
        return Parsed(pair, (*check_region_tables(pair, self.source.size), *overlaps))

    def region(self, guid: UUID) -> RegionEntry | None:
        """The place of a region, by the region table that serves; None where there is none."""
        pair = self.regions.value
        return None if pair is None or pair.current_copy is None else pair.current.find(guid)

    @Once
    def metadata(self) -> Parsed[MetadataTable]:
        """The metadata table; none where no region is listed or it is past the end of the file."""
        self.regions.get()  # what keeps them from being read keeps this from being read as well
        region = self.region(METADATA_REGION)
        if region is None or region.file_offset + METADATA_TABLE_SIZE > self.source.size:
            return Parsed()
        table = parse_metadata_table(read_at(self.source, region.file_offset, METADATA_TABLE_SIZE))
        return Parsed(table, tuple(check_metadata_table(table, region.file_offset, region.length)))

    def place_of(self, item_id: UUID) -> tuple[int, int] | None:
        """Offset in the file and length of a system item, in bytes; None where the metadata table does not list it."""
        region, table = self.region(METADATA_REGION), self.metadata.value
        entry = table.find(item_id) if table else None
        return (region.file_offset + entry.offset, entry.length) if region and entry else None

    def item(self, item_id: UUID) -> bytes:
        """The content of a system item, as much of it as the file has and the format allows; raises as `read_at`."""
        at, length = self.place_of(item_id) or (0, 0)
        return read_at(self.source, at, max(0, min(length, MAX_ITEM_SIZE, self.source.size - at)))

    @Once
    def parameters(self) -> Parsed[DiskParameters]:
        """What disk it is; nothing where one of the items that every file has is not there, or is too short."""
        items = {item_id: self.item(item_id) for item_id in ITEM_SIZES}
        if any(len(items[item_id]) < size for item_id, size in ITEM_SIZES.items()):
            return Parsed()
        disk = parse_disk_parameters(items)
        places = {item_id: place[0] for item_id in ITEM_SIZES if (place := self.place_of(item_id))}
        return Parsed(disk, tuple(check_disk_parameters(disk, places)))

    @property
    def has_parent(self) -> bool | None:
        """Whether the file is a differencing one; None where its parameters are lost. Raises as `item` does."""
        if self.parameters.value is not None:
            return self.parameters.value.has_parent
        if self.parameters.error is not None:  # perhaps of this very item: it is not asked for again
            return None
        item = self.item(FILE_PARAMETERS)
        return has_parent_flag(item) if len(item) >= ITEM_SIZES[FILE_PARAMETERS] else None

    @Once
    def locator(self) -> Parsed[ParentLocator]:
        """Who the parent is; no value where the file has none. It matters once the parent is wanted."""
        region, place = self.region(METADATA_REGION), self.place_of(PARENT_LOCATOR)
        if region is None or self.metadata.value is None:
            return Parsed()
        if place is None:
            text, advice = "the file has a parent and no parent locator", "name it with --parent"
            lost = Finding("LOC-01", Severity.ERROR, text, region.file_offset, None, "2.6.2.6", advice)
            return Parsed(findings=(lost,) if self.has_parent else ())
        if self.has_parent is False:
            text = "a parent locator is in a file that has no parent; it is ignored"
            return Parsed(findings=(Finding("LOC-02", Severity.WARNING, text, *place, "2.6.2.6"),))
        item = self.item(PARENT_LOCATOR)
        if len(item) < place[1]:
            return Parsed()  # the metadata table's findings say so
        locator = parse_locator(item)
        return Parsed(locator, tuple(check_locator(locator, *place)))

    @Once
    def table(self) -> Parsed[BlockTable]:
        """The block table; none where its region or the disk that it is for is not known."""
        disk, bat = self.parameters, self.region(BAT_REGION)
        # Reserved flags (MET-19) leave blocks and slots what they are; every other error makes them meaningless.
        broken = any(found.severity is Severity.ERROR and found.code != "MET-19" for found in disk.findings)
        if disk.value is None or bat is None or self.regions.value is None or broken:
            return Parsed()
        if bat.end > self.source.size or bat.file_offset % MIB:
            return Parsed()
        assume_of(self.file, Range(bat.file_offset, bat.length), _INVALID)  # whoever reads pages, not entries
        geometry = Geometry(disk.value.size, disk.value.block_size, disk.value.logical_sector_size)
        taken = structures_of(self.header, self.regions.value)
        table = BlockTable(self.source, geometry, bat.file_offset, bat.length, disk.value.has_parent, taken)
        if table.bat_length // 8 >= table.slots_needed:
            return Parsed(table)
        held = f"the BAT region holds {table.bat_length // 8} entries"
        text = f"{held} and the disk needs {table.slots_needed}; the rest is lost"
        return Parsed(table, (Finding("MET-22", Severity.WARNING, text, bat.file_offset, bat.length, "2.5"),))

    def close(self) -> None:
        """Close the file."""
        close_source(self.file)


Opener = Callable[[Path], Structures]
"""What opens a file by its path; raises as FileSource does."""


def open_structures(path: Path, maps: SourceMaps = BESIDE) -> Structures:
    """The structures of a file, opened read-only; raises NotRegularFileError, InputOutputError, SourceMapError."""
    return Structures(maps.source(path))


def is_vhd_file(source: ByteSource) -> bool:
    """Whether a file begins or ends as a VHD of version 1 does; what cannot be read is none."""
    front = read_if_possible(source, 0, min(TAIL_SIZE, source.size))
    if front.startswith(SIGNATURE):
        return False
    return is_vhd(front, read_if_possible(source, max(0, source.size - TAIL_SIZE), min(TAIL_SIZE, source.size)))


def structures_of(header: Header | None, regions: Copies[RegionTable]) -> tuple[NamedRange, ...]:
    """The regions, and the log where a header gives its place, sorted by place."""
    found = [NamedRange(entry.file_offset, entry.length, f"{entry.name} region") for entry in regions.current.entries]
    if header is not None and header.log_length:
        found.append(NamedRange(header.log_offset, header.log_length, "log"))
    return tuple(sorted(found))


def _two_pages(source: ByteSource, offsets: tuple[int, int], size: int) -> tuple[bytes, bytes]:
    return read_at(source, offsets[0], size), read_at(source, offsets[1], size)
