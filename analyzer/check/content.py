"""What stands inside the disk, as far as copies of it can be compared: partition tables, boot sectors, file systems."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity

_GPT = struct.Struct("<8sIIIIQQQQ16sQIII")
_MOST_TABLE = 1 << 20
_MBR_ENTRY = struct.Struct("<B3sB3sII")
_PROTECTIVE, _EXTENDED = 0xEE, {0x05, 0x0F, 0x85}
SIGNATURES = (
    (3, b"-FVE-FS-", "BitLocker"),
    (3, b"ReFS\0\0\0\0", "ReFS"),
    (536, b"LVM2 001", "LVM"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (4086, b"SWAPSPACE2", "Linux swap"),
    (0x10040, b"_BHRfS_M", "Btrfs"),
    (0, b"XFSB", "XFS"),
)


class Part(NamedTuple):
    """A partition, or the whole disk: bytes of the disk from `start` to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Gpt:
    raw: bytes
    this_lba: int
    other_lba: int
    disk_guid: bytes
    table_lba: int
    count: int
    entry_size: int
    table_crc: int


def check_content(disk: Disk) -> Iterator[Finding]:
    """Everything about what the disk holds; what cannot be read is told, never raised."""
    try:
        found = list(_check(disk))
    except VhdxError as error:
        text = f"what the disk holds cannot be looked at: {error}"
        found = [Finding("FID-11", Severity.ERROR, text)]
    return (replace(finding, path=disk.path) for finding in found)


def _check(disk: Disk) -> Iterator[Finding]:
    primary = _read_gpt(disk, 1)
    if primary is not None:
        yield from _check_gpt(disk, primary)
        parts = list(_gpt_parts(disk, primary))
    else:
        parts = _mbr_parts(disk)
        yield from _check_ends(disk, parts)
    for part in parts or [Part(0, disk.size)]:
        for check in _CHECKS:
            yield from check(disk, part)


def _read_gpt(disk: Disk, lba: int) -> _Gpt | None:
    """The GPT header in a sector, when it is whole."""
    raw = disk.read(lba * disk.sector_size, disk.sector_size)
    if len(raw) < _GPT.size or raw[:8] != b"EFI PART":
        return None
    _, _, size, crc, _, this, other, _, _, guid, table, count, entry, table_crc = _GPT.unpack_from(raw)
    bare = raw[:16] + bytes(4) + raw[20 : min(size, len(raw))]
    if size < _GPT.size or zlib.crc32(bare) != crc or entry < 128 or count * entry > _MOST_TABLE:
        return None
    return _Gpt(raw, this, other, guid, table, count, entry, table_crc)


def _gpt_table(disk: Disk, gpt: _Gpt) -> bytes | None:
    table = disk.read(min(gpt.table_lba * disk.sector_size, disk.size), gpt.count * gpt.entry_size)
    return table if zlib.crc32(table) == gpt.table_crc else None


def _check_gpt(disk: Disk, primary: _Gpt) -> Iterator[Finding]:
    sector, sectors = disk.sector_size, disk.size // disk.sector_size
    if primary.other_lba != sectors - 1:
        text = f"the GPT was made for a disk of {(primary.other_lba + 1) * sector} bytes, and this one has {disk.size}"
        yield _finding("MET-23", text, sector, sector)
    if primary.other_lba >= sectors:
        return
    backup, at = _read_gpt(disk, primary.other_lba), primary.other_lba * sector
    if backup is None:
        yield _finding("CON-01", "the GPT's backup is not there or is damaged", at, sector)
    elif (backup.disk_guid, backup.table_crc, backup.count) != (primary.disk_guid, primary.table_crc, primary.count):
        yield _finding("CON-01", "the GPT and its backup name other partitions", at, sector)
    elif _gpt_table(disk, backup) is None:
        yield _finding("CON-01", "the backup of the GPT's partition entries is damaged", at, sector)
    if _gpt_table(disk, primary) is None:
        yield _finding("CON-01", "the GPT's partition entries fail their checksum", primary.table_lba * sector, None)


def _gpt_parts(disk: Disk, gpt: _Gpt) -> Iterator[Part]:
    table = _gpt_table(disk, gpt) or b""
    for at in range(0, len(table), gpt.entry_size):
        entry = table[at : at + gpt.entry_size]
        first, last = struct.unpack_from("<QQ", entry, 32)
        if any(entry[:16]) and first <= last:
            yield Part(first * disk.sector_size, (last + 1) * disk.sector_size)


def _mbr_parts(disk: Disk) -> list[Part]:
    """The primary partitions of an MBR; none where the first sector is a file system's own boot sector."""
    front = disk.read(0, 512)
    if front[510:512] != b"\x55\xaa" or front[3:11] in {b"NTFS    ", b"EXFAT   "} or front[82:87] == b"FAT32":
        return []
    entries = [_MBR_ENTRY.unpack_from(front, 446 + 16 * index) for index in range(4)]
    if any(status & 0x7F for status, *_ in entries):
        return []
    return [
        Part(first * disk.sector_size, (first + count) * disk.sector_size)
        for _, _, kind, _, first, count in entries
        if kind not in {0, _PROTECTIVE, *_EXTENDED} and count
    ]


def _check_ends(disk: Disk, parts: list[Part]) -> Iterator[Finding]:
    for part in parts:
        if part.end > disk.size:
            text = f"a partition of the MBR ends at {part.end}, and the disk has {disk.size} bytes"
            yield _finding("MET-23", text, part.start, part.end - part.start)


def _check_ntfs(disk: Disk, part: Part) -> Iterator[Finding]:
    boot = disk.read(part.start, 512)
    if boot[3:11] != b"NTFS    ":
        return
    sector, clusters, total = int.from_bytes(boot[11:13], "little"), boot[13], int.from_bytes(boot[40:48], "little")
    if sector not in {512, 1024, 2048, 4096} or not clusters:
        yield _finding("CON-02", "the NTFS boot sector has impossible sizes", part.start, 512)
        return
    at = part.start + total * sector
    if at + 512 > disk.size or disk.read(at, 512) != boot:
        yield _finding("CON-02", "the NTFS boot sector and its backup differ", at, 512)
    yield from _check_mft(disk, part, boot, sector * clusters if clusters <= 128 else sector << (256 - clusters))


def _check_mft(disk: Disk, part: Part, boot: bytes, cluster: int) -> Iterator[Finding]:
    mft, mirror, size = struct.unpack_from("<QQb", boot, 48)
    record = size * cluster if size > 0 else 1 << -size
    if not 512 <= record <= 65536 or max(mft, mirror) * cluster + 4 * record > part.end - part.start:
        yield _finding("CON-03", "the NTFS boot sector puts $MFT outside its volume", part.start, 512)
        return
    places = part.start + mft * cluster, part.start + mirror * cluster
    if disk.read(places[0], 4 * record) != disk.read(places[1], 4 * record):
        yield _finding("CON-03", "the first four records of $MFT and $MFTMirr differ", places[1], 4 * record)


def _check_fat32(disk: Disk, part: Part) -> Iterator[Finding]:
    boot = disk.read(part.start, 512)
    if boot[82:90] != b"FAT32   ":
        return
    sector, place = struct.unpack_from("<H", boot, 11)[0], struct.unpack_from("<H", boot, 50)[0]
    at = part.start + place * sector
    if 0 < place < 0xFFFF and disk.read(at, 512) != boot:
        yield _finding("CON-02", "the FAT32 boot sector and its backup differ", at, 512)


def _check_exfat(disk: Disk, part: Part) -> Iterator[Finding]:
    boot = disk.read(part.start, 512)
    if boot[3:11] != b"EXFAT   " or not 9 <= boot[108] <= 12:
        return
    size = 12 << boot[108]
    front, backup = (bytearray(disk.read(at, size)) for at in (part.start, part.start + size))
    for region in (front, backup):  # volume flags and the percentage in use are kept in the first alone
        region[106:108], region[112:113] = b"\0\0", b"\0"
    if front != backup:
        yield _finding("CON-02", "the exFAT boot region and its backup differ", part.start + size, size)


def _check_ext(disk: Disk, part: Part) -> Iterator[Finding]:
    block = disk.read(part.start + 1024, 1024)
    if block[56:58] != b"\x53\xef" or len(block) < 1024:
        return
    size, group = 1024 << min(struct.unpack_from("<I", block, 24)[0], 6), struct.unpack_from("<I", block, 32)[0]
    first = struct.unpack_from("<I", block, 20)[0]
    at = part.start + (first + group) * size
    if not group or at + 1024 > min(part.end, disk.size):
        return  # a single group: there is no backup
    backup = disk.read(at, 1024)
    fixed = [(56, 58), (24, 28), (32, 36), (40, 44), (88, 90), (104, 120)]
    if any(backup[start:end] != block[start:end] for start, end in fixed):
        yield _finding("CON-04", "the ext superblock and its first backup disagree", at, 1024)


def _recognise(disk: Disk, part: Part) -> Iterator[Finding]:
    for at, mark, name in SIGNATURES:
        if disk.read(min(part.start + at, disk.size), len(mark)) == mark:
            yield Finding("CON-05", Severity.NOTE, f"the volume at {part.start} is {name}", disk_start=part.start)


_CHECKS: tuple[Callable[[Disk, Part], Iterator[Finding]], ...] = (
    _check_ntfs,
    _check_fat32,
    _check_exfat,
    _check_ext,
    _recognise,
)


def _finding(code: str, text: str, start: int, length: int | None) -> Finding:
    return Finding(code, Severity.WARNING, text, disk_start=start, disk_length=length)
