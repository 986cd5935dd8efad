"""What a file's structures say, put into its record; of a damaged file, as much as can be read."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from analyzer.linkage.record import FileRecord, Place
from vhdx.contents import Structures
from vhdx.paths import Refused, locate
from vhdx.source import file_identity
from vhdx.structures.constants import NIL
from vhdx.structures.disk import DiskParameters
from vhdx.structures.header import HeaderPair
from vhdx.structures.locator import ParentLocator


def with_structures(record: FileRecord, structures: Structures) -> FileRecord:
    """The record with identities, what disk it is, and the parent that it names; unchanged without a valid header."""
    pair, disk, locator = structures.headers.value, structures.parameters.value, structures.locator.value
    if pair is None or pair.current_copy is None:
        return record
    record = _with_headers(record, pair)
    if disk is not None:
        record = _with_disk(record, disk)
    elif locator is not None:  # whatever the parameters said: nothing but a child has one
        record = replace(record, has_parent=True)
    return record if locator is None else _with_locator(record, locator)


def _with_headers(record: FileRecord, headers: HeaderPair) -> FileRecord:
    current, previous = headers.current, headers.previous
    is_other = previous is not None and previous.data_write_guid != current.data_write_guid
    return replace(
        record,
        identity=_known(current.data_write_guid),
        previous_identity=_known(previous.data_write_guid) if previous is not None and is_other else None,
        file_write_guid=_known(current.file_write_guid),
        sequence_number=current.sequence_number,
    )


def _known(guid: UUID) -> UUID | None:
    """A GUID of zeros names nothing: files that have it are not the same file."""
    return None if guid == NIL else guid


def _with_disk(record: FileRecord, disk: DiskParameters) -> FileRecord:
    return replace(
        record,
        has_parent=disk.has_parent,
        disk_id=_known(disk.disk_id),
        disk_size=disk.size,
        block_size=disk.block_size,
        sector_size=disk.logical_sector_size,
    )


def _with_locator(record: FileRecord, locator: ParentLocator) -> FileRecord:
    folder = record.path.parent
    places = tuple(_place(key, text, folder) for key, text in locator.paths)
    return replace(record, linkages=locator.linkages, places=places)


def _place(key: str, text: str, folder: Path) -> Place:
    found = locate(text, folder, ())
    if isinstance(found, Refused):
        return Place(key=key, text=text, refused=found.reason)
    return Place(key=key, text=text, path=found, file_id=file_identity(found))
