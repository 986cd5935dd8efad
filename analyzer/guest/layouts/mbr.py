"""The master boot record: a disk signature and four partitions; logical ones in a chain of records like it."""

import struct
from dataclasses import dataclass
from itertools import starmap

from analyzer.guest.layouts import exfat, fat, ntfs

SIZE = 512
MARK = b"\x55\xaa"
SIGNATURE = slice(440, 444)
PROTECTIVE, DYNAMIC = 0xEE, 0x42
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
# At the end of 512 bytes whatever the sector's size.
MARK_AT = slice(510, 512)
_ENTRIES_AT, _ENTRIES = 446, 4
_ENTRY = struct.Struct("<B3xB3xII")
_ACTIVE = 0x80


@dataclass(frozen=True, slots=True)
class MbrEntry:
    """One of the four; `first` and `sectors` are counted in sectors."""

    status: int
    kind: int
    first: int
    sectors: int

    @property
    def is_extended(self) -> bool:
        """It holds logical partitions."""
        return self.kind in _EXTENDED and self.sectors > 0

    @property
    def is_partition(self) -> bool:
        """It holds a volume: neither empty, nor the mark of a GPT, nor a box of logical partitions."""
        return self.kind not in {0, PROTECTIVE, *_EXTENDED} and self.sectors > 0


@dataclass(frozen=True, slots=True)
class Mbr:
    """The disk signature, four bytes as they are, and the four entries."""

    signature: bytes
    entries: tuple[MbrEntry, ...]


def parse_mbr(front: bytes) -> Mbr | None:
    """The master boot record that a disk begins with; None where that is none, or the boot sector of a volume."""
    is_volume = any(parse(front) for parse in (ntfs.parse_boot, exfat.parse_boot, fat.parse_boot))
    if len(front) < SIZE or front[MARK_AT] != MARK or is_volume:
        return None
    entries = _entries(front)
    return None if any(entry.status & ~_ACTIVE for entry in entries) else Mbr(front[SIGNATURE], entries)


def parse_logical(record: bytes) -> tuple[MbrEntry | None, MbrEntry | None]:
    """The volume of a record of the chain of logical partitions, and where the next record is."""
    if len(record) < SIZE or record[MARK_AT] != MARK:
        return None, None
    volume, following, *_ = _entries(record)
    return volume if volume.is_partition else None, following if following.is_extended else None


def _entries(record: bytes) -> tuple[MbrEntry, ...]:
    return tuple(starmap(MbrEntry, (_ENTRY.unpack_from(record, _ENTRIES_AT + 16 * n) for n in range(_ENTRIES))))
