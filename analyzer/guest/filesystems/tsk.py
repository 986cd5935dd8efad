"""From what the file-system reader gives to records. Only this module and `volume` know the reader."""

import calendar
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from analyzer.guest.filesystems.record import SLASH, Extent, FileKind, FileState, Packing, Stream, Times
from vhdx.ranges import Range

_NTFS_DATA, _NTFS_LIST, _NTFS_REPARSE = 128, 32, 192
_PLAIN_DATA = 1
_RESIDENT, _ENCRYPTED, _COMPRESSED = 0x4, 0x10, 0x20
_FILLER, _SPARSE = 1, 2  # a gap between runs that are known: not read yet, or a hole; and a hole that is told
_UNALLOCATED = 2
_META_KINDS = {1: FileKind.FILE, 2: FileKind.DIRECTORY, 6: FileKind.LINK, 11: FileKind.DIRECTORY, 10: FileKind.FILE}
_NAME_KINDS = {5: FileKind.FILE, 3: FileKind.DIRECTORY, 6: FileKind.LINK, 11: FileKind.DIRECTORY, 10: FileKind.FILE}
_VIRTUAL = {10, 11}  # TSK_FS_META_TYPE_VIRT and _VIRT_DIR: no disk has them
# NTFS's own limit for a reparse point.
_MOST_REPARSE = 16 << 10
_SYMLINK, _JUNCTION, _WSL_LINK = 0xA000000C, 0xA0000003, 0xA000001D
_REPARSE_OBSTACLES = {
    0x80000017: "Windows keeps it compressed in a form of its own (WOF)",
    0x80000013: "its content stands in a deduplication store",
}
_CLOUD = 0x9000001A  # IO_REPARSE_TAG_CLOUD, of which one digit counts providers
_SECOND = 1_000_000_000


class Attributes(NamedTuple):
    """What a file is made of."""

    data: Stream | None
    alternate: tuple[Stream, ...]
    other: tuple[Stream, ...]
    """The file system's own: indexes, lists, tables of extents."""
    runs_missing: bool


class Reparse(NamedTuple):
    """What a reparse point makes of a file on NTFS."""

    target: str | None
    obstacle: str | None


def decoded(raw: bytes) -> str:
    """A name; bytes that are no UTF-8, and a slash, which no name can have, become surrogates."""
    return raw.decode("utf-8", "surrogateescape").replace("/", SLASH)


def path_of(raw: bytes) -> str:
    """Where a link leads to, slashes and all; bytes that are no UTF-8 become surrogates, a zero ends it."""
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def kind_of(name: Any, meta: Any) -> FileKind:  # noqa: ANN401 - the reader ships no types
    """What a file is, by its record; by its name where the record is not there."""
    if meta is not None and meta.type:
        return _META_KINDS.get(int(meta.type), FileKind.OTHER)
    return _NAME_KINDS.get(int(name.type), FileKind.OTHER) if name is not None else FileKind.OTHER


def is_virtual(name: Any, meta: Any) -> bool:  # noqa: ANN401 - see above
    """Whether the reader made it up: $OrphanFiles, $MBR, $FAT1."""
    return bool((meta and int(meta.type) in _VIRTUAL) or (name and int(name.type) in _VIRTUAL))


def is_in_use(meta: Any) -> bool:  # noqa: ANN401 - see above
    """Whether a record is in use."""
    return not int(meta.flags) & _UNALLOCATED


def state_of(name: Any, meta: Any) -> FileState:  # noqa: ANN401 - see above
    """Whether the file that a name leads to is there; `meta` is None where its record is not."""
    if not int(name.flags) & _UNALLOCATED:
        return FileState.ALLOCATED
    if meta is None or is_in_use(meta):
        return FileState.OVERWRITTEN
    return FileState.DELETED


def times_of(meta: Any, *, local: bool) -> Times:  # noqa: ANN401 - see above
    """The four times; `local`: the reader took them for times of this machine's zone, and they tell none."""
    moments: tuple[tuple[int, int], ...] = (
        (meta.mtime, meta.mtime_nano), (meta.atime, meta.atime_nano), (meta.ctime, meta.ctime_nano),
        (meta.crtime, meta.crtime_nano),
    )  # fmt: skip
    if local:
        moments = tuple([(_as_written(seconds), fraction) for seconds, fraction in moments])
    return Times(*[seconds * _SECOND + fraction if seconds else None for seconds, fraction in moments])


def _as_written(seconds: int) -> int:
    if not seconds:
        return 0  # none is told
    try:
        return calendar.timegm(time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return seconds


def attributes_of(file: Any, start: int, block: int, record: Sequence[Range]) -> Attributes:  # noqa: ANN401
    """All streams of a file; `start` is the volume's first byte, `block` bytes are what the reader counts runs in.

    Raises OSError where the reader fails.
    """
    data, alternate, other, missing = None, [], [], False
    for attribute in file:
        info = attribute.info
        kind, name = int(info.type), info.name
        if int(info.flags) & _RESIDENT and kind not in {_PLAIN_DATA, _NTFS_DATA, _NTFS_LIST}:
            continue  # in the record, whose place is known
        stream, filler = _stream(attribute, start, block, record)
        if kind in {_PLAIN_DATA, _NTFS_DATA}:
            missing |= filler and not stream.name
            if name in {None, b"", b"$Data"} and data is None:
                data = stream
                continue
            alternate.append(stream)
        else:
            other.append(stream)
    return Attributes(data, tuple(alternate), tuple(other), missing)


def _stream(attribute: Any, start: int, block: int, record: Sequence[Range]) -> tuple[Stream, bool]:  # noqa: ANN401
    info = attribute.info
    flags, size, name = int(info.flags), info.size, info.name
    resident = bool(flags & _RESIDENT)
    runs = [] if resident else [(run.addr, run.len, run.offset, int(run.flags)) for run in attribute]
    extents = tuple([
        Extent(offset * block, start + address * block, min(count * block, size - offset * block))
        for address, count, offset, flag in runs if not flag & (_SPARSE | _FILLER) and count and offset * block < size
    ])  # fmt: skip
    filler = bool(runs) and (any(run[3] & _FILLER for run in runs) or sum([run[1] for run in runs]) * block < size)
    packing = Packing.ENCRYPTED if flags & _ENCRYPTED else Packing.COMPRESSED if flags & _COMPRESSED else Packing.PLAIN
    places = tuple(record) if resident else ()
    return Stream(decoded(name) if name else "", size, int(info.type), info.id, packing, places, extents), filler


def listed_records(file: Any, attributes: Attributes) -> Iterator[int]:  # noqa: ANN401 - see above
    """The addresses of the further records that an attribute list of NTFS names; raises OSError."""
    for stream in attributes.other:
        if stream.type != _NTFS_LIST:
            continue
        raw = file.read_random(0, min(stream.size, 1 << 18), _NTFS_LIST, stream.id)
        at = 0
        while at + 26 <= len(raw):
            length = int.from_bytes(raw[at + 4 : at + 6], "little")
            yield int.from_bytes(raw[at + 16 : at + 22], "little")
            if length < 26:  # noqa: PLR2004 - the smallest entry
                return
            at += length


def reparse_of(file: Any) -> Reparse | None:  # noqa: ANN401 - see above
    """What a reparse point says; None where the file has none."""
    found = next((attribute.info for attribute in file if int(attribute.info.type) == _NTFS_REPARSE), None)
    if found is None:
        return None
    raw = file.read_random(0, min(int(found.size), _MOST_REPARSE), _NTFS_REPARSE, int(found.id))
    if len(raw) < 8:  # noqa: PLR2004 - tag, length, reserved
        return Reparse(None, "its reparse point is damaged")
    tag = int.from_bytes(raw[:4], "little")
    if tag in {_SYMLINK, _JUNCTION}:
        return Reparse(_link_target(raw, 20 if tag == _SYMLINK else 16), None)
    if tag == _WSL_LINK:
        return Reparse(path_of(raw[12:]), None)
    cloud = "its content may be in a cloud" if tag & 0xFFFF0FFF == _CLOUD else None
    unknown = f"its content is elsewhere (reparse point {tag:#010x})"
    return Reparse(None, _REPARSE_OBSTACLES.get(tag) or cloud or unknown)


def _link_target(raw: bytes, buffer: int) -> str:
    if len(raw) < buffer:
        return ""
    at, length, shown_at, shown_length = struct.unpack_from("<HHHH", raw, 8)
    if shown_length:
        at, length = shown_at, shown_length
    return raw[buffer + at : buffer + at + length].decode("utf-16-le", "replace")
