"""The boot region of an exFAT volume (Microsoft's specification, 3): twelve sectors, and their copy behind them."""

import struct
from dataclasses import dataclass
from typing import ClassVar

from analyzer.guest.layouts.fat import FIRST_CLUSTER

SIGNATURE = b"EXFAT   "
SIGNATURE_AT = 3
SERIAL = slice(0x64, 0x68)
SECTORS = 12
"""Sectors of a boot region; the last holds the checksum of the others, again and again."""
_FIELDS = struct.Struct("<72xQI4xI4xI8xBB402x")
# Sectors of 512 to 4096 bytes; a cluster has at most 2^25 bytes, both by the specification.
_SECTOR_SHIFTS, _LARGEST_SHIFT = range(9, 13), 25
# Bytes that change while the volume is used: flags, and the percentage in use. The copy does not follow.
_VOLATILE = (106, 107, 112)


@dataclass(frozen=True, slots=True)
class ExfatBoot:
    """What a boot sector says: sizes in bytes, 0 when they cannot be; `root` is a cluster, counted from 2."""

    serial: bytes
    sectors: int
    fat: int
    """The sector at which the allocation table begins."""
    heap: int
    """The sector at which clusters begin."""
    root: int
    sector_size: int
    cluster_size: int

    entry_bits: ClassVar[int] = 32
    """Bits of the allocation table for each cluster."""

    @property
    def fat_start(self) -> int:
        """The byte of the volume at which the allocation table begins."""
        return self.fat * self.sector_size

    @property
    def heap_start(self) -> int:
        """The byte of the volume at which clusters begin."""
        return self.heap * self.sector_size

    def place(self, cluster: int) -> int:
        """The byte of the volume at which a cluster begins."""
        return self.heap_start + (cluster - FIRST_CLUSTER) * self.cluster_size

    @property
    def region(self) -> int | None:
        """Bytes of one boot region; None when that cannot be right."""
        return SECTORS * self.sector_size or None


def parse_boot(sector: bytes) -> ExfatBoot | None:
    """What the first sector of a volume says; None where it is not exFAT."""
    if len(sector) < _FIELDS.size or not sector.startswith(SIGNATURE, SIGNATURE_AT):
        return None
    sectors, fat, heap, root, shift, clusters = _FIELDS.unpack_from(sector)
    size = 1 << shift if shift in _SECTOR_SHIFTS else 0
    return ExfatBoot(
        sector[SERIAL], sectors, fat, heap, root, size, size << clusters if shift + clusters <= _LARGEST_SHIFT else 0
    )


def lasting(region: bytes) -> bytes:
    """A boot region without what the first copy alone keeps up to date."""
    kept = bytearray(region)
    for at in _VOLATILE:
        kept[at] = 0
    return bytes(kept)


def holds(region: bytes) -> bool:
    """Whether the region's checksum is that of its other sectors."""
    body = _body(region)
    return region[body:] == _checksum_sector(region[:body])


def set_holds(entries: bytes) -> bool:
    """Whether a file's set of directory entries has its checksum, which stands in bytes 2 and 3 of it."""
    checksum = 0
    for at, byte in enumerate(entries):
        if at not in {2, 3}:
            checksum = ((checksum >> 1 | checksum << 15) + byte) & 0xFFFF
    return checksum.to_bytes(2, "little") == entries[2:4]


def build_region(region: bytes, serial: bytes) -> bytes:
    """The region with another serial number and the checksum for it."""
    built = bytearray(region[: _body(region)])
    built[SERIAL] = serial
    return bytes(built) + _checksum_sector(bytes(built))


def _body(region: bytes) -> int:
    return len(region) // SECTORS * (SECTORS - 1)


def _checksum_sector(body: bytes) -> bytes:
    checksum = 0
    for at, byte in enumerate(body):
        if at not in _VOLATILE:
            checksum = ((checksum >> 1 | checksum << 31) + byte) & 0xFFFFFFFF
    return checksum.to_bytes(4, "little") * (len(body) // (SECTORS - 1) // 4)
