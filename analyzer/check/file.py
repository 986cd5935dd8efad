"""One file, looked at whole: every rule is asked, and no error ends it as long as anything behind it can be read."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from analyzer.check.bitmaps import check_bitmaps
from analyzer.check.blocks import check_blocks
from analyzer.check.diagnosis.displaced_entries import missing_interleave, shifted_pages
from analyzer.check.diagnosis.flipped_bits import flips_of_headers, flips_of_region_tables
from analyzer.check.diagnosis.logged_entries import lost_table_updates
from analyzer.check.front import check_both_headers, check_both_region_tables, check_creator, check_gaps
from analyzer.check.locators import check_locator_facts
from analyzer.check.logs import check_whole_log
from analyzer.check.recovery_map import check_beside
from analyzer.check.summarise import bounded
from analyzer.check.unallocated_space import check_ends, check_host, check_space
from vhdx.allocation import Allocation
from vhdx.errors import InputOutputError, NotRegularFileError, ShortReadError, VhdxError, located
from vhdx.findings import Finding, Severity
from vhdx.geometry import Geometry
from vhdx.image import check_bat_size, judge_locator, structures_of
from vhdx.replay import Log, open_log, replayed
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.structures.constants import (
    BAT_REGION,
    HEADER_AREA_SIZE,
    HEADER_OFFSETS,
    HEADER_SIZE,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    MIB,
    PARENT_LOCATOR,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.disk import DiskParameters, check_disk_parameters, parse_disk_parameters
from vhdx.structures.header import Header, HeaderPair, judge_headers
from vhdx.structures.identifier import (
    SIGNATURE,
    TAIL_SIZE,
    Identifier,
    check_identifier,
    check_length,
    parse_identifier,
)
from vhdx.structures.identifier import SIZE as IDENTIFIER_SIZE
from vhdx.structures.metadata import ITEM_SIZES, MetadataTable, check_metadata_table, parse_metadata_table
from vhdx.structures.region import RegionEntry, RegionTablePair, check_layout, judge_region_tables
from vhdx.table import BlockTable

_SHORT = "Get a whole copy of the file; if there is none, `vhdx recover FILE -o disk.raw` writes what is left."


def check_file_alone(path: Path) -> tuple[Finding, ...]:
    """Everything that is wrong with, or worth knowing of, one file; never raises for what is in it, or is not."""
    try:
        with closing(FileSource(path)) as source:
            return (*located(path, check_source(source)), *check_beside(path))
    except VhdxError as error:
        return (unreadable(error, path),)


def check_source(source: ByteSource) -> Iterator[Finding]:
    """Everything about a source that is open, in the order of the file's structures; many alike are bounded."""
    found: list[Finding] = []
    try:
        found.extend(_Examination(source).findings())  # what came before an error stays
    except VhdxError as error:
        found.append(unreadable(error, source.path))
    return bounded(dict.fromkeys(found))


def unreadable(error: VhdxError, path: Path) -> Finding:
    """That a file cannot be read, or not all of it."""
    offset = getattr(error, "offset", None)
    text, advice = f"not all of the file can be read: {error}", ""
    if isinstance(error, ShortReadError):
        text = f"the file ends inside a structure: of {error.wanted} bytes at {error.offset} {error.got} are there"
        advice = _SHORT
    elif isinstance(error, NotRegularFileError):
        text, advice = "it is not a regular file, or a folder without any VHDX", "Name a .vhdx or .avhdx file."
    elif isinstance(error, InputOutputError):
        text = f"the system cannot {error.action} it: {error.reason}"
        advice = "Check the path and its permissions." if error.action == "open" else ""
    return Finding("FID-11", Severity.ERROR, text, offset, advice=advice, path=path)


@dataclass(slots=True)
class _Examination:
    """Goes from structure to structure; what one tells is needed for the next."""

    file: ByteSource

    def findings(self) -> Iterator[Finding]:
        """Everything, as far as it can be read."""
        yield from check_host(self.file)
        if self.file.size < HEADER_AREA_SIZE:
            yield from self._identifier()
            yield from check_length(self.file.size) if self._is_named_vhdx() else ()
            return
        pages = self._pages(self.file, HEADER_OFFSETS, HEADER_SIZE)
        headers = judge_headers(pages)
        yield from self._identifier()
        if headers.current_copy is None and not self._is_named_vhdx():
            return  # nothing here is a VHDX
        yield from check_gaps(self.file)
        yield from check_ends(self.file)
        yield from check_both_headers(headers, pages, self.file.size)
        yield from (flipped.finding for flipped in flips_of_headers(self.file))
        source, found = self._replay(headers)
        yield from found
        yield from self._regions(source, headers)

    def _is_named_vhdx(self) -> bool:
        return not any(check_identifier(self._parsed(), b""))

    def _parsed(self) -> Identifier:
        return parse_identifier(read_at(self.file, 0, min(self.file.size, IDENTIFIER_SIZE)))

    def _identifier(self) -> Iterator[Finding]:
        page = read_at(self.file, 0, min(self.file.size, IDENTIFIER_SIZE))
        tail = read_at(self.file, max(0, self.file.size - TAIL_SIZE), min(self.file.size, TAIL_SIZE))
        identifier = parse_identifier(page)
        yield from check_identifier(identifier, page, tail)
        if identifier.signature == SIGNATURE:
            yield from check_creator(identifier)

    @staticmethod
    def _pages(source: ByteSource, offsets: tuple[int, int], size: int) -> tuple[bytes, bytes]:
        return read_at(source, offsets[0], size), read_at(source, offsets[1], size)

    def _replay(self, headers: HeaderPair) -> tuple[ByteSource, list[Finding]]:
        if headers.current_copy is None:
            return self.file, []
        log = open_log(self.file, headers.current)
        found = list(check_whole_log(log, self.file.size))
        sound = headers.current.log_is_live and log.active
        return (replayed(log) if sound else self.file), found

    def _regions(self, source: ByteSource, headers: HeaderPair) -> Iterator[Finding]:
        pages = self._pages(source, REGION_TABLE_OFFSETS, REGION_TABLE_SIZE)
        regions = judge_region_tables(pages)
        yield from check_both_region_tables(regions, pages, source.size)
        yield from (flipped.finding for flipped in flips_of_region_tables(source))
        if regions.current_copy is None:
            return
        header = None if headers.current_copy is None else headers.current
        yield from check_layout(list(structures_of(header, regions)))
        yield from self._metadata(source, regions, header)

    def _metadata(self, source: ByteSource, regions: RegionTablePair, header: Header | None) -> Iterator[Finding]:
        region, bat = regions.current.find(METADATA_REGION), regions.current.find(BAT_REGION)
        if region is None or region.file_offset + METADATA_TABLE_SIZE > source.size:
            return
        metadata = parse_metadata_table(read_at(source, region.file_offset, METADATA_TABLE_SIZE))
        yield from check_metadata_table(metadata, region.file_offset, region.length)
        items = self._items(source, metadata, region.file_offset)
        if set(items) != set(ITEM_SIZES):
            return
        parameters = parse_disk_parameters(items)
        places = {item: region.file_offset + entry.offset for item in ITEM_SIZES if (entry := metadata.find(item))}
        flaws = list(check_disk_parameters(parameters, places))
        yield from flaws
        yield from self._locator(source, metadata, region, parameters)
        usable = all(flaw.severity is not Severity.ERROR or flaw.code == "MET-19" for flaw in flaws)
        if bat is not None and usable and bat.end <= source.size and not bat.file_offset % MIB:
            geometry = Geometry(parameters.size, parameters.block_size, parameters.logical_sector_size)
            around = structures_of(header, regions)
            table = BlockTable(source, geometry, bat.file_offset, bat.length, parameters.has_parent, around)
            yield from _check_table(table, parameters)
            if header is not None:  # else what seems to belong to nothing may be the log
                yield from check_space(table, live=header.log_is_live)
                yield from _check_history(table, open_log(self.file, header), self._parsed().creator)

    @staticmethod
    def _items(source: ByteSource, metadata: MetadataTable, at: int) -> dict[UUID, bytes]:
        """The items that every file has, those that are where they should be and as long as they should be."""
        found = {}
        for item_id, size in ITEM_SIZES.items():
            entry = metadata.find(item_id)
            if entry and entry.length >= size and at + entry.offset + size <= source.size:
                found[item_id] = read_at(source, at + entry.offset, size)
        return found

    @staticmethod
    def _locator(
        source: ByteSource, metadata: MetadataTable, region: RegionEntry, parameters: DiskParameters
    ) -> Iterator[Finding]:
        entry = metadata.find(PARENT_LOCATOR)
        if entry and region.file_offset + entry.offset + entry.length > source.size:
            return  # told with the metadata table
        locator, flaws = judge_locator(source, metadata, region, parameters)
        yield from flaws
        if locator and entry:
            yield from check_locator_facts(locator, region.file_offset + entry.offset)


def _check_history(table: BlockTable, log: Log, creator: str) -> Iterator[Finding]:
    """What writers are known to have done to block tables, and what old log entries say against this one."""
    yield from (page.finding for page in lost_table_updates(table, log))
    interleave, shifted = missing_interleave(table), [page.finding for page in shifted_pages(table, creator)]
    if interleave is None or not shifted:  # where both would explain it, neither is certain
        yield from shifted
        yield from [interleave.finding] if interleave else []


def _check_table(table: BlockTable, parameters: DiskParameters) -> Iterator[Finding]:
    allocation = Allocation(table)
    yield from check_bat_size(table)
    yield from check_blocks(allocation, parameters)
    if table.has_parent:
        yield from check_bitmaps(table)
