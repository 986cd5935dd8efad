"""The boot sector of a FAT12, FAT16 or FAT32 volume; FAT32 keeps a copy where the sector itself says."""

import struct
from dataclasses import dataclass

SIZE = 512
FAT32 = b"FAT32   "
FAT32_AT = 0x52
_FIELDS = struct.Struct("<HBHBHHBH")
_FIELDS_AT = 11
_JUMPS = (b"\xeb", b"\xe9")
_SECTORS = frozenset({512, 1024, 2048, 4096})
_CLUSTERS = frozenset(1 << power for power in range(8))
_COPIES = frozenset({1, 2})
_FIRST_MEDIUM = 0xF0
_EXTENDED_MARKS = frozenset({0x28, 0x29})
_MARK_AT, _MARK_AT_32 = 0x26, 0x42
_BACKUP_AT, _NO_BACKUP = 50, frozenset({0, 0xFFFF})


@dataclass(frozen=True, slots=True)
class FatBoot:
    """What a boot sector says. `serial` is where in the sector the volume's serial number stands; None without one."""

    sector_size: int
    serial: slice | None
    backup: int | None
    """The byte of the volume at which the copy of the boot sector stands; None without one."""


def parse_boot(sector: bytes) -> FatBoot | None:
    """What the first sector of a volume says; None where it is not FAT.

    FAT32 names itself. The others are known by fields that no master boot record has together.
    """
    if len(sector) < SIZE:
        return None
    size, clusters, reserved, copies, _, _, medium, _ = _FIELDS.unpack_from(sector, _FIELDS_AT)
    if sector.startswith(FAT32, FAT32_AT):
        place = struct.unpack_from("<H", sector, _BACKUP_AT)[0]
        return FatBoot(size, _serial(sector, _MARK_AT_32), None if place in _NO_BACKUP else place * size)
    shape = size in _SECTORS and clusters in _CLUSTERS and reserved and copies in _COPIES and medium >= _FIRST_MEDIUM
    if not shape or not sector.startswith(_JUMPS):
        return None
    return FatBoot(size, _serial(sector, _MARK_AT), None)


def _serial(sector: bytes, mark: int) -> slice | None:
    """The serial number stands behind a mark that says it is there."""
    return slice(mark + 1, mark + 5) if sector[mark] in _EXTENDED_MARKS else None
