"""The structures of a file as they stand in it, each copy, damaged or not.

Nothing here needs a file that opens: each part is read by itself, and what stops one does not stop the next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from vhdx.errors import VhdxError, located
from vhdx.findings import Finding
from vhdx.image import Image, image_from
from vhdx.replay import PlacedEntry, check_log, open_log, replayed
from vhdx.runs import Kind
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import (
    HEADER_OFFSETS,
    HEADER_SIZE,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    MIB,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.disk import DiskParameters, check_disk_parameters, parse_disk_parameters
from vhdx.structures.header import HeaderPair, check_headers, judge_headers
from vhdx.structures.identifier import SIZE as IDENTIFIER_SIZE
from vhdx.structures.identifier import check_identifier, parse_identifier
from vhdx.structures.log import Write
from vhdx.structures.metadata import ITEM_SIZES, MetadataTable, check_metadata_table, parse_metadata_table
from vhdx.structures.region import RegionTablePair, check_region_tables, judge_region_tables

PARTS = ("identifier", "headers", "regions", "metadata", "locator", "log", "bat", "bitmap")
_MOST_FLAWS = 1000
"""Damaged blocks whose flaws are told one by one."""
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """One structure: its records as they are made, what is wrong with it, and what kept it from being read."""

    name: str
    records: Iterator[Record]
    findings: tuple[Finding, ...] = ()
    error: str | None = None


def dump(path: Path, parts: Sequence[str] = PARTS) -> Iterator[Section]:
    """The sections that `parts` names; raises InputOutputError and NotRegularFileError for the file itself."""
    with FileSource(path) as file:
        for part in parts:
            try:
                section = _READERS[part](file)
                yield replace(section, findings=tuple(located(path, section.findings)))
            except VhdxError as error:
                yield Section(part, iter(()), (), str(error))


def _identifier(file: ByteSource) -> Section:
    page = read_at(file, 0, min(file.size, IDENTIFIER_SIZE))
    identifier = parse_identifier(page)
    record = {"offset": 0, "signature": identifier.signature.decode("latin-1"), "creator": identifier.creator}
    return Section("identifier", iter([record]), tuple(check_identifier(identifier, page)))


def _header_pair(file: ByteSource) -> HeaderPair:
    first, second = (read_at(file, offset, HEADER_SIZE) for offset in HEADER_OFFSETS)
    return judge_headers((first, second))


def _headers(file: ByteSource) -> Section:
    pair = _header_pair(file)
    records = [
        {"copy": copy + 1, "offset": offset, "valid": not flaws, "current": pair.current_copy == copy}
        | asdict(header)
        | {"signature": header.signature.decode("latin-1")}
        for copy, (header, flaws, offset) in enumerate(zip(pair.copies, pair.flaws, HEADER_OFFSETS, strict=True))
    ]
    return Section("headers", iter(records), tuple(check_headers(pair, file.size)))


def _as_replayed(file: ByteSource) -> ByteSource:
    """The file with its live log applied, where that can be done."""
    header = _header_pair(file).current
    log = open_log(file, header)
    return replayed(log) if header.log_is_live and log.active else file


def _region_tables(source: ByteSource) -> RegionTablePair:
    first, second = (read_at(source, offset, REGION_TABLE_SIZE) for offset in REGION_TABLE_OFFSETS)
    return judge_region_tables((first, second))


def _regions(file: ByteSource) -> Section:
    source = _as_replayed(file)
    pair = _region_tables(source)
    records = [
        {"copy": copy + 1, "offset": offset, "valid": not flaws, "current": pair.current_copy == copy}
        | {"signature": table.signature.decode("latin-1"), "checksum": table.checksum, "reserved": table.reserved}
        | {
            "entry_count": table.entry_count,
            "entries": [asdict(entry) | {"name": entry.name} for entry in table.entries],
        }
        for copy, (table, flaws, offset) in enumerate(zip(pair.copies, pair.flaws, REGION_TABLE_OFFSETS, strict=True))
    ]
    return Section("regions", iter(records), tuple(check_region_tables(pair, source.size)))


def _metadata(file: ByteSource) -> Section:
    source = _as_replayed(file)
    region = _region_tables(source).current.find(METADATA_REGION)
    if region is None:
        return Section("metadata", iter(()), (), "no metadata region is listed; see `vhdx dump FILE regions`")
    table = parse_metadata_table(read_at(source, region.file_offset, METADATA_TABLE_SIZE))
    findings = [*check_metadata_table(table, region.file_offset, region.length)]
    records: list[Record] = [asdict(entry) | {"name": entry.name} for entry in table.entries]
    parameters = _parameters(source, table, region.file_offset)
    if parameters is not None:
        records.append(asdict(parameters) | {"is_fixed": parameters.is_fixed, "has_parent": parameters.has_parent})
        places = {entry.item_id: region.file_offset + entry.offset for entry in table.entries}
        findings += check_disk_parameters(parameters, places)
    return Section("metadata", iter(records), tuple(findings))


def _parameters(source: ByteSource, table: MetadataTable, at: int) -> DiskParameters | None:
    """The disk's parameters where all of their items are there and as long as they must be."""
    entries = {item_id: table.find(item_id) for item_id in ITEM_SIZES}
    items = {
        item_id: read_at(source, at + entry.offset, entry.length)
        for item_id, entry in entries.items()
        if entry is not None and entry.length == ITEM_SIZES[item_id]
    }
    return parse_disk_parameters(items) if len(items) == len(ITEM_SIZES) else None


def _locator(file: ByteSource) -> Section:
    image = image_from(file)
    entries = image.locator.entries if image.locator else ()
    records = [
        {"key": entry.key, "value": entry.value, "key_offset": entry.key_offset, "value_offset": entry.value_offset}
        for entry in entries
    ]
    return Section("locator", iter(records), image.locator_flaws)


def _log(file: ByteSource) -> Section:
    header = _header_pair(file).current
    log = open_log(file, header)
    active = set(log.active)
    records = (_log_record(placed, placed.at in active and header.log_is_live) for placed in log.entries())
    return Section("log", records, tuple(check_log(log, file.size)) if header.log_is_live else ())


def _log_record(placed: PlacedEntry, is_live: bool) -> Record:  # noqa: FBT001 - a fact, not a switch
    record = asdict(placed.header) | {"signature": "loge"}
    writes = [_write_record(write) for write in placed.entry.writes()]
    return {"at": placed.at, "live": is_live} | record | {"writes": writes}


def _write_record(write: Write) -> Record:
    kind = "zero" if write.data is None else "data"
    return {"kind": kind, "file_offset": write.file_offset, "length": write.length}


def _bat(file: ByteSource) -> Section:
    image = image_from(file)
    table = image.allocation.table
    damaged = list(
        islice((block for some in image.allocation.table.damaged_blocks() for block in some.tolist()), _MOST_FLAWS)
    )
    flaws = dict.fromkeys(flaw for block in damaged for flaw in table.flaws_of_block(block))
    return Section("bat", _bat_records(image), tuple(flaws))


def _bat_records(image: Image) -> Iterator[Record]:
    table, geometry = image.allocation.table, image.geometry
    slots = geometry.slots_in_child if image.has_parent else geometry.slots_in_base
    for first in range(0, slots, 1 << 16):
        entries = table.entries(first, min(1 << 16, slots - first))
        for index in entries.nonzero()[0].tolist():
            yield _bat_record(image, first + index, int(entries[index]) & (1 << 64) - 1)


def _bat_record(image: Image, slot: int, value: int) -> Record:
    chunk, inside = divmod(slot, image.geometry.chunk_ratio + 1)
    is_bitmap = inside == image.geometry.chunk_ratio
    number = chunk if is_bitmap else slot - chunk
    place = {"sector_bitmap" if is_bitmap else "block": number}
    state = BlockState(value & 7)
    return (
        {"slot": slot}
        | place
        | {"state": state.name.lower(), "file_offset": (value >> 20) * MIB, "raw": f"{value:016x}"}
    )


def _bitmap(file: ByteSource) -> Section:
    return Section("bitmap", _bitmap_records(image_from(file)))


def _bitmap_records(image: Image) -> Iterator[Record]:
    """The sectors that a differencing file holds itself, as runs."""
    if not image.has_parent:
        return
    sector = image.sector_size
    for table in image.windows():
        for run in table:
            if run.kind is not Kind.HOLE:
                yield {"sector": run.start // sector, "sectors": run.length // sector, "kind": run.kind.name.lower()}


_READERS: Mapping[str, Callable[[ByteSource], Section]] = {
    "identifier": _identifier,
    "headers": _headers,
    "regions": _regions,
    "metadata": _metadata,
    "locator": _locator,
    "log": _log,
    "bat": _bat,
    "bitmap": _bitmap,
}
