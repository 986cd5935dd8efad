"""Copies that file systems keep of where they begin: where that is gone, a copy stands in for it.

ext has its superblock, and the group descriptors behind it, in several groups; NTFS its boot sector in the last sector
of the volume, and the first records of its $MFT in $MFTMirr; FAT32 and exFAT their boot sectors a few sectors on;
FAT its allocation table twice.
"""

from collections.abc import Iterator
from dataclasses import replace

from analyzer.guest.filesystems.volume_reader import Redirect, View
from analyzer.guest.layouts import exfat, ext, fat, ntfs
from analyzer.guest.layouts.detect import Recognised, recognise, superblock_of
from analyzer.guest.layouts.ext import Incompatible

_MIRRORED = 4  # $MFT, $MFTMirr, $LogFile, $Volume: what every $MFTMirr has
_SECTORS, _BOOT = (512, 4096), 512  # the sector is in what is lost: both that disks have are tried


def with_backups(view: View, found: Recognised) -> tuple[View, Recognised]:
    """A volume and what it is: where what it begins with is lost, by a copy of that, which the view shows there."""
    if found.type == "unknown" and (copy := _boot_copy(view)):
        note = f"its boot sector is lost: read by the copy at byte {copy.source} of the volume"
        view, found = _shown(view, (copy,), note)
    if isinstance(found.front, ntfs.NtfsBoot) and (copies := _mirrored(view, found.front)):
        note = "the beginning of its $MFT is lost: read by $MFTMirr"
        view, found = _shown(view, copies, note, found.notes)
    if isinstance(found.front, fat.FatBoot) and (second := _second_table(view, found.front)):
        view, found = _shown(view, (second,), "its first allocation table is lost: read by the second", found.notes)
    if found.type in {"unknown", "ext2", "ext3", "ext4"} and _needs_backup(view):
        backups = (_backup_at(view, at, size, group) for at, group, size in ext.likely_places(view.size))
        view, found = next(filter(None, backups), (view, found))
    return view, found


def _shown(
    view: View, redirects: tuple[Redirect, ...], note: str, earlier: tuple[str, ...] = ()
) -> tuple[View, Recognised]:
    """The view with copies in the place of what is lost, and what it is then."""
    view = View(view.disk, view.start, view.size, (*view.redirects, *redirects))
    found = recognise(view.read)
    return view, replace(found, notes=tuple(dict.fromkeys((*earlier, note, *found.notes))))


def _mirrored(view: View, boot: ntfs.NtfsBoot) -> tuple[Redirect, ...]:
    """The first records of $MFT that are lost, or none, and stand in $MFTMirr."""
    if not (boot.is_sane and boot.has_place_for_records):
        return ()
    size, found = boot.record_size, []
    for number in range(_MIRRORED):
        at, copy = (first * boot.cluster_size + number * size for first in (boot.mft, boot.mirror))
        if not _is_record(view, at, size, number) and _is_record(view, copy, size, number):
            found.append(Redirect(at, size, copy))
    return tuple(found)


def _second_table(view: View, boot: fat.FatBoot) -> Redirect | None:
    """The second allocation table of FAT in the place of the first, where that alone does not begin as one does."""
    length = boot.table * boot.sector_size
    first, second = (_begins_table(view, boot, boot.fat_start + number * length) for number in range(2))
    return Redirect(boot.fat_start, length, boot.fat_start + length) if second and not first else None


def _begins_table(view: View, boot: fat.FatBoot, at: int) -> bool:
    """Whether an allocation table begins here: with the kind of the medium, and bits that are set."""
    look = View(view.disk, view.start, view.size, view.redirects)
    return boot.copies > 1 and look.read(at, 3) == bytes([boot.medium, 0xFF, 0xFF]) and not look.missed


def _is_record(view: View, at: int, size: int, number: int) -> bool:
    look = View(view.disk, view.start, view.size, view.redirects)
    return ntfs.record_holds(look.read(at, size), number) and not look.missed


def _boot_copy(view: View) -> Redirect | None:
    """The copy of a boot sector, for a volume that begins with nothing that is known."""
    for at, mark_at, mark in boot_copies(view.size):
        look = View(view.disk, view.start, view.size)
        if at > 0 and look.read(at, _BOOT)[mark_at : mark_at + 8] == mark and not look.missed:
            return Redirect(0, _BOOT, at)
    return None


def boot_copies(size: int) -> Iterator[tuple[int, int, bytes]]:
    """(byte of the volume, where in it the mark is, the mark) of each."""
    for sector in _SECTORS:
        yield size // sector * sector - sector, ntfs.SIGNATURE_AT, ntfs.SIGNATURE
        yield 6 * sector, fat.FAT32_AT, fat.FAT32
        yield exfat.SECTORS * sector, exfat.SIGNATURE_AT, exfat.SIGNATURE


def _needs_backup(view: View) -> bool:
    """Whether the superblock or any of the group descriptors behind it is lost, or none of that stands there."""
    view = View(view.disk, view.start, view.size)
    superblock = superblock_of(view.read)
    if superblock is None or view.missed:
        return True
    table = view.read(superblock.descriptors_start, superblock.descriptors_length)
    return bool(view.missed) or not _leads_inside(superblock, table[: superblock.block_size])


def _leads_inside(superblock: ext.ExtSuperblock, table: bytes) -> bool:
    """Whether what stands where group descriptors begin can be some: a GPT of 4096-byte sectors begins there."""
    size = superblock.descriptor_size
    numbers = range(min(superblock.groups, len(table) // size) if size else 0)
    found = [ext.parse_descriptor(table[number * size : (number + 1) * size]) for number in numbers]
    return any(table) and all(one and 0 < one.inode_table < superblock.blocks for one in found)


def _backup_at(view: View, at: int, size: int, group: int) -> tuple[View, Recognised] | None:
    """The volume by a copy that can be read, names its own place, and has whole group descriptors behind it."""
    look = View(view.disk, view.start, view.size)
    found = ext.parse_superblock(look.read(at, ext.SIZE))
    if found is None or (found.group, found.block_size, found.copy_of(group)) != (group, size, at):
        return None
    redirects = [Redirect(ext.START, ext.SIZE, at)]
    if not found.incompatible & Incompatible.META_GROUPS:  # else descriptors are in the groups that they are about
        redirects.append(Redirect(found.descriptors_start, found.descriptors_length, at + size))
        if not any(look.read(at + size, found.descriptors_length)):
            return None
    note = f"its superblock, or what stands behind it, is lost: read by the backup in group {group}, byte {at}"
    return None if look.missed else _shown(view, tuple(redirects), note)
