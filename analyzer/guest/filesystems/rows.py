"""What the reader's process tells, as plain values: a library that a disk has led astray can send nothing else.

Numbers are judged here, before they become places of a disk: those of many files at once, column by column, and only
where any of them cannot be, file by file.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

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
from analyzer.guest.filesystems.walk import Begun, Item, Said
from vhdx.ranges import Range

Row = tuple[Any, ...]
_MOST_PLACE, _MOST_NUMBER = 1 << 62, 1 << 64
"""Bytes of the largest disk, so that two places added still fit 64 bits; and what other numbers are below."""
_KINDS, _STATES = {one.value: one for one in FileKind}, {one.value: one for one in FileState}
_ROLES, _PACKINGS = {one.value: one for one in Role}, {one.value: one for one in Packing}
_NUMBERS = slice(2, 9)  # address to links
_WHOLE = 18  # values of a row that is a file's
_named = attrgetter("kind.value", "state.value", "role.value")


class NonsenseError(ValueError):
    """What was told cannot be so."""


def row_of(item: Item) -> Row:
    """An item as plain values."""
    if isinstance(item, FileRecord):
        return _row(item)
    return ("begun", _row(item.record)) if isinstance(item, Begun) else tuple(item)


def maker_for(rows: Sequence[Row]) -> Callable[[Row, int], Item]:
    """What makes items of these rows: `item_of`, or where all that they say can be, what does not ask again."""
    try:
        files = [row for row in rows if len(row) == _WHOLE]
        return _sound_item if files and _are_sound(files) else item_of
    except (TypeError, ValueError, IndexError):
        return item_of


def item_of(row: Row, volume: int) -> Item:
    """The item that the values stand for; raises NonsenseError where there is none."""
    try:
        if len(row) == 2:  # noqa: PLR2004 - a pair
            return Begun(_record(row[1], volume)) if row[0] == "begun" else Said(_text(row[0]), _text(row[1]))
        return _record(row, volume)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise NonsenseError(str(error)) from error


def _row(file: FileRecord) -> Row:
    (_, path, address, parent, _, sequence, _, _, size, times, mode, owner, group, links, target, data, streams, places,
     obstacle) = file  # fmt: skip
    return (
        path, target, address, sequence, parent, mode, owner, group, links, size, tuple(times), *_named(file),
        data and _stream_row(data), [*map(_stream_row, streams)], [*map(tuple, places)], obstacle,
    )  # fmt: skip


def _stream_row(stream: Stream) -> Row:
    name, size, kind, number, packing, resident, extents = stream
    return name, packing.value, size, kind, number, [*map(tuple, resident)], [*map(tuple, extents)]


def _are_sound(files: Sequence[Row]) -> bool:
    """Whether all that these rows say can be; raises as taking apart what cannot be does."""
    paths, targets, *numbers, sizes, times, kinds, states, roles, data, streams, metadata, obstacles = zip(
        *files, strict=True
    )
    held = [*filter(None, data), *chain.from_iterable(streams)]
    names, packings, *counts, resident, extents = zip(*held, strict=True) if held else ((), (), (), (), ())
    places = [*chain.from_iterable(metadata), *chain.from_iterable(resident)]
    parts = [*chain.from_iterable(extents)]
    return (
        _are_all((*paths, *names), str) and _are_all((*targets, *obstacles), str, type(None))
        and _are_all([*chain.from_iterable(times)], int, type(None)) and {*map(len, times)} == {4}
        and _KINDS.keys() >= {*kinds} and _STATES.keys() >= {*states} and _ROLES.keys() >= {*roles}
        and _PACKINGS.keys() >= {*packings} and {*map(len, places)} <= {2} and {*map(len, parts)} <= {3}
        and _are_below(_MOST_NUMBER, [*chain.from_iterable(numbers)])
        and _are_below(_MOST_PLACE, [*sizes, *chain.from_iterable((*counts, *places, *parts))])
    )  # fmt: skip


def _are_all(values: Sequence[Any], *kinds: type) -> bool:
    return {*map(type, values)} <= {*kinds}


def _are_below(limit: int, numbers: Sequence[Any]) -> bool:
    return not numbers or (_are_all(numbers, int) and min(numbers) >= 0 and max(numbers) < limit)


def _sound_item(row: Row, volume: int) -> Item:
    """As `item_of`, of rows that were judged."""
    if len(row) != _WHOLE:
        return item_of(row, volume)
    (path, target, address, sequence, parent, mode, owner, group, links, size, times, kind, state, role, data, streams,
     metadata, obstacle) = row  # fmt: skip
    return FileRecord(
        volume, path, address, parent, _KINDS[kind], sequence, _STATES[state], _ROLES[role], size, Times(*times), mode,
        owner, group, links, target, data and _sound_stream(data), tuple(map(_sound_stream, streams)),
        tuple([Range(*place) for place in metadata]), obstacle,
    )  # fmt: skip


def _sound_stream(row: Row) -> Stream:
    name, packing, size, kind, number, places, extents = row
    resident = tuple([Range(*place) for place in places])
    return Stream(name, size, kind, number, _PACKINGS[packing], resident, tuple([Extent(*part) for part in extents]))


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
