"""Physical volumes of LVM2: their label, and where the text behind it says that logical volumes are.

Only those in one piece on the volume itself have a place here: what is striped, mirrored or thin is spread.
"""

import re
import struct
from collections.abc import Callable, Iterator

SECTOR = 512
LABEL, KIND = b"LABELONE", b"LVM2 001"
_LABEL_FIELDS = struct.Struct("<8sQII8s")
LABEL_SECTORS = 4
"""The label is in one of the first four sectors."""
_PLACE = struct.Struct("<QQ")
_MAGIC = b"\x20LVM2\x20x[5A%r0N*>"
_AREA = struct.Struct("<4x16sIQQQQ")
_MOST_TEXT = 1 << 20
_MOST_AREAS = 8
_MOST_VOLUMES = 256
_LINEAR = re.compile(
    rb"start_extent = 0\s+extent_count = (\d{1,12})\b[^{}]*?type = \"striped\"\s+stripe_count = 1\b[^{}]*?"
    rb"stripes = \[\s*\"pv0\", (\d{1,12})\s*\]"
)
_SEGMENTS = re.compile(rb"segment_count = 1\b")
_EXTENT, _FIRST = re.compile(rb"\bextent_size = (\d{1,10})\b"), re.compile(rb"\bpe_start = (\d{1,15})\b")

Read = Callable[[int, int], bytes]


def size_in(sector: bytes) -> int:
    """Bytes of the volume that the label in a sector is of; 0 where there is none."""
    at = _header_in(sector)
    return int.from_bytes(sector[at + 32 : at + 40], "little") if at else 0


def _header_in(sector: bytes) -> int:
    """The byte of a label's sector at which the volume's header is; 0 where there is none."""
    if len(sector) < SECTOR:
        return 0
    magic, _, _, offset, kind = _LABEL_FIELDS.unpack_from(sector)
    return offset if (magic, kind) == (LABEL, KIND) and offset + 40 <= SECTOR else 0


def logical_volumes(read: Read) -> Iterator[tuple[int, int]]:
    """(start, end) in bytes of the physical volume that `read` reads: those in one piece, by its newest text."""
    text = _text_of(read)
    extent, first = _EXTENT.search(text), _FIRST.search(text)
    if extent is None or first is None or text.count(b"pe_start = ") != 1:  # a group of several volumes names others
        return
    unit, begin = int(extent[1]) * SECTOR, int(first[1]) * SECTOR
    _, _, volumes = text.partition(b"logical_volumes {")
    for piece in volumes.split(b"segment_count = ")[1 : _MOST_VOLUMES + 1]:
        found = _LINEAR.search(piece) if _SEGMENTS.match(b"segment_count = " + piece) else None
        if found:
            start = begin + int(found[2]) * unit
            yield start, start + int(found[1]) * unit


def _text_of(read: Read) -> bytes:
    for number in range(LABEL_SECTORS):
        sector = read(number * SECTOR, SECTOR)
        if at := _header_in(sector):
            return next(filter(None, (_text_in(read, start) for start in _areas_in(sector, at + 40))), b"")
    return b""


def _areas_in(sector: bytes, at: int) -> Iterator[int]:
    """Where areas of metadata begin: behind the list of those of data, which ends with zeros, as this one does."""
    lists = 0
    for place in range(at, min(len(sector), at + 2 * _MOST_AREAS * _PLACE.size) - _PLACE.size + 1, _PLACE.size):
        start, _ = _PLACE.unpack_from(sector, place)
        if start and lists == 1:
            yield start
        lists += not start


def _text_in(read: Read, start: int) -> bytes:
    """The newest text of an area, which is a ring behind its header."""
    raw = read(start, SECTOR)
    if len(raw) < SECTOR:
        return b""
    magic, _, here, area, at, length = _AREA.unpack_from(raw)
    if magic != _MAGIC or here != start or not SECTOR <= at < area or not 0 < length <= min(_MOST_TEXT, area):
        return b""
    before_end = read(start + at, min(length, area - at))
    return before_end + (read(start + SECTOR, length - len(before_end)) if len(before_end) == area - at else b"")
