"""Files of NTFS that one record describes whole, in folders whose indexes are whole; see the room."""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from analyzer.guest.filesystems.metadata_places import NtfsLayout
from analyzer.guest.filesystems.plain.model import MOST_FOLDER, orphans_below
from analyzer.guest.filesystems.record import (
    ORPHANS,
    Extent,
    FileKind,
    FileRecord,
    FileState,
    Packing,
    Role,
    Stream,
    Times,
)
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.ntfs import (
    ATTRIBUTE,
    DATA,
    DIRTY,
    HEAD_SIZE,
    RECORD_SIGNATURE,
    RESIDENT,
    STRIDE,
    NtfsBoot,
    attributes_of,
    every_run,
    parse_data,
    put_back,
    volume_flags,
)
from analyzer.guest.layouts.ntfs_index import NamedRecord
from analyzer.guest.layouts.ntfs_streams import NtfsStream, whole_stream
from vhdx.ranges import Range

_ROOT, _VOLUME, _FIRST_OF_USER = 5, 3, 24
_MOST_KEPT = 2048  # streams of which is kept what their records say: more than are told together
_NEAR, _KEPT = 1 << 16, 64  # bytes of records that are read at once, and how many times that are kept
# Fixups, sequence number, links, first attribute, flags, bytes in use and in all, the record that it is a part of, its
# own number.
_HEAD = struct.Struct("<4sHH8xHHHHIIQ4xI")
_IN_USE, _IS_FOLDER = 1, 2
_KIND, _NAMED, _LEAST = struct.Struct("<II"), struct.Struct("<8xBBHHH"), 24
_OUTSIDE, _SIZE = struct.Struct("<16xQ8xH14xQ"), slice(48, 56)  # first cluster, where runs are, bytes of the content
_STANDARD, _LIST, _LABEL, _REPARSE, _END = 0x10, 0x20, 0x60, 0xC0, 0xFFFFFFFF
_END_MARK = _END.to_bytes(4)
_ODD = frozenset({_LIST, _REPARSE})  # described in other records; elsewhere
_PACKED = 0x40FF  # compressed or encrypted
# Made, modified, record changed, accessed; attributes; the owner, where it has a place.
_INFORMATION = struct.Struct("<QQQQI12xI")
_READ_ONLY, _HIDDEN = 1, 2
# Hundreds of nanoseconds from 1601 to 1970, and to 2038, past which the library tells other times; of a second.
_EPOCH, _PAST, _TICKS = 116_444_736_000_000_000, 137_919_572_480_000_000, 10_000_000


class _Told(NamedTuple):
    """What the attributes of a record say; the streams have the file's own among them, without a name."""

    times: Times
    mode: int
    owner: int
    streams: list[tuple[Stream, NtfsStream | None]]
    places: list[Range]
    """Of all else that is outside of the record."""


def is_plain_ntfs(boot: NtfsBoot, size: int) -> bool:
    """Whether a volume is one whose files can be plain, and all of it is in its `size` bytes."""
    return boot.is_sane and boot.has_place_for_records and 0 < boot.sectors * boot.sector_size <= size


class PlainNtfs:
    """See Plain."""

    def __init__(self, view: View, boot: NtfsBoot, number: int) -> None:
        """The volume of that number; it has no root where its $MFT is not plain."""
        self.view, self.block, self.identity = view, boot.cluster_size, boot.serial
        self._number, self._size = number, boot.record_size
        data = parse_data(view.read(boot.mft * boot.cluster_size, boot.record_size))
        placed = [(at, count, first) for first, at, count in data.placed()] if data else []
        is_whole = data is not None and sum(count for _, count, _ in placed) * boot.cluster_size >= data.size
        self._records = data.size // boot.record_size if data and is_whole else 0
        self._layout = NtfsLayout(view, boot, placed)
        self._streams: dict[tuple[int, str], NtfsStream] = {}
        self._near = lru_cache(maxsize=_KEPT)(self._near_records)

    def root(self) -> FileRecord | None:
        """See Plain."""
        root = NamedRecord("", _ROOT, self._sequence(_ROOT))
        found = self._record("", root, _ROOT, Role.USER) if root.sequence >= 0 else None
        return found if found and found.kind is FileKind.DIRECTORY else None

    def entries(self, folder: FileRecord) -> Iterator[FileRecord | NamedRecord] | None:
        """See Plain."""
        names = self._layout.names_of_whole(folder.address, MOST_FOLDER)
        if names is None or self.view.missed or not self._are_plain(names):
            return None
        return self._found(folder, names)

    def told(self, address: int, name: str) -> NtfsStream | None:
        """See Plain."""
        return self._streams.get((address, name))

    def label(self) -> str:
        """The name of the volume."""
        named = (raw for kind, raw in attributes_of(self._raw(_VOLUME)) if kind == _LABEL)
        return next((_content_of(raw).decode("utf-16-le", "replace") for raw in named), "")

    def is_dirty(self) -> bool:
        """Whether the volume was not shut down cleanly."""
        return bool((volume_flags(self._raw(_VOLUME)) or 0) & DIRTY)

    def _found(self, folder: FileRecord, names: list[NamedRecord]) -> Iterator[FileRecord | NamedRecord]:
        path, above = folder.path, folder.address
        role = folder.role if path != ORPHANS else Role.USER
        for named in names:
            if named.name != ".":
                yield self._record(f"{path}/{named.name}", named, above, role) or named
        if above == _ROOT:
            yield orphans_below(folder, self._records)

    def _are_plain(self, names: list[NamedRecord]) -> bool:
        """Whether each name can be read in one way alone, is there once, and leads to a record of that sequence."""
        if len({*names}) != len(names):
            return False
        return all(
            name.isprintable() and "/" not in name and self._sequence(number) == sequence
            for name, number, sequence in names
        )

    def _sequence(self, number: int) -> int:
        """The sequence number of a whole record in use that is a file's first one; -1 of any other."""
        raw = self._raw(number)
        if len(raw) < _HEAD.size:
            return -1
        signature, fixups, _, sequence, _, _, flags, _, _, base, own = _HEAD.unpack_from(raw)
        is_first = signature == RECORD_SIGNATURE and flags & _IN_USE and not base and own == number
        mark, strides = raw[fixups : fixups + 2], len(raw) // STRIDE
        is_torn = raw[STRIDE - 2 :: STRIDE] != mark[:1] * strides or raw[STRIDE - 1 :: STRIDE] != mark[1:] * strides
        return sequence if is_first and not is_torn else -1

    def _raw(self, number: int) -> bytes:
        """A record as it stands; b"" of one that is not there."""
        at = number * self._size
        return self._near(at // _NEAR)[at % _NEAR : at % _NEAR + self._size] if number < self._records else b""

    def _near_records(self, number: int) -> bytes:
        return b"".join(
            self.view.read(start - self.view.start, length)
            for start, length in self._layout.places(number * _NEAR, (number + 1) * _NEAR)
        )

    def _record(self, path: str, named: NamedRecord, above: int, role: Role) -> FileRecord | None:
        """The record of a file, whose head is right; None where it is not plain."""
        number, raw = named.number, self._raw(named.number)
        if self.view.missed or len(raw) < _HEAD.size:
            return None
        _, fixups, count, sequence, links, first, flags, used, room, _, _ = _HEAD.unpack_from(raw)
        places = self._layout.record_places(number)
        is_whole = room == len(raw) >= used and fixups >= HEAD_SIZE and (count - 1) * STRIDE == room
        whole = put_back(raw, fixups, count) if is_whole else b""
        told = self._told(whole, first, used, places) if whole else None
        if told is None:
            return None
        kind = FileKind.DIRECTORY if flags & _IS_FOLDER else FileKind.FILE
        if number < _FIRST_OF_USER and number != _ROOT and path.startswith("/$"):
            role = Role.SYSTEM
        streams = {stream.name: stream for stream, _ in told.streams}
        data = streams.pop("", None)
        is_odd = len(told.streams) != len(streams) + bool(data)  # two of one name
        if is_odd or (bool(data) == (kind is FileKind.DIRECTORY) and role is Role.USER):
            return None
        self._keep(number, told.streams)
        return FileRecord(
            self._number, path, number, above, kind, sequence, FileState.ALLOCATED, role, data.size if data else 0,
            told.times, told.mode, told.owner, 0, links, None, data,
            tuple(streams.values()), (*places, *told.places),
        )  # fmt: skip

    def _told(self, raw: bytes, at: int, end: int, record: list[Range]) -> _Told | None:
        """What the attributes of a whole record say; None where any of them is not plain."""
        known, streams, places = None, list[tuple[Stream, NtfsStream | None]](), list[Range]()
        for kind, place, attribute in _attributes(raw, at, end):
            is_outside = attribute[8]
            if kind in _ODD:
                return None
            is_plain = True
            if kind == DATA:
                stream = self._stream(attribute, record)
                streams += [stream] if stream else []
                is_plain = stream is not None
            elif is_outside:
                found = self._extents(attribute)
                places += [extent.on_disk for extent in found or ()]
                is_plain = found is not None
            elif kind == _STANDARD:
                known = _standard(raw, place)
                is_plain = known is not None
            if not is_plain:
                return None
        return _Told(*known, streams, places) if known else None

    def _stream(self, attribute: bytes, record: list[Range]) -> tuple[Stream, NtfsStream | None] | None:
        is_outside, letters, name_at, flags, number = _NAMED.unpack_from(attribute)
        name = attribute[name_at : name_at + 2 * letters].decode("utf-16-le", "replace")
        told = whole_stream(attribute)
        if flags & _PACKED or not name.isprintable() or "/" in name or (told is None and not is_outside):
            return None
        extents = self._extents(attribute) if is_outside else ()
        if extents is None:
            return None
        size = int.from_bytes(attribute[_SIZE], "little") if told is None else told.size
        return Stream(name, size, DATA, number, Packing.PLAIN, () if is_outside else tuple(record), extents), told

    def _keep(self, address: int, streams: list[tuple[Stream, NtfsStream | None]]) -> None:
        if len(self._streams) > _MOST_KEPT:
            self._streams.clear()
        for stream, told in streams:
            if told:
                self._streams[address, stream.name] = told

    def _extents(self, attribute: bytes) -> tuple[Extent, ...] | None:
        """Where an attribute outside of its record is; None where that is not all in this record, or cannot be."""
        if len(attribute) < ATTRIBUTE.size:
            return None
        first, runs_at, size = _OUTSIDE.unpack_from(attribute)
        start, cluster, end = self.view.start, self.block, 0
        found = list[Extent]()
        for at, place, count in every_run(attribute[runs_at:]):
            end, offset = (at + count) * cluster, at * cluster
            if place is not None and offset < size:
                found.append(Extent(offset, start + place * cluster, min(count * cluster, size - offset)))
            if place is not None and (place + count) * cluster > self.view.size:
                return None
        return tuple(found) if not first and end >= size else None


def _standard(record: bytes, at: int) -> tuple[Times, int, int] | None:
    """Times, mode and owner by the attribute at a byte of a record; None where it has times that are told in two ways.

    Older ones have no place for the owner: the library reads what stands behind them there.
    """
    _, content = RESIDENT.unpack_from(record, at)
    if at + content + _INFORMATION.size > len(record):
        return None
    created, modified, changed, accessed, attributes, owner = _INFORMATION.unpack_from(record, at + content)
    moments = (modified, accessed, changed, created)
    if not all(map(_is_told_alike, moments)):
        return None
    mode = 0o111 | (0 if attributes & _READ_ONLY else 0o444) | (0 if attributes & _HIDDEN else 0o222)
    return Times(*[(moment - _EPOCH) * 100 if moment else None for moment in moments]), mode, owner


def _is_told_alike(moment: int) -> bool:
    return not moment or _EPOCH + _TICKS <= moment < _PAST


def _attributes(raw: bytes, at: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Kind, place and bytes of each attribute; the kind of a list, which is plain nowhere, where they do not end so."""
    while at + _LEAST <= end:
        kind, length = _KIND.unpack_from(raw, at)
        if kind == _END:
            return
        if length < _LEAST or at + length > end:
            break
        yield kind, at, raw[at : at + length]
        at += length
    if raw[at : at + 4] != _END_MARK:
        yield _LIST, at, bytes(_LEAST)


def _content_of(attribute: bytes) -> bytes:
    """The bytes of an attribute that is in its record."""
    length, at = RESIDENT.unpack_from(attribute)
    return attribute[at : at + length]
