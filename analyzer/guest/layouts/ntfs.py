"""The boot sector of an NTFS volume. Its copy is in the sector behind the volume's last."""

import struct
from dataclasses import dataclass

SIZE = 512
SIGNATURE = b"NTFS    "
SIGNATURE_AT = 3
SERIAL = slice(0x48, 0x50)
_FIELDS = struct.Struct("<11xHB14xI8xQQQb7x8s")
_SECTORS = frozenset({512, 1024, 2048, 4096})
# Half an exabyte: a boot sector of noise mostly claims more.
_MOST_SECTORS = 1 << 50
# Sectors of a cluster up to which the byte says their number; above it is an exponent, negated.
_MOST_PLAIN = 128
_RECORDS = range(512, 1 << 16 | 1)


@dataclass(frozen=True, slots=True)
class NtfsBoot:
    """What a boot sector says, right or not: sizes in bytes, `sectors` of the volume, places in clusters."""

    sector_size: int
    cluster_size: int
    hidden: int
    """Sectors of the disk before the volume."""
    sectors: int
    mft: int
    mirror: int
    record_size: int
    serial: bytes

    @property
    def is_sane(self) -> bool:
        """Sectors and clusters have sizes that can be."""
        return self.sector_size in _SECTORS and self.cluster_size > 0

    @property
    def has_place_for_records(self) -> bool:
        """$MFT records have a size that can be."""
        return self.record_size in _RECORDS

    @property
    def backup(self) -> int | None:
        """The byte of the volume at which the copy is; None when that cannot be right."""
        return self.sectors * self.sector_size if self.is_sane and 0 < self.sectors < _MOST_SECTORS else None


def parse_boot(sector: bytes) -> NtfsBoot | None:
    """What the first sector of a volume says; None where it is not NTFS."""
    if len(sector) < SIZE or not sector.startswith(SIGNATURE, SIGNATURE_AT):
        return None
    size, clusters, hidden, sectors, mft, mirror, per_record, serial = _FIELDS.unpack_from(sector)
    cluster = size * clusters if clusters <= _MOST_PLAIN else size << (256 - clusters)
    record = per_record * cluster if per_record > 0 else 1 << -per_record
    return NtfsBoot(size, cluster, hidden, sectors, mft, mirror, record, serial)
