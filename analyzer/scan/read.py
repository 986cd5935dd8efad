"""A file's record: by opening it, or, where that fails, from whatever of its headers and metadata can be read."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from construct import ConstructError

from analyzer.scan.coverage import UNKNOWN, Layer, measure
from analyzer.scan.find import THREADS, Sighting
from analyzer.scan.record import Condition, FileRecord, Place
from vhdx import compiling
from vhdx.errors import CorruptFileError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, open_image
from vhdx.paths import Refused, locate
from vhdx.source import FileSource, file_identity, read_at
from vhdx.structures.constants import (
    FILE_PARAMETERS,
    HEADER_OFFSETS,
    HEADER_SIZE,
    MAX_ITEM_SIZE,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    NIL,
    PARENT_LOCATOR,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.disk import DiskParameters, parse_disk_parameters
from vhdx.structures.header import Header, HeaderPair, judge_headers
from vhdx.structures.locator import ParentLocator, parse_locator
from vhdx.structures.metadata import ITEM_SIZES, MetadataTable, parse_metadata_table
from vhdx.structures.region import judge_region_tables

_MOST_ROUNDS = 256
"""How often parents outside the folders lead to further ones: as deep as a chain may be."""
_MANY = 200
"""Files whose tables, small ones together, repay compiling what goes through them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file's record, and what it holds."""

    record: FileRecord
    layer: Layer = UNKNOWN


def read_all(sightings: Sequence[Sighting], tick: Callable[[int], None]) -> list[Reading]:
    """The reading of each file, in the order given; never raises for what a file holds."""
    if len(sightings) >= _MANY:
        compiling.load()
    readings = []
    with ThreadPoolExecutor(THREADS) as pool:
        for reading in pool.map(read_file, sightings):
            readings.append(reading)
            tick(1)
    return readings


def read_named(records: Sequence[FileRecord], tick: Callable[[int], None]) -> list[Reading]:
    """The parents that these files name by path and that are not among them, and theirs in turn."""
    known = {record.file_id for record in records}
    found: list[Reading] = []
    fresh = list(records)
    for _ in range(_MOST_ROUNDS):
        named = {place.file_id: place.path for record in fresh for place in record.places if place.path}
        paths = [path for file_id, path in named.items() if file_id is not None and file_id not in known]
        known |= set(named)
        sightings = [sighting for sighting in map(_sight, paths) if sighting]
        readings = [reading for reading in read_all(sightings, tick) if reading.record.identity]
        if not readings:
            break
        found += readings
        fresh = [reading.record for reading in readings]
    return found


def _sight(path: Path) -> Sighting | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return Sighting(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime)


def read_file(sighting: Sighting) -> Reading:
    """The reading of one file; never raises for what it holds."""
    blank = FileRecord(
        path=sighting.path,
        file_id=sighting.file_id,
        condition=Condition.UNREADABLE,
        file_size=sighting.size,
        modified=sighting.modified,
        created=_created(sighting.path),
    )
    try:
        with open_image(sighting.path) as image:
            return Reading(_of_image(blank, image), measure(image))
    except CorruptFileError as error:
        return Reading(_salvaged(replace(blank, flaw=str(error), findings=(error.finding,))))
    except VhdxError as error:
        return Reading(_salvaged(replace(blank, flaw=str(error), findings=(_unread(blank, str(error)),))))
    except (ConstructError, MemoryError) as error:  # what no check foresaw: this file alone is left out
        text = f"{blank.path} cannot be read: {error}"
        return Reading(replace(blank, flaw=text, findings=(_unread(blank, text),)))


def _unread(record: FileRecord, message: str) -> Finding:
    return Finding("FID-11", Severity.ERROR, message, path=record.path)


def _created(path: Path) -> float | None:
    try:
        created = getattr(path.stat(), "st_birthtime", None)
    except OSError:
        return None
    return float(created) if created is not None else None


def _of_image(blank: FileRecord, image: Image) -> FileRecord:
    known = replace(_with_headers(blank, image.headers), creator=image.identifier.creator)
    known = _with_disk(known, image.parameters)
    condition = Condition.LIVE if image.log_was_replayed else Condition.WHOLE
    errors = [finding for finding in image.findings if finding.severity is Severity.ERROR]
    return replace(
        _with_locator(known, image.locator),
        condition=condition,
        findings=image.findings,
        flaw=f"{image.path}: {errors[0]}" if errors else "",
    )


def _with_headers(record: FileRecord, headers: HeaderPair) -> FileRecord:
    current, previous = headers.current, headers.previous
    return replace(
        record,
        identity=_known(current.data_write_guid),
        previous_identity=_other(previous, current),
        file_write_guid=_known(current.file_write_guid),
        sequence_number=current.sequence_number,
    )


def _known(guid: UUID) -> UUID | None:
    """A GUID of zeros names nothing: files that have it are not the same file."""
    return None if guid == NIL else guid


def _other(previous: Header | None, current: Header) -> UUID | None:
    if previous is None or previous.data_write_guid == current.data_write_guid:
        return None
    return _known(previous.data_write_guid)


def _with_disk(record: FileRecord, disk: DiskParameters) -> FileRecord:
    return replace(
        record,
        has_parent=disk.has_parent,
        disk_id=_known(disk.disk_id),
        disk_size=disk.size,
        block_size=disk.block_size,
        sector_size=disk.logical_sector_size,
    )


def _with_locator(record: FileRecord, locator: ParentLocator | None) -> FileRecord:
    if locator is None:
        return record
    folder = record.path.parent
    places = tuple(_place(key, text, folder) for key, text in locator.paths)
    return replace(record, linkages=locator.linkages, places=places)


def _place(key: str, text: str, folder: Path) -> Place:
    found = locate(text, folder, ())
    if isinstance(found, Refused):
        return Place(key=key, text=text, refused=found.reason)
    return Place(key=key, text=text, path=found, file_id=file_identity(found))


def _salvaged(record: FileRecord) -> FileRecord:
    """The record with what can be read of a file that does not open: enough to give it its place, if possible."""
    try:
        with FileSource(record.path) as source:
            headers = _headers(source)
            if headers is None:
                return record
            record = replace(_with_headers(record, headers), condition=Condition.DAMAGED)
            return _with_metadata(record, source)
    except (VhdxError, ConstructError, ValueError, KeyError):
        return record


def _headers(source: FileSource) -> HeaderPair | None:
    first, second = (read_at(source, offset, HEADER_SIZE) for offset in HEADER_OFFSETS)
    headers = judge_headers((first, second))
    return None if headers.current_copy is None else headers


def _with_metadata(record: FileRecord, source: FileSource) -> FileRecord:
    first, second = (read_at(source, offset, REGION_TABLE_SIZE) for offset in REGION_TABLE_OFFSETS)
    region = judge_region_tables((first, second)).current.find(METADATA_REGION)
    if region is None:
        return record
    table = parse_metadata_table(read_at(source, region.file_offset, METADATA_TABLE_SIZE))
    items = {item_id: _item(source, table, item_id, region.file_offset) for item_id in (*ITEM_SIZES, PARENT_LOCATOR)}
    if all(len(items[item_id]) == size for item_id, size in ITEM_SIZES.items()):
        record = _with_disk(record, parse_disk_parameters(items))
    has_parent = record.has_parent or (not items[FILE_PARAMETERS] and bool(items[PARENT_LOCATOR]))
    locator = parse_locator(items[PARENT_LOCATOR]) if has_parent and items[PARENT_LOCATOR] else None
    return _with_locator(replace(record, has_parent=has_parent), locator)


def _item(source: FileSource, table: MetadataTable, item_id: UUID, at: int) -> bytes:
    entry = table.find(item_id)
    if entry is None or entry.length > MAX_ITEM_SIZE:
        return b""
    return read_at(source, at + entry.offset, entry.length)
