"""What structures say of a file, put into its record; of a file that does not open, whatever can be read."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from construct import ConstructError

from analyzer.linkage.record import Condition, FileRecord, Place
from vhdx.errors import VhdxError
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


def with_headers(record: FileRecord, headers: HeaderPair) -> FileRecord:
    """The record with what the headers tell: identities and the number of the last update."""
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


def with_disk(record: FileRecord, disk: DiskParameters) -> FileRecord:
    """The record with what disk it is."""
    return replace(
        record,
        has_parent=disk.has_parent,
        disk_id=_known(disk.disk_id),
        disk_size=disk.size,
        block_size=disk.block_size,
        sector_size=disk.logical_sector_size,
    )


def with_locator(record: FileRecord, locator: ParentLocator | None) -> FileRecord:
    """The record with whom it names as its parent, and what stands there."""
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


def salvaged(record: FileRecord) -> FileRecord:
    """The record with what can be read of a file that does not open: enough to give it its place, if possible."""
    try:
        with FileSource(record.path) as source:
            headers = _headers(source)
            if headers is None:
                return record
            record = replace(with_headers(record, headers), condition=Condition.DAMAGED)
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
        record = with_disk(record, parse_disk_parameters(items))
    has_parent = record.has_parent or (not items[FILE_PARAMETERS] and bool(items[PARENT_LOCATOR]))
    locator = parse_locator(items[PARENT_LOCATOR]) if has_parent and items[PARENT_LOCATOR] else None
    return with_locator(replace(record, has_parent=has_parent), locator)


def _item(source: FileSource, table: MetadataTable, item_id: UUID, at: int) -> bytes:
    entry = table.find(item_id)
    if entry is None or entry.length > MAX_ITEM_SIZE:
        return b""
    return read_at(source, at + entry.offset, entry.length)
