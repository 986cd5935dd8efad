"""Signs of NTFS: boot sectors, and the records of the $MFT, which know their numbers while the $MFT's runs tell places.

Layouts: Linux-NTFS project, "NTFS Documentation".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from analyzer.salvage.signs import Sign, volumes_of
from analyzer.salvage.volumes import read_known
from vhdx.disk import Disk

_OEM, _RECORD, _DATA, _END = b"NTFS    ", b"FILE", 0x80, 0xFFFFFFFF
_BOOT = 512
_MOST_RUNS = 4096
_STEP = 1 << 18
"""Bytes of the $MFT after which there is another sign: four in each MiB, for records may be unused."""


@dataclass(frozen=True, slots=True)
class Ntfs:
    """What a boot sector says; bytes of the disk."""

    start: int
    sector: int
    cluster: int
    size: int
    mft: int
    mirror: int
    record: int


def parse_ntfs(raw: bytes, start: int, end: int) -> Ntfs | None:
    """The volume that a boot sector describes at byte `start` of the disk; None when it is none, or passes `end`."""
    if len(raw) < _BOOT or raw[3:11] != _OEM:
        return None
    sector, per_cluster = struct.unpack_from("<HB", raw, 11)
    hidden = struct.unpack_from("<I", raw, 28)[0]
    total, mft, mirror = struct.unpack_from("<QQQ", raw, 40)
    size_of_record = struct.unpack_from("<b", raw, 64)[0]
    cluster = sector * per_cluster
    record = 1 << -size_of_record if size_of_record < 0 else size_of_record * cluster
    if sector not in {512, 1024, 2048, 4096} or not per_cluster:
        return None
    if not 0 < (total + 1) * sector <= end - start or record not in {512, 1024, 2048, 4096}:
        return None
    if hidden * sector != start:
        return None
    return Ntfs(start, sector, cluster, total * sector, start + mft * cluster, start + mirror * cluster, record)


def boot_signs(disk: Disk) -> Iterator[Sign]:
    """The boot sector of each volume and its backup, which are the same and name the volume's first sector."""
    for start, end in volumes_of(disk):
        fits = partial(_is_boot, start, end)
        yield Sign(f"the boot sector of the NTFS volume at byte {start}", start, _BOOT, fits)
        for at in _backups(disk, start, end):
            yield Sign(f"the backup of the boot sector of the NTFS volume at byte {start}", at, _BOOT, fits)


def _is_boot(start: int, end: int, raw: bytes) -> bool:
    return parse_ntfs(raw, start, end) is not None


def _backups(disk: Disk, start: int, end: int) -> set[int]:
    """Where the backup is: behind the last sector that the boot sector counts, else in the volume's last sector."""
    ntfs = parse_ntfs(read_known(disk, start, _BOOT), start, end)
    return {start + ntfs.size} if ntfs else {end - disk.sector_size}


def record_signs(disk: Disk) -> Iterator[Sign]:
    """Records of the $MFT all along its runs, and those of its mirror."""
    for start, end in volumes_of(disk):
        boots = (read_known(disk, at, _BOOT) for at in (start, *sorted(_backups(disk, start, end))))
        ntfs = next((found for raw in boots if (found := parse_ntfs(raw, start, end))), None)
        if ntfs is None:
            continue
        of = f"of the NTFS volume at byte {start}"
        for at, number in ((ntfs.mft, 0), (ntfs.mirror, 0), *_along(disk, ntfs)):
            yield Sign(f"record {number} of the $MFT {of}", at, 2 * ntfs.record, partial(_is_record, ntfs, number))


def _is_record(ntfs: Ntfs, number: int, raw: bytes) -> bool:
    """Whether two records with these numbers stand there."""
    found = (raw[at : at + 48] for at in (0, ntfs.record))
    return all(one[:4] == _RECORD and one[44:48] == (number + n).to_bytes(4, "little") for n, one in enumerate(found))


def _along(disk: Disk, ntfs: Ntfs) -> Iterator[tuple[int, int]]:
    """(byte of the disk, number) of records, _STEP apart and at the start of each run of the $MFT."""
    first = read_known(disk, ntfs.mft, ntfs.record) or read_known(disk, ntfs.mirror, ntfs.record)
    number = 0
    for place, clusters in _runs(_without_fixups(first, ntfs.sector)):
        length = clusters * ntfs.cluster
        for at in range(0, length - ntfs.record, _STEP):
            yield ntfs.start + place * ntfs.cluster + at, number + at // ntfs.record
        number += length // ntfs.record


def _without_fixups(record: bytes, sector: int) -> bytes:
    """The record with the ends of its sectors put back; b"" when it is none or torn."""
    if record[:4] != _RECORD:
        return b""
    array, count = struct.unpack_from("<HH", record, 4)
    if array + 2 * count > len(record) or (count - 1) * sector > len(record):
        return b""
    fixed = bytearray(record)
    for number in range(1, count):
        end = number * sector
        if record[end - 2 : end] != record[array : array + 2]:
            return b""
        fixed[end - 2 : end] = record[array + 2 * number : array + 2 * number + 2]
    return bytes(fixed)


def _runs(record: bytes) -> Iterator[tuple[int, int]]:
    """(first cluster, count) of the runs of the record's data, in order."""
    at = struct.unpack_from("<H", record, 20)[0] if record else 0
    while 0 < at <= len(record) - 64:
        kind, length, resident, named = struct.unpack_from("<IIBB", record, at)
        if kind == _END or not length:
            return
        if kind == _DATA and resident and not named:
            start = struct.unpack_from("<H", record, at + 32)[0]
            yield from _pairs(record[at + start : at + length])
            return
        at += length


def _pairs(raw: bytes) -> Iterator[tuple[int, int]]:
    at, place = 0, 0
    for _ in range(_MOST_RUNS):
        sizes = raw[at] if at < len(raw) else 0
        counts, places = sizes & 15, sizes >> 4
        if not sizes or at + 1 + counts + places > len(raw):
            return
        count = int.from_bytes(raw[at + 1 : at + 1 + counts], "little")
        place += int.from_bytes(raw[at + 1 + counts : at + 1 + counts + places], "little", signed=True)
        if places and count and place >= 0:
            yield place, count
        at += 1 + counts + places
