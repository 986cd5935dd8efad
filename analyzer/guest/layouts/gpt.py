"""The GUID partition table (UEFI specification, 5.3): a header and an array of entries, each kept twice."""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

SIGNATURE = b"EFI PART"
MOST_TABLE = 1 << 20
"""Bytes of the largest array of entries that is believed: 64 times the common one."""
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
# 128 times a power of two by UEFI; larger than 4096 nobody has made.
_ENTRY_SIZES = frozenset(128 << power for power in range(6))
_CHECKSUM, DISK_GUID, _TABLE_CHECKSUM = slice(16, 20), slice(56, 72), slice(88, 92)
PARTITION_GUID = slice(16, 32)
# Offsets in the header: its own place with the other one's, the last sector for partitions, the entries.
_PLACES, _HERE, _LAST_USABLE, _TABLE = struct.Struct("<QQ"), 24, 48, 72
_PRIMARY_TABLE = 2


class Entries(Enum):
    """Which entries of a GPT to believe."""

    WHOLE = "whole"
    """Those that match the checksum in the header."""
    AS_FOUND = "as found"
    """Any, where no copy is whole: some of them may be lost or another file's. They say where to look, nothing more."""


@dataclass(frozen=True, slots=True)
class GptHeader:
    """A header as it is, right or not. Places are sectors, sizes bytes; `raw` is the sector that holds it."""

    raw: bytes
    size: int
    checksum: int
    here: int
    other: int
    disk_guid: bytes
    table: int
    count: int
    entry_size: int
    table_checksum: int

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector."""
        return len(self.raw)

    @property
    def table_start(self) -> int:
        """The byte of the disk at which the entries begin."""
        return self.table * self.sector_size

    @property
    def table_length(self) -> int:
        """Bytes of all entries."""
        return self.count * self.entry_size

    @property
    def is_whole(self) -> bool:
        """The checksum holds, and the entries have a size that can be."""
        sizes = _HEADER.size <= self.size <= len(self.raw) and self.entry_size in _ENTRY_SIZES
        return sizes and self.table_length <= MOST_TABLE and _header_checksum(self.raw, self.size) == self.checksum

    def fits(self, table: bytes) -> bool:
        """Whether these are the entries that the header was written for."""
        return len(table) == self.table_length and zlib.crc32(table) == self.table_checksum


@dataclass(frozen=True, slots=True)
class GptCopy:
    """One of the two: its header, which is whole, and its entries."""

    header: GptHeader
    table: bytes

    @property
    def at(self) -> int:
        """The byte of the disk at which the header is."""
        return self.header.here * self.header.sector_size

    @property
    def is_backup(self) -> bool:
        """It is the second one: the first is in sector 1, always."""
        return self.header.here != 1


@dataclass(frozen=True, slots=True)
class GptEntry:
    """A partition; `first` and `last` are sectors, both its own."""

    index: int
    kind: UUID
    guid: UUID
    first: int
    last: int
    name: str


def parse_header(sector: bytes) -> GptHeader | None:
    """What a whole sector holds where a GPT header may be; None without its signature. `is_whole` judges it."""
    if len(sector) < _HEADER.size or not sector.startswith(SIGNATURE):
        return None
    _, _, size, checksum, _, here, other, _, _, guid, *table = _HEADER.unpack_from(sector)
    return GptHeader(sector, size, checksum, here, other, guid, *table)


def parse_whole_header(sector: bytes) -> GptHeader | None:
    """The header in a sector, when its checksum holds."""
    header = parse_header(sector)
    return header if header and header.is_whole else None


def read_copy(read: Callable[[int, int], bytes], at: int, sector: int, entries: Entries) -> GptCopy | None:
    """The copy whose header is at byte `at` of a disk, when its header, and its entries as far as asked, are whole."""
    header = parse_whole_header(read(at, sector))
    if header is None or header.here * sector != at:
        return None
    table = read(header.table_start, header.table_length)
    return GptCopy(header, table) if entries is Entries.AS_FOUND or header.fits(table) else None


def primary_header(front: bytes, sectors: Sequence[int]) -> GptHeader | None:
    """The primary header in the front of a disk; where it is gives the logical sector."""
    found = (parse_whole_header(front[sector : 2 * sector]) for sector in sectors)
    return next((header for header in found if header and header.here == 1), None)


def parse_entries(table: bytes, entry_size: int) -> Iterator[GptEntry]:
    """The entries that are in use: those with a type; none where the size cannot be."""
    if entry_size < _ENTRY.size:
        return
    for index in range(len(table) // entry_size):
        kind, guid, first, last, _, name = _ENTRY.unpack_from(table, index * entry_size)
        if any(kind):
            text = name.decode("utf-16-le", "replace").split("\0")[0]
            yield GptEntry(index, UUID(bytes_le=kind), UUID(bytes_le=guid), first, last, text)


def build_table(table: bytes, entry_size: int, guids: Mapping[int, UUID]) -> bytes:
    """The entries with these partition GUIDs, by index, in place of their own."""
    built = bytearray(table)
    for index, guid in guids.items():
        at = index * entry_size
        built[at + PARTITION_GUID.start : at + PARTITION_GUID.stop] = guid.bytes_le
    return bytes(built)


def build_moved(header: GptHeader, table: bytes, last: int) -> tuple[bytes, bytes]:
    """The header's sector as the primary and as the backup of a disk whose last sector is `last`, for these entries.

    The backup's entries are in front of its header, the last sector for partitions in front of them.
    """
    sectors = -(-len(table) // header.sector_size)
    backup_table, primary_table = last - sectors, header.table if header.here == 1 else _PRIMARY_TABLE
    places = ((1, last, primary_table), (last, 1, backup_table))
    primary, backup = (_placed(header, *place, backup_table - 1, table) for place in places)
    return primary, backup


def _placed(header: GptHeader, here: int, other: int, entries: int, last_usable: int, table: bytes) -> bytes:
    built = bytearray(header.raw)
    _PLACES.pack_into(built, _HERE, here, other)
    struct.pack_into("<Q", built, _LAST_USABLE, last_usable)
    struct.pack_into("<Q", built, _TABLE, entries)
    return _summed(built, header.size, table)


def build_header(header: GptHeader, disk_guid: UUID, table: bytes) -> bytes:
    """The header's sector with another disk GUID, for these entries, its checksums right."""
    built = bytearray(header.raw)
    built[DISK_GUID] = disk_guid.bytes_le
    return _summed(built, header.size, table)


def _summed(built: bytearray, size: int, table: bytes) -> bytes:
    built[_TABLE_CHECKSUM] = zlib.crc32(table).to_bytes(4, "little")
    built[_CHECKSUM] = _header_checksum(bytes(built), size).to_bytes(4, "little")
    return bytes(built)


def _header_checksum(raw: bytes, size: int) -> int:
    """The checksum of a header, taken with zeros where it is itself."""
    return zlib.crc32(raw[: _CHECKSUM.start] + bytes(4) + raw[_CHECKSUM.stop : size])
