"""The boot sector of a FAT12, FAT16 or FAT32 volume; FAT32 keeps a copy where the sector itself says."""

import struct
from dataclasses import dataclass

SIZE = 512
FAT32 = b"FAT32   "
FAT32_AT = 0x52
_FIELDS = struct.Struct("<11xHBHBHHBH8xII10xH460x")
_JUMPS = (b"\xeb", b"\xe9")  # every boot sector begins with a jump; a master boot record does not
_SECTORS = frozenset({512, 1024, 2048, 4096})
# Powers of two to 128 sectors: all that the field of one byte can hold.
_CLUSTERS = frozenset(1 << power for power in range(8))
_COPIES = frozenset({1, 2})
_FIRST_MEDIUM = 0xF0
_EXTENDED_MARKS = frozenset({0x28, 0x29})  # 0x28: without a label and a type behind the serial number
_MARK_AT, _MARK_AT_32 = 0x26, 0x42
FAT32_SERIAL = slice(_MARK_AT_32 + 1, _MARK_AT_32 + 5)
_NO_BACKUP = frozenset({0, 0xFFFF})  # both stand for none
ENTRY = 32
"""Bytes of a directory entry, of exFAT too."""
FIRST_CLUSTER = 2
"""The first cluster that is one, of exFAT too."""
_FAT12_CLUSTERS, _FAT16_CLUSTERS = 4085, 65525  # from so many on it is the next kind, whatever the name says


@dataclass(frozen=True, slots=True)
class FatBoot:
    """What a boot sector says, right or not: counts in sectors, sizes in bytes."""

    sector_size: int
    cluster: int
    reserved: int
    copies: int
    root_entries: int
    """Directory entries of the root; none on FAT32."""
    medium: int
    sectors: int
    table: int
    """Sectors of one allocation table."""
    is_fat32: bool
    """Its table is counted where only FAT32 has it."""
    serial: slice | None
    """Where in the sector the volume's serial number is; None without one."""
    backup: int | None
    """The byte of the volume at which the copy of the boot sector is; None without one."""

    @property
    def has_sizes(self) -> bool:
        """Sectors, clusters and what is reserved have sizes that can be."""
        return self.sector_size in _SECTORS and self.cluster in _CLUSTERS and self.reserved > 0

    @property
    def cluster_size(self) -> int:
        """Bytes of a cluster."""
        return self.sector_size * self.cluster

    @property
    def fat_start(self) -> int:
        """The byte of the volume at which the first table begins."""
        return self.reserved * self.sector_size

    @property
    def root(self) -> int:
        """The sector behind the tables: the root of FAT12 and FAT16, the first cluster of FAT32."""
        return self.reserved + self.copies * self.table

    @property
    def heap(self) -> int:
        """The sector at which clusters begin."""
        return self.root + -(-self.root_entries * ENTRY // self.sector_size)

    @property
    def heap_start(self) -> int:
        """The byte of the volume at which clusters begin."""
        return self.heap * self.sector_size

    @property
    def kind(self) -> str:
        """fat12, fat16 or fat32: by the number of clusters, as the format defines it."""
        count = (self.sectors - self.heap) // self.cluster
        if self.is_fat32 or count >= _FAT16_CLUSTERS:
            return "fat32"
        return "fat12" if count < _FAT12_CLUSTERS else "fat16"

    @property
    def entry_bits(self) -> int:
        """Bits of the table for each cluster."""
        return int(self.kind[3:])

    @property
    def label(self) -> slice:
        """Where in the sector the volume's label is."""
        mark = _MARK_AT_32 if self.kind == "fat32" else _MARK_AT
        return slice(mark + 5, mark + 16)


def parse_fields(sector: bytes) -> FatBoot | None:
    """What a boot sector says if it is one of FAT; None where it is too short for any."""
    if len(sector) < SIZE:
        return None
    size, cluster, reserved, copies, roots, small, medium, short, large, wide, place = _FIELDS.unpack_from(sector)
    names_itself = sector.startswith(FAT32, FAT32_AT)
    serial = _serial(sector, _MARK_AT_32 if names_itself else _MARK_AT)
    backup = place * size if names_itself and place not in _NO_BACKUP else None
    return FatBoot(
        size, cluster, reserved, copies, roots, medium, small or large, short or wide, not short, serial, backup
    )


def parse_boot(sector: bytes) -> FatBoot | None:
    """What the first sector of a volume says; None where it is not FAT.

    FAT32 names itself. The others are known by fields that no master boot record has together.
    """
    boot = parse_fields(sector)
    return boot if boot and (sector.startswith(FAT32, FAT32_AT) or _has_shape(sector, boot)) else None


def _has_shape(sector: bytes, boot: FatBoot) -> bool:
    is_fat = boot.has_sizes and boot.copies in _COPIES and boot.medium >= _FIRST_MEDIUM
    return is_fat and sector.startswith(_JUMPS)


def _serial(sector: bytes, mark: int) -> slice | None:
    """The serial number is behind a mark that says it is there."""
    return slice(mark + 1, mark + 5) if sector[mark] in _EXTENDED_MARKS else None
