"""What the reader's process tells, as plain values: a library that a disk has led astray can send nothing else.

Numbers are judged here, before they become places of a disk.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from analyzer.guest.filesystems.opened import Begun, Item, Said
from analyzer.guest.filesystems.record import (
    IMPOSSIBLE,
    Extent,
    FileKind,
    FileRecord,
    FileState,
    Packing,
    Role,
    Stream,
    Times,
    UnixDetails,
)
from vhdx.ranges import Range

Row = tuple[Any, ...]
_MOST_PLACE, _MOST_NUMBER = 1 << 62, 1 << 64
"""Bytes of the largest disk, so that two places added still fit 64 bits; and what other numbers are below."""
_KINDS, _STATES = {one.value: one for one in FileKind}, {one.value: one for one in FileState}
_ROLES, _PACKINGS = {one.value: one for one in Role}, {one.value: one for one in Packing}
_NUMBERS = slice(2, 9)  # address to links


class NonsenseError(ValueError):
    """What was told cannot be so."""


def row_of(item: Item) -> Row:
    """An item as plain values."""
    if isinstance(item, FileRecord):
        return _row(item)
    return ("begun", _row(item.record)) if isinstance(item, Begun) else tuple(item)


def item_of(row: Row, volume: int) -> Item:
    """The item that the values stand for; raises NonsenseError where there is none."""
    try:
        if len(row) == 2:  # noqa: PLR2004 - a pair
            return Begun(_record(row[1], volume)) if row[0] == "begun" else Said(_text(row[0]), _text(row[1]))
        return _record(row, volume)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise NonsenseError(str(error)) from error


def _row(file: FileRecord) -> Row:
    times = file.times
    return (
        file.path, file.target, file.address, file.sequence, file.parent, file.mode, file.owner, file.group,
        file.links, file.size, (times.modified, times.accessed, times.changed, times.created), file.kind.value,
        file.state.value, file.role.value, file.data and _stream_row(file.data),
        [_stream_row(stream) for stream in file.streams], [tuple(place) for place in file.metadata], file.obstacle,
    )  # fmt: skip


def _stream_row(stream: Stream) -> Row:
    extents = [(extent.offset, extent.start, extent.length) for extent in stream.extents]
    places = [tuple(place) for place in stream.resident]
    return stream.name, stream.packing.value, stream.size, stream.type, stream.id, places, extents


def _record(row: Row, volume: int) -> FileRecord:
    path, target, *_, size, times, kind, state, role, data, streams, metadata, obstacle = row
    address, sequence, parent, mode, owner, group, links = _below(_MOST_NUMBER, row[_NUMBERS])
    modified, accessed, changed, created = times
    if not all(moment is None or isinstance(moment, int) for moment in times):
        raise NonsenseError(times)
    try:
        _below(_MOST_PLACE, (size,))
        data, streams, metadata = data and _stream(data), tuple(map(_stream, streams)), _places(metadata)
    except NonsenseError:  # damage makes such numbers: the file has a name, and nothing else that can be believed
        size, data, streams, metadata, obstacle = 0, None, (), (), IMPOSSIBLE
    return FileRecord(
        volume=volume, path=_text(path), address=address, sequence=sequence, parent=parent, kind=_KINDS[kind],
        state=_STATES[state], role=_ROLES[role], size=size, times=Times(modified, accessed, changed, created),
        mode=mode, owner=owner, group=group, links=links, target=target if target is None else _text(target),
        data=data, streams=streams, metadata=metadata, obstacle=obstacle if obstacle is None else _text(obstacle),
    )  # fmt: skip


def details_of(row: Row) -> UnixDetails:
    """What an inode says of a file; raises NonsenseError."""
    try:
        mode, device, attributes, unread = row
        major, minor = _below(_MOST_NUMBER, device)
        if not all(type(value) is bytes for _, value in attributes):
            raise NonsenseError(attributes)
        named = tuple((_text(name), value) for name, value in attributes)
        return UnixDetails(_below(1 << 16, (mode,))[0], (major, minor), named, tuple(map(_text, unread)))
    except (TypeError, ValueError) as error:
        raise NonsenseError(str(error)) from error


def _stream(row: Row) -> Stream:
    name, packing, *numbers, places, extents = row
    size, kind, number = _below(_MOST_PLACE, numbers)
    told = tuple(Extent(*_below(_MOST_PLACE, extent)) for extent in extents)
    return Stream(_text(name), size, kind, number, _PACKINGS[packing], _places(places), told)


def _places(rows: Iterable[Row]) -> tuple[Range, ...]:
    return tuple(Range(*_below(_MOST_PLACE, row)) for row in rows)


def _below(limit: int, numbers: Sequence[Any]) -> Sequence[int]:
    """The numbers, each one that can be."""
    if {*map(type, numbers)} - {int} or (numbers and not 0 <= min(numbers) <= max(numbers) < limit):
        raise NonsenseError(numbers)
    return numbers


def _text(value: Any) -> str:  # noqa: ANN401 - anything may come
    if type(value) is not str:
        raise NonsenseError(value)
    return value
