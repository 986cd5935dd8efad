"""The group descriptors of an ext volume, which say where bitmaps and inodes are; and the checksums of ext."""

import struct
from dataclasses import dataclass
from enum import IntFlag

import google_crc32c

_ALL = 0xFFFFFFFF


def crc32c(data: bytes, before: int = _ALL) -> int:
    """CRC-32C of `data`, behind what has the checksum `before`."""
    return int(google_crc32c.extend(before ^ _ALL, data)) ^ _ALL


def sums_to(wanted: bytes, data: bytes, before: int = _ALL) -> bool:
    """Whether the CRC-32C of `data` is the one stored, of which `wanted` may be the lower half alone."""
    return crc32c(data, before).to_bytes(4, "little")[: len(wanted)] == wanted


_LOW, _HIGH = struct.Struct("<III6xH4x2s2s4x"), struct.Struct("<III12x2s2s4x")


class GroupFlag(IntFlag):
    """What of a group was never written."""

    INODES_UNUSED = 1
    BLOCK_BITMAP_UNUSED = 2


@dataclass(frozen=True, slots=True)
class ExtGroup:
    """What a descriptor says: places in blocks of the volume, checksums of two bytes, or four where it is wide."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    flags: int
    block_bitmap_checksum: bytes
    inode_bitmap_checksum: bytes


def parse_descriptor(raw: bytes) -> ExtGroup | None:
    """What one descriptor says; None where it is cut off."""
    if len(raw) < _LOW.size:
        return None
    blocks, inodes, table, flags, block_sum, inode_sum = _LOW.unpack_from(raw)
    if len(raw) >= _LOW.size + _HIGH.size:
        *upper, block_high, inode_high = _HIGH.unpack_from(raw, _LOW.size)
        blocks, inodes, table = (low | high << 32 for low, high in zip((blocks, inodes, table), upper, strict=True))
        block_sum, inode_sum = block_sum + block_high, inode_sum + inode_high
    return ExtGroup(blocks, inodes, table, flags, block_sum, inode_sum)
