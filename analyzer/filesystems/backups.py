"""Copies that file systems keep of where they begin: where that is gone, a copy stands in for it.

ext has its superblock, and the group descriptors behind it, in several groups; NTFS its boot sector in the last sector
of the volume, FAT32 and exFAT theirs a few sectors on.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.filesystems.recognise import EXT_MAGIC, EXT_SIZE, EXT_SUPERBLOCK
from analyzer.filesystems.view import Redirect, View

_BLOCK_SIZES = (4096, 1024, 2048)
_GROUPS = (1, 3, 5, 7, 9, 25, 27, 49)
_EXT_64BIT = 0x80
_GROUP_NUMBER_AT = 90
_SECTORS, _BOOT = (512, 4096), 512


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the superblock that is whole: its place in the volume, and its group."""

    start: int
    group: int
    redirects: tuple[Redirect, ...]


def find_boot_copy(view: View) -> Redirect | None:
    """The copy of a boot sector, for a volume that begins with nothing that is known."""
    for sector in _SECTORS:
        for at, mark_at, mark in _boot_copies(view.size, sector):
            look = View(view.disk, view.start, view.size)
            if at > 0 and look.read(at, _BOOT)[mark_at : mark_at + 8] == mark and not look.missed:
                return Redirect(0, _BOOT, at)
    return None


def _boot_copies(size: int, sector: int) -> tuple[tuple[int, int, bytes], ...]:
    """(byte of the volume, where in it the mark stands, the mark) of each."""
    last = size // sector * sector - sector
    return (last, 3, b"NTFS    "), (6 * sector, 82, b"FAT32   "), (12 * sector, 3, b"EXFAT   ")


def needs_backup(view: View) -> bool:
    """Whether the superblock or any of the group descriptors behind it is lost, or is none."""
    view = View(view.disk, view.start, view.size)
    block = view.read(EXT_SUPERBLOCK, EXT_SIZE)
    if block[56:58] != EXT_MAGIC or view.missed:
        return True
    size = 1024 << min(struct.unpack_from("<I", block, 24)[0], 6)
    table = view.read((struct.unpack_from("<I", block, 20)[0] + 1) * size, _table_length(block))
    return bool(view.missed) or not any(table)


def find_backup(view: View) -> Backup | None:
    """The first copy that can be read, tells its own place, and has whole group descriptors behind it."""
    return next(_backups(view), None)


def _backups(view: View) -> Iterator[Backup]:
    for size in _BLOCK_SIZES:
        first, per_group = int(size == 1024), 8 * size  # noqa: PLR2004 - only then block 0 is the boot block
        for group in _GROUPS:
            at = (first + group * per_group) * size
            if at + EXT_SIZE > view.size:
                break
            backup = _backup_at(view, at, size, group)
            if backup:
                yield backup


def _backup_at(view: View, at: int, size: int, group: int) -> Backup | None:
    look = View(view.disk, view.start, view.size)
    block = look.read(at, EXT_SIZE)
    if block[56:58] != EXT_MAGIC or int.from_bytes(block[_GROUP_NUMBER_AT : _GROUP_NUMBER_AT + 2], "little") != group:
        return None
    first, power, per_group = (struct.unpack_from("<I", block, place)[0] for place in (20, 24, 32))
    if power > 6 or 1024 << power != size or (first + group * per_group) * size != at:  # noqa: PLR2004 - 64 KiB
        return None
    length = _table_length(block)
    if not any(look.read(at + size, length)) or look.missed:
        return None
    redirects = Redirect(EXT_SUPERBLOCK, EXT_SIZE, at), Redirect((first + 1) * size, length, at + size)
    return Backup(at, group, redirects)


def _table_length(block: bytes) -> int:
    """Bytes of the group descriptors."""
    blocks, first, per_group = (struct.unpack_from("<I", block, place)[0] for place in (4, 20, 32))
    wide = struct.unpack_from("<I", block, 96)[0] & _EXT_64BIT
    size = max(32, struct.unpack_from("<H", block, 254)[0]) if wide else 32
    return int(-(-max(0, blocks - first) // max(1, per_group)) * size)
