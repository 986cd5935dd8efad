"""One file, opened: every structure parsed and judged, its log replayed in memory."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from vhdx.allocation import MOST_RUNS, Allocation
from vhdx.disk import Disk
from vhdx.errors import CorruptFileError, LostDataError, NeedsParentError, VhdxError, located, require
from vhdx.findings import Finding, Severity
from vhdx.geometry import Geometry
from vhdx.masked import Mask
from vhdx.replay import Log, check_log, open_log, replayed
from vhdx.runs import Kind, Run, RunTable
from vhdx.source import ByteSource, FileSource, Opener, read_at
from vhdx.structures.constants import (
    BAT_REGION,
    HEADER_OFFSETS,
    HEADER_SIZE,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    PARENT_LOCATOR,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.disk import DiskParameters, check_disk_parameters, parse_disk_parameters
from vhdx.structures.header import Header, HeaderPair, check_headers, judge_headers
from vhdx.structures.identifier import SIZE as IDENTIFIER_SIZE
from vhdx.structures.identifier import TAIL_SIZE, Identifier, check_identifier, check_length, parse_identifier
from vhdx.structures.locator import ParentLocator, check_locator, parse_locator
from vhdx.structures.metadata import ITEM_SIZES, MetadataTable, check_metadata_table, parse_metadata_table
from vhdx.structures.region import (
    RegionEntry,
    RegionTablePair,
    check_layout,
    check_region_tables,
    judge_region_tables,
)
from vhdx.table import BlockTable

_log = logging.getLogger("vhdx")


@dataclass(frozen=True, eq=False, repr=False)
class Image(Disk):
    """One VHDX file, immutable. By itself it reads what it holds; what it leaves to a parent, a chain reads."""

    file: ByteSource
    """The file as it is."""
    source: ByteSource
    """The file as it is once its log is replayed; `file` itself when the log is closed."""
    identifier: Identifier
    headers: HeaderPair
    log: Log
    regions: RegionTablePair
    metadata: MetadataTable
    parameters: DiskParameters
    locator: ParentLocator | None
    locator_flaws: tuple[Finding, ...]
    """What is wrong with the locator: it matters once the parent is wanted."""
    allocation: Allocation
    opening_findings: tuple[Finding, ...]
    masks: tuple[Mask, ...] = ()
    """What of this file's disk is not believed, whatever its table says."""

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file.path

    @property
    def size(self) -> int:
        """Bytes of the virtual disk."""
        return self.parameters.size

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector."""
        return self.parameters.logical_sector_size

    @property
    def header(self) -> Header:
        """The current header."""
        return self.headers.current

    @property
    def data_write_guid(self) -> UUID:
        """The identity of what the disk shows; a child names it as its parent_linkage."""
        return self.header.data_write_guid

    @property
    def has_parent(self) -> bool:
        """This is a differencing file."""
        return self.parameters.has_parent

    @property
    def geometry(self) -> Geometry:
        """Blocks, chunks and slots of this file."""
        return self.allocation.geometry

    @property
    def log_was_replayed(self) -> bool:
        """The log was live; its changes are seen here and are not in the file."""
        return self.header.log_is_live

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The one file."""
        return (self.source,)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What opening found that is no error, the locator's flaws included."""
        return self.opening_findings + self.locator_flaws

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk. All runs are of layer 0; HOLE is the parent's where there is one, else zeros."""
        return windows_of(self, 0, self.size, start, self.size if end is None else min(end, self.size))

    def refusal(self, run: Run) -> VhdxError | None:
        """See Disk."""
        if run.kind is Kind.LOST:
            return LostDataError(self.path, run.start, run.length, self.why_lost(run.start))
        if run.kind is Kind.HOLE and self.has_parent:
            return NeedsParentError(self.path, run.start)
        return None

    def why_lost(self, start: int) -> str:
        """The reason why byte `start` of the disk cannot be known from this file."""
        masked = (mask.reason for mask in self.masks if mask.holds(start))
        return next(masked, None) or self.allocation.table.why_lost(start)

    def require_unchanged(self) -> None:
        """See Disk."""
        if isinstance(self.file, FileSource):
            self.file.require_unchanged()

    def close(self) -> None:
        """Give the file back to the system."""
        if isinstance(self.file, FileSource):
            self.file.close()


def windows_of(
    image: Image, layer: int, view: int, start: int, end: int, *, limit: int = MOST_RUNS
) -> Iterator[RunTable]:
    """Windows of one layer from `start` to `end`; past byte `view` of the disk the layer shows zeros.

    A parent that ends before its child does so, and so does one that a shorter layer above it cuts off.
    """
    sector = image.sector_size
    position, upto = start, min(end, view)
    while position < upto:
        aligned = position // sector * sector
        table = image.allocation.scan(aligned, -(-upto // sector) * sector, layer=layer, limit=limit).clip(
            position, upto
        )
        for mask in image.masks:
            table = mask.laid_over(table, layer)
        yield table
        position = table.end
    if position < end:
        yield RunTable.filled(max(start, view), end, Kind.ZERO, layer)


def open_image(path: Path | str, *, opened: Opener = FileSource) -> Image:
    """Open one file read-only, by `opened`, judge its structures, and replay a live log in memory.

    Raises CorruptFileError for the first rule that is broken, NotRegularFileError, InputOutputError, ShortReadError.
    """
    source = opened(Path(path))
    try:
        return image_from(source)
    except BaseException:
        source.close()
        raise


def image_from(file: ByteSource) -> Image:
    """The image in a source that is open; raises as `open_image` does, and leaves the source open."""
    identifier, headers, found = _read_front(file)
    log = open_log(file, headers.current)
    source = file
    if headers.current.log_is_live:
        found += require(file.path, check_log(log, file.size))
        source = replayed(log)
    regions = judge_region_tables(
        (
            read_at(source, REGION_TABLE_OFFSETS[0], REGION_TABLE_SIZE),
            read_at(source, REGION_TABLE_OFFSETS[1], REGION_TABLE_SIZE),
        )
    )
    found += require(file.path, check_region_tables(regions, source.size))
    structures = structures_of(headers.current, regions)
    found += require(file.path, check_layout(list(structures)))
    image = _read_disk(file, source, regions, structures, _Front(identifier, headers, log, found))
    for finding in image.findings:
        if finding.severity is Severity.WARNING:
            _log.warning("%s: %s", file.path, finding)
    return image


@dataclass(frozen=True, slots=True)
class _Front:
    """What is known before the regions are read."""

    identifier: Identifier
    headers: HeaderPair
    log: Log
    found: tuple[Finding, ...]


def _read_front(file: ByteSource) -> tuple[Identifier, HeaderPair, tuple[Finding, ...]]:
    page = read_at(file, 0, min(file.size, IDENTIFIER_SIZE))
    identifier = parse_identifier(page)
    tail = read_at(file, max(0, file.size - TAIL_SIZE), min(file.size, TAIL_SIZE))
    found = require(file.path, check_identifier(identifier, page, tail))
    found += require(file.path, check_length(file.size))
    first, second = (read_at(file, offset, HEADER_SIZE) for offset in HEADER_OFFSETS)
    headers = judge_headers((first, second))
    return identifier, headers, found + require(file.path, check_headers(headers, file.size))


def structures_of(header: Header | None, regions: RegionTablePair) -> tuple[tuple[int, int, str], ...]:
    """The regions, and the log where a header tells its place, as (start, end, name) in bytes of the file, by place."""
    extents = [(entry.file_offset, entry.end, f"{entry.name} region") for entry in regions.current.entries]
    if header is not None and header.log_length:
        extents.append((header.log_offset, header.log_offset + header.log_length, "log"))
    return tuple(sorted(extents))


def _read_disk(
    file: ByteSource,
    source: ByteSource,
    regions: RegionTablePair,
    structures: tuple[tuple[int, int, str], ...],
    front: _Front,
) -> Image:
    region, bat = (_region(file, regions, guid) for guid in (METADATA_REGION, BAT_REGION))
    metadata = parse_metadata_table(read_at(source, region.file_offset, METADATA_TABLE_SIZE))
    found = front.found + require(file.path, check_metadata_table(metadata, region.file_offset, region.length))
    places = {entry.item_id: region.file_offset + entry.offset for entry in metadata.entries if not entry.is_user}
    parameters = parse_disk_parameters(_items(source, metadata, region))
    found += require(file.path, check_disk_parameters(parameters, places))
    geometry = Geometry(parameters.size, parameters.block_size, parameters.logical_sector_size)
    locator, flaws = judge_locator(source, metadata, region, parameters)
    table = BlockTable(source, geometry, bat.file_offset, bat.length, parameters.has_parent, structures)
    found += require(file.path, check_bat_size(table))
    return Image(
        *(file, source, front.identifier, front.headers, front.log, regions, metadata, parameters),
        *(locator, tuple(located(file.path, flaws)), Allocation(table), found),
    )


def _region(file: ByteSource, regions: RegionTablePair, guid: UUID) -> RegionEntry:
    region = regions.current.find(guid)
    if region is None:  # check_region_tables has said so already
        raise CorruptFileError(file.path, Finding("REG-13", Severity.ERROR, f"no region {guid} is listed"))
    return region


def _items(source: ByteSource, metadata: MetadataTable, region: RegionEntry) -> Mapping[UUID, bytes]:
    found = ((item_id, metadata.find(item_id)) for item_id in ITEM_SIZES)
    return {
        item_id: read_at(source, region.file_offset + entry.offset, entry.length)
        for item_id, entry in found
        if entry is not None
    }


def judge_locator(
    source: ByteSource, metadata: MetadataTable, region: RegionEntry, parameters: DiskParameters
) -> tuple[ParentLocator | None, tuple[Finding, ...]]:
    """The parent locator, None where there is none or it means nothing, and what is wrong with it."""
    entry = metadata.find(PARENT_LOCATOR)
    if entry is None:
        text = "the file has a parent and no parent locator"
        missing = Finding("LOC-01", Severity.ERROR, text, region.file_offset, None, "2.6.2.6", "name it with --parent")
        return None, (missing,) if parameters.has_parent else ()
    at = region.file_offset + entry.offset
    if not parameters.has_parent:
        text = "a parent locator stands in a file that has no parent; it is ignored"
        return None, (Finding("LOC-02", Severity.WARNING, text, at, entry.length, "2.6.2.6"),)
    locator = parse_locator(read_at(source, at, entry.length))
    return locator, tuple(check_locator(locator, at, entry.length))


def check_bat_size(table: BlockTable) -> Iterator[Finding]:
    """Whether the BAT region has room for the entries that the disk needs."""
    slots = table.slots_needed
    if table.bat_length // 8 < slots:
        text = f"the BAT region holds {table.bat_length // 8} entries and the disk needs {slots}; the rest is lost"
        yield Finding("MET-22", Severity.WARNING, text, table.bat_offset, table.bat_length, "2.5")
