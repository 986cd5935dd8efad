"""Structures of NTFS, made for a volume whose own are lost: a boot sector, and records that say where a file is."""

import struct
from collections.abc import Iterable

from analyzer.guest.layouts.ntfs import RECORD_SIGNATURE, SIGNATURE, SIGNATURE_AT, SIZE, STRIDE

_BOOT = struct.Struct("<HB7xB18xQQQB3xB")
_BOOT_AT, _FIXED_DISK, _MARK = 11, 0xF8, b"\x55\xaa"
# Sectors of a cluster up to which a byte says their number; sizes above it, and of records, are exponents, negated.
_MOST_PLAIN = 128
_INDEX_OF_4_KIB = 256 - 12
_RECORD = struct.Struct("<4sHHQHHHHIIQHHI")
_DATA, _END = 0x80, 0xFFFFFFFF
_OUTSIDE = struct.Struct("<IIBBHHHQQHH4xQQQ")
_INSIDE = struct.Struct("<IIBBHHHIHH")
_VOLUME, _INFORMATION = 3, 0x70
# Bytes of a record that are not runs.
_OVERHEAD = 160
_FIXUPS_AT, _MARKER = 48, b"\x01\0"


def build_boot(cluster: int, clusters: int, mft: int, mirror: int, record: int) -> bytes:
    """A boot sector of a volume with sectors of 512 bytes; sizes in bytes, places in clusters."""
    sectors = cluster // SIZE
    raw = bytearray(SIZE)
    raw[:3], raw[SIGNATURE_AT : SIGNATURE_AT + len(SIGNATURE)], raw[-2:] = b"\xeb\x52\x90", SIGNATURE, _MARK
    per_cluster = sectors if sectors <= _MOST_PLAIN else _negated(sectors)
    fields = SIZE, per_cluster, _FIXED_DISK, clusters * sectors, mft, mirror, _negated(record), _INDEX_OF_4_KIB
    _BOOT.pack_into(raw, _BOOT_AT, *fields)
    return bytes(raw)


def _negated(size: int) -> int:
    return 257 - size.bit_length()


def build_record(number: int, size: int, cluster: int, runs: Iterable[tuple[int | None, int]]) -> bytes:
    """A record in use of `size` bytes whose data are these runs, (first cluster or None, count), as many as fit."""
    packed, clusters = _packed(runs, size - _OVERHEAD)
    length, data = _OUTSIDE.size + _padded(len(packed)), clusters * cluster
    head = _OUTSIDE.pack(
        *(_DATA, length, 1, 0, _OUTSIDE.size, 0, 0, 0, max(0, clusters - 1), _OUTSIDE.size, 0, data, data, data)
    )
    return _record(number, size, (head + packed).ljust(length, b"\0"))


def build_volume(size: int) -> bytes:
    """The record of $Volume, which says that it is of version 3.1 and clean."""
    information = bytes(8) + bytes([3, 1, 0, 0])
    length = _INSIDE.size + _padded(len(information))
    head = _INSIDE.pack(_INFORMATION, length, 0, 0, _INSIDE.size, 0, 0, len(information), _INSIDE.size, 0)
    return _record(_VOLUME, size, (head + information).ljust(length, b"\0"))


def _record(number: int, size: int, attribute: bytes) -> bytes:
    attributes = _FIXUPS_AT + _padded(2 * (size // STRIDE + 1))
    body = attribute + _END.to_bytes(4, "little") + bytes(4)
    fields = size // STRIDE + 1, 0, max(1, number), 1, attributes, 1, attributes + len(body), size, 0, 1, 0, number
    raw = bytearray(_RECORD.pack(RECORD_SIGNATURE, _FIXUPS_AT, *fields).ljust(attributes, b"\0") + body)
    raw = raw.ljust(size, b"\0")
    raw[_FIXUPS_AT : _FIXUPS_AT + 2] = _MARKER
    for stride in range(1, size // STRIDE + 1):
        end, copy = stride * STRIDE, _FIXUPS_AT + 2 * stride
        raw[copy : copy + 2], raw[end - 2 : end] = raw[end - 2 : end], _MARKER
    return bytes(raw)


def _padded(length: int) -> int:
    return -(-length // 8) * 8


def _packed(runs: Iterable[tuple[int | None, int]], room: int) -> tuple[bytes, int]:
    """Runs as NTFS packs them, as many as fit, and how many clusters they have."""
    packed, before, clusters = b"", 0, 0
    for first, count in runs:
        lengths = _signed(count)
        steps = b"" if first is None else _signed(first - before)
        if len(packed) + 2 + len(lengths) + len(steps) > room:
            break
        packed += bytes([len(steps) << 4 | len(lengths)]) + lengths + steps
        before, clusters = before if first is None else first, clusters + count
    return packed + b"\0", clusters


def _signed(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
