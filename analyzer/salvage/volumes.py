"""File systems as witnesses: structures that a disk keeps twice, far apart, and that tell their own place.

Used on a disk that may be put together wrongly: where both copies stand as they should, the blocks between them do.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.runs import Kind

_GPT = struct.Struct("<8sIIIIQQQQ16sQIII")
_MBR_ENTRY = struct.Struct("<B3sB3sII")
_MOST_TABLE, _MOST_PARTS, _MOST_GROUPS = 1 << 20, 32, 64
_FIRST_BOOT, _BOOT_MARK = 512, b"\x55\xaa"
_EXT_MAGIC, _EXT_AT, _EXT_SIZE = b"\x53\xef", 1024, 1024
_EXT_LARGEST = 6
_NTFS_SECTORS = {512, 1024, 2048, 4096}
_PROTECTIVE, _EXTENDED = 0xEE, {0x05, 0x0F, 0x85}


@dataclass(frozen=True, slots=True)
class Gpt:
    """One GPT header that is whole; places are sectors."""

    sector_size: int
    here: int
    other: int
    disk_guid: bytes
    table: int
    count: int
    entry_size: int
    table_crc: int


@dataclass(frozen=True, slots=True)
class Witness:
    """A copy of a structure: `length` bytes that must stand at byte `start` of the disk, and whether they do.

    Where the disk holds nothing of its own there, nobody witnesses anything.
    """

    what: str
    start: int
    length: int
    stands: bool


def parse_gpt(raw: bytes, sector_size: int) -> Gpt | None:
    """The GPT header in a sector, when its checksum holds."""
    if len(raw) < _GPT.size or raw[:8] != b"EFI PART":
        return None
    _, _, size, crc, _, here, other, _, _, guid, table, count, entry, table_crc = _GPT.unpack_from(raw)
    if not _GPT.size <= size <= len(raw) or zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != crc:
        return None
    sane = entry in {128, 256, 512} and count * entry <= _MOST_TABLE
    return Gpt(sector_size, here, other, guid, table, count, entry, table_crc) if sane else None


def primary_gpt(front: bytes) -> Gpt | None:
    """The primary GPT in the front of a disk; where it stands tells the logical sector."""
    for sector in (512, 4096):
        gpt = parse_gpt(front[sector : 2 * sector], sector)
        if gpt and gpt.here == 1:
            return gpt
    return None


def read_known(disk: Disk, start: int, length: int) -> bytes:
    """What the disk itself holds there; b"" where any of it is not DATA of this file, or past the end."""
    if start < 0 or length <= 0 or start + length > disk.size:
        return b""
    try:
        sector = disk.sector_size
        aligned = disk.runs(start // sector * sector, min(disk.size, -(-(start + length) // sector) * sector))
        return disk.read(start, length) if all(run.kind is Kind.DATA for run in aligned) else b""
    except VhdxError:
        return b""


def witnesses_of(disk: Disk) -> Iterator[Witness]:
    """Every second copy that a structure on the disk tells of, and whether it stands where it must."""
    gpt = primary_gpt(read_known(disk, 0, 8192))
    parts = list(_mbr_parts(read_known(disk, 0, 512), disk.sector_size))
    if gpt and gpt.sector_size == disk.sector_size:
        yield from _gpt_backup(disk, gpt)
        parts = list(_gpt_parts(disk, gpt))
    for start, end in [(0, disk.size), *parts[:_MOST_PARTS]]:
        yield from _ntfs(disk, start)
        yield from _ext(disk, start, end)


def _gpt_backup(disk: Disk, gpt: Gpt) -> Iterator[Witness]:
    at = gpt.other * gpt.sector_size
    raw = read_known(disk, at, gpt.sector_size)
    backup = parse_gpt(raw, gpt.sector_size)
    stands = bool(backup and (backup.here, backup.disk_guid) == (gpt.other, gpt.disk_guid))
    if raw:
        yield Witness("the backup GPT header", at, gpt.sector_size, stands)


def _gpt_parts(disk: Disk, gpt: Gpt) -> Iterator[tuple[int, int]]:
    table = read_known(disk, gpt.table * gpt.sector_size, gpt.count * gpt.entry_size)
    if zlib.crc32(table) != gpt.table_crc:
        return
    for at in range(0, len(table), gpt.entry_size):
        first, last = struct.unpack_from("<QQ", table, at + 32)
        if any(table[at : at + 16]) and first <= last:
            yield first * gpt.sector_size, (last + 1) * gpt.sector_size


def _mbr_parts(front: bytes, sector: int) -> Iterator[tuple[int, int]]:
    """The primary partitions of an MBR, bytes of the disk; none where the sector is a file system's own."""
    if front[510:512] != _BOOT_MARK or front[3:11] in {b"NTFS    ", b"EXFAT   "} or front[82:87] == b"FAT32":
        return
    entries = [_MBR_ENTRY.unpack_from(front, 446 + 16 * index) for index in range(4)]
    for status, _, kind, _, first, count in entries:
        if not status & 0x7F and kind not in {0, _PROTECTIVE, *_EXTENDED} and count:
            yield first * sector, (first + count) * sector


def ends_of(front: bytes, sector: int) -> Iterator[tuple[int, str]]:
    """Where the disk must at least reach to, as its front tells, in bytes, and which structure says so."""
    yield from ((end, "a partition of the MBR ends there") for _, end in _mbr_parts(front, sector))
    size, total = int.from_bytes(front[11:13], "little"), int.from_bytes(front[40:48], "little")
    if front[3:11] == b"NTFS    " and size in _NTFS_SECTORS:
        yield (total + 1) * size, "the NTFS volume ends there"
    block = front[_EXT_AT : _EXT_AT + _EXT_SIZE]
    if block[56:58] == _EXT_MAGIC:
        blocks, power = struct.unpack_from("<I", block, 4)[0], struct.unpack_from("<I", block, 24)[0]
        if power <= _EXT_LARGEST:
            yield blocks * (1024 << power), "the ext volume ends there"


def _ntfs(disk: Disk, start: int) -> Iterator[Witness]:
    boot = read_known(disk, start, 512)
    sector, total = int.from_bytes(boot[11:13], "little"), int.from_bytes(boot[40:48], "little")
    if boot[3:11] != b"NTFS    " or sector not in _NTFS_SECTORS or total >= 1 << 50:
        return
    at = start + total * sector
    copy = read_known(disk, at, 512)
    if copy:
        yield Witness("the backup of the NTFS boot sector", at, 512, copy == boot)


def _ext(disk: Disk, start: int, end: int) -> Iterator[Witness]:
    block = read_known(disk, start + _EXT_AT, _EXT_SIZE)
    if block[56:58] != _EXT_MAGIC or block[90:92] != bytes(2):
        return
    power, group, first = (struct.unpack_from("<I", block, at)[0] for at in (24, 32, 20))
    if power > _EXT_LARGEST or not group:
        return
    size = 1024 << power
    for number in _backup_groups(_MOST_GROUPS):
        at = start + (first + number * group) * size
        if at + _EXT_SIZE <= min(end, disk.size):
            copy = read_known(disk, at, _EXT_SIZE)
            # Not every ext keeps a copy in these groups: one that is not there contradicts nothing.
            if copy[56:58] == _EXT_MAGIC and copy[104:120] == block[104:120]:
                yield Witness(f"the ext superblock of group {number}", at, _EXT_SIZE, stands=True)


def _backup_groups(most: int) -> list[int]:
    """Groups with a copy of the superblock where not all have one: 1 and the powers of 3, 5 and 7."""
    powers = {base**power for base in (3, 5, 7) for power in range(8)}
    return sorted(power for power in powers | {1} if power < most * most)
