"""The partitions of a disk: one walk through the GPT, its backup, and the MBR with its logical partitions.

Who reads a disk by its volumes reads it by these, so that all commands speak of the same ones.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice, starmap
from typing import NamedTuple
from uuid import UUID

from analyzer.guest.layouts import exfat, fat, ntfs
from analyzer.guest.layouts.gpt import Entries, GptCopy, parse_entries, read_copy

MBR_SIZE = 512
MARK = b"\x55\xaa"
MBR_SIGNATURE = slice(440, 444)
PROTECTIVE, DYNAMIC = 0xEE, 0x42
_EXTENDED = frozenset({0x05, 0x0F, 0x85})  # CHS, LBA and Linux' own: all three are chains alike
# At the end of 512 bytes whatever the sector's size.
MARK_AT = slice(510, 512)
_ENTRIES_AT, _ENTRIES = 446, 4
_ENTRY, _COUNT, _MOST_SECTORS = struct.Struct("<B3xB3xII"), struct.Struct("<I"), 0xFFFFFFFF
_ACTIVE = 0x80  # any other status is no partition table


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


def with_last_sector(front: bytes, last: int) -> bytes:
    """A protective MBR for a disk whose last sector is `last`; any other front as it is."""
    mbr, built = parse_mbr(front), bytearray(front)
    for number, entry in enumerate(mbr.entries if mbr else ()):
        if entry.kind == PROTECTIVE:  # a field that cannot hold the sectors is full of ones (UEFI specification, 5.2.3)
            at = _ENTRIES_AT + (number + 1) * _ENTRY.size - _COUNT.size
            _COUNT.pack_into(built, at, min(last, _MOST_SECTORS))
    return bytes(built)


def parse_mbr(front: bytes) -> Mbr | None:
    """The master boot record that a disk begins with; None where that is none, or the boot sector of a volume."""
    is_volume = any(parse(front) for parse in (ntfs.parse_boot, exfat.parse_boot, fat.parse_boot))
    if len(front) < MBR_SIZE or front[MARK_AT] != MARK or is_volume:
        return None
    entries = _entries(front)
    return None if any(entry.status & ~_ACTIVE for entry in entries) else Mbr(front[MBR_SIGNATURE], entries)


def _entries(record: bytes) -> tuple[MbrEntry, ...]:
    return tuple(starmap(MbrEntry, (_ENTRY.unpack_from(record, _ENTRIES_AT + 16 * n) for n in range(_ENTRIES))))


Read = Callable[[int, int], bytes]
"""Bytes of a disk by start and length, fewer where it ends before or cannot say."""
# Partitions of a disk: twice the entries of the usual GPT.
_MOST = 256
# Records of logical partitions that are followed: the chain of a hostile disk is a circle, or as long as it likes.
_MOST_LOGICAL = 128
# The number of the first logical partition, on every system.
_FIRST_LOGICAL = 5


class Pool(Enum):
    """What joins several disks: its volumes are where a database of its own says, not where partitions are."""

    LDM = "LDM"
    SPACES = "Storage Spaces"


# The types of a GPT, and those of an MBR, as winioctl.h lists them.
_POOLS: dict[UUID | int | None, Pool] = {
    UUID("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"): Pool.LDM,
    UUID("af9b60a0-1431-4f62-bc68-3311714a69ad"): Pool.LDM,
    UUID("e75caf8f-f680-4cee-afa3-b001e56efc2d"): Pool.SPACES,
    UUID("e7addcb4-dc34-4539-9a76-ebbd07be6f7e"): Pool.SPACES,
    0x42: Pool.LDM,
    0xE7: Pool.SPACES,
    0xD7: Pool.SPACES,
}


# What else a type says, of volumes that no reader here looks into; of a GPT and of an MBR.
_PURPOSES: dict[UUID | int | None, str] = {
    UUID("e6d6d379-f507-44c2-a23c-238f2a3df928"): "LVM",
    UUID("a19d880f-05fc-4d3b-a006-743f0f84911e"): "Linux RAID",
    UUID("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"): "Linux swap",
    UUID("ca7d7ccb-63ed-4c53-861c-1742536059cc"): "LUKS",
    UUID("6a898cc3-1dd2-11b2-99a6-080020736631"): "ZFS",
    UUID("7c3457ef-0000-11aa-aa11-00306543ecac"): "APFS",
    UUID("48465300-0000-11aa-aa11-00306543ecac"): "HFS+",
    UUID("aa31e02a-400f-11db-9590-000c2911d1b8"): "VMFS of VMware",
    0x82: "Linux swap",
    0x8E: "LVM",
    0xAF: "HFS+",
    0xFB: "VMFS of VMware",
    0xFD: "Linux RAID",
}


class Scheme(Enum):
    """Which table names a partition."""

    GPT = "gpt"
    MBR = "mbr"
    NONE = "none"
    """No table: the whole disk is one volume."""


class Made(NamedTuple):
    """Bytes that stand in for what is lost at byte `at` of a volume."""

    at: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Partition:
    """Bytes of the disk from `start` to `end`, as the table has them: it may reach past the disk's end.

    `index` is its number on any system; `type` a GUID, the byte of an MBR, or None for a whole disk.
    """

    index: int
    start: int
    end: int
    type: UUID | int | None = None
    name: str = ""
    scheme: Scheme = Scheme.NONE
    from_backup: bool = False
    """The primary GPT is damaged or lost, and its backup was read."""
    made: tuple[Made, ...] = ()
    """What its volume lacks, made from what else it has."""
    is_beneath: bool = False
    """It takes all of the disk, and other volumes lie over it."""

    @property
    def pool(self) -> Pool | None:
        """The pool of disks that it belongs to by its type; None for a volume of its own."""
        return _POOLS.get(self.type)

    @property
    def purpose(self) -> str:
        """What its type says it is for, where nothing here reads that; "" of any other."""
        return _PURPOSES.get(self.type, "")


def partitions_of(
    read: Read, size: int, sectors: Sequence[int], entries: Entries = Entries.WHOLE
) -> tuple[Partition, ...]:
    """The partitions of a disk of `size` bytes, in the order of the tables; none where no table is whole.

    `sectors` are the sizes of a sector that a GPT may have been made for, the disk's own first: an image of a disk with
    sectors of 4 KiB may be read with 512. A GPT counts where the MBR is protective, hybrid, or names nothing: where it
    names partitions and no GPT, the GPT is one of former days, and no system goes by it.
    """
    mbr = parse_mbr(read(0, MBR_SIZE))
    of_mbr = list(_of_mbr(mbr, sectors[0], read)) if mbr else []
    of_gpt: list[Partition] = []
    if not of_mbr or (mbr and any(entry.kind == PROTECTIVE for entry in mbr.entries)):
        of_gpt = next(filter(None, (_of_gpt(copy) for copy in _copies(read, size, sectors, entries))), [])
    starts = {part.start for part in of_gpt}  # a hybrid MBR names some of the GPT's again
    return tuple(islice((*of_gpt, *(part for part in of_mbr if part.start not in starts)), _MOST))


def bounded(read: Read, start: int, end: int) -> Read:
    """The bytes from `start` to `end` of what `read` reads, as a disk of their own: fewer where they end."""

    def inside(at: int, length: int) -> bytes:
        upto = min(start + at + length, end)
        return read(start + at, upto - start - at) if 0 <= at < upto - start else b""

    return inside


def gpt_copies(read: Read, size: int, sector: int) -> Iterator[GptCopy]:
    """The copies of the GPT that are whole: the backup where the primary says it is, or else in the last sector."""
    primary = read_copy(read, sector, sector, Entries.WHOLE)
    yield from (primary,) if primary else ()
    last = primary.header.other * sector if primary else (size // sector - 1) * sector
    backup = read_copy(read, last, sector, Entries.WHOLE) if last > sector else None
    yield from (backup,) if backup else ()


def _copies(read: Read, size: int, sectors: Sequence[int], entries: Entries) -> Iterator[GptCopy]:
    for sector in sectors:
        yield from gpt_copies(read, size, sector)
    for sector in sectors if entries is Entries.AS_FOUND else ():
        copy = read_copy(read, sector, sector, entries)
        yield from (copy,) if copy else ()


def _of_gpt(copy: GptCopy) -> list[Partition]:
    sector, found = copy.header.sector_size, []
    for entry in parse_entries(copy.table, copy.header.entry_size):
        place = entry.first * sector, (entry.last + 1) * sector
        if place[0] < place[1]:
            found.append(Partition(entry.index + 1, *place, entry.kind, entry.name, Scheme.GPT, copy.is_backup))
    return found


def _of_mbr(mbr: Mbr, sector: int, read: Read) -> Iterator[Partition]:
    """Primary partitions, then logical ones: each record names one volume and the next record, from the first."""
    for number, entry in enumerate(mbr.entries, 1):
        if entry.is_partition:
            yield _named(entry, number, 0, sector)
    number = _FIRST_LOGICAL
    for box in mbr.entries:
        at, seen = box.first if box.is_extended else 0, set[int]()
        while at and at not in seen and len(seen) < _MOST_LOGICAL:
            seen.add(at)
            record = read(at * sector, MBR_SIZE)
            if len(record) < MBR_SIZE or record[MARK_AT] != MARK:
                break
            volume, following, *_ = _entries(record)
            if volume.is_partition:
                yield _named(volume, number, at, sector)
                number += 1
            at = box.first + following.first if following.is_extended else 0


def _named(entry: MbrEntry, number: int, base: int, sector: int) -> Partition:
    first = base + entry.first
    return Partition(number, first * sector, (first + entry.sectors) * sector, entry.kind, "", Scheme.MBR)
