"""Copies that file systems keep of where they begin: where that is gone, a copy stands in for it.

ext has its superblock, and the group descriptors behind it, in several groups; NTFS its boot sector in the last sector
of the volume, FAT32 and exFAT theirs a few sectors on.
"""

from dataclasses import dataclass, replace

from analyzer.guest.filesystems.volume_reader import Redirect, View
from analyzer.guest.layouts import exfat, ext, fat, ntfs
from analyzer.guest.layouts.detect import Recognised, recognise, superblock_of
from analyzer.guest.layouts.ext import Incompatible

_SECTORS, _BOOT = (512, 4096), 512


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the superblock that is whole: its place in the volume, and its group."""

    start: int
    group: int
    redirects: tuple[Redirect, ...]


def with_backups(view: View, found: Recognised) -> tuple[View, Recognised]:
    """A volume and what it is: where what it begins with is lost, by a copy of that, which the view shows there."""
    if found.type == "unknown":
        view, found = _with_boot_copy(view, found)
    if found.type in {"unknown", "ext2", "ext3", "ext4"} and needs_backup(view):
        view, found = _with_backup(view, found)
    return view, found


def _with_boot_copy(view: View, found: Recognised) -> tuple[View, Recognised]:
    """The view with the copy of a boot sector in its place; as they were where there is no copy."""
    copy = find_boot_copy(view)
    if copy is None:
        return view, found
    view = View(view.disk, view.start, view.size, (copy,))
    found = recognise(view.read)
    note = f"its boot sector is lost: read by the copy at byte {copy.source} of the volume"
    return view, replace(found, notes=(note, *found.notes))


def _with_backup(view: View, found: Recognised) -> tuple[View, Recognised]:
    """The view with ext's backup superblock in the place of the first; as they were where there is no backup."""
    backup = find_backup(view)
    if backup is None:
        return view, found
    view = View(view.disk, view.start, view.size, backup.redirects)
    told = recognise(view.read)
    note = f"its superblock is lost: read by the backup in group {backup.group}, byte {backup.start} of the volume"
    return view, replace(told, notes=(note, *told.notes))


def find_boot_copy(view: View) -> Redirect | None:
    """The copy of a boot sector, for a volume that begins with nothing that is known."""
    for sector in _SECTORS:
        for at, mark_at, mark in _boot_copies(view.size, sector):
            look = View(view.disk, view.start, view.size)
            if at > 0 and look.read(at, _BOOT)[mark_at : mark_at + 8] == mark and not look.missed:
                return Redirect(0, _BOOT, at)
    return None


def _boot_copies(size: int, sector: int) -> tuple[tuple[int, int, bytes], ...]:
    """(byte of the volume, where in it the mark is, the mark) of each."""
    last = size // sector * sector - sector
    return (
        (last, ntfs.SIGNATURE_AT, ntfs.SIGNATURE),
        (6 * sector, fat.FAT32_AT, fat.FAT32),
        (exfat.SECTORS * sector, exfat.SIGNATURE_AT, exfat.SIGNATURE),
    )


def needs_backup(view: View) -> bool:
    """Whether the superblock or any of the group descriptors behind it is lost, or is none."""
    view = View(view.disk, view.start, view.size)
    superblock = superblock_of(view.read)
    if superblock is None or view.missed:
        return True
    table = view.read(superblock.descriptors_start, superblock.descriptors_length)
    return bool(view.missed) or not any(table)


def find_backup(view: View) -> Backup | None:
    """The first copy that can be read, tells its own place, and has whole group descriptors behind it."""
    found = (_backup_at(view, at, size, group) for at, group, size in ext.likely_places(view.size))
    return next(filter(None, found), None)


def _backup_at(view: View, at: int, size: int, group: int) -> Backup | None:
    look = View(view.disk, view.start, view.size)
    found = ext.parse_superblock(look.read(at, ext.SIZE))
    if found is None or (found.group, found.block_size, found.copy_of(group)) != (group, size, at):
        return None
    front = Redirect(ext.START, ext.SIZE, at)
    if found.incompatible & Incompatible.META_GROUPS:  # descriptors are in the groups that they are about
        return None if look.missed else Backup(at, group, (front,))
    length = found.descriptors_length
    if not any(look.read(at + size, length)) or look.missed:
        return None
    return Backup(at, group, (front, Redirect(found.descriptors_start, length, at + size)))
