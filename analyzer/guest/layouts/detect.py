"""What a volume is, by its first bytes: the one answer for every command that reads, checks or copies volumes."""

from dataclasses import dataclass

from analyzer.guest.layouts import exfat, ext, fat, ntfs
from analyzer.guest.layouts.ext import Compatible, Incompatible
from analyzer.guest.layouts.mbr import MARK
from analyzer.guest.layouts.partitions import Read
from analyzer.guest.layouts.signatures import VOLUMES

_FAT_MEDIA = {0xF0, *range(0xF8, 0x100)}
Front = ntfs.NtfsBoot | exfat.ExfatBoot | fat.FatBoot | ext.ExtSuperblock
"""What a file system that can be read begins with."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """The type of a volume (see VolumeRecord), what it begins with where that can be read, its label, and notes."""

    type: str
    front: Front | None = None
    label: str = ""
    notes: tuple[str, ...] = ()


def recognise(read: Read) -> Recognised:
    """What the first bytes of a volume, which `read` gives, say; type "unknown" where they say nothing."""
    sector = read(0, ntfs.SIZE)
    if boot := ntfs.parse_boot(sector):
        return Recognised("ntfs", boot)
    if (region := exfat.parse_boot(sector)) and region.cluster_size:
        return Recognised("exfat", region)
    named = next((sign.name for sign in VOLUMES if read(sign.at, len(sign.magic)) == sign.magic), None)
    if named:
        return Recognised(named)
    if superblock := superblock_of(read):
        return _recognise_ext(superblock)
    if table := _fat_boot(sector):
        return Recognised(table.kind, table, _fat_label(sector[table.label]))
    return Recognised("unknown")


def superblock_of(read: Read) -> ext.ExtSuperblock | None:
    """The superblock of a volume; None where it is none, or has blocks that cannot be."""
    superblock = ext.parse_superblock(read(ext.START, ext.SIZE))
    return superblock if superblock and superblock.block_size else None


def _recognise_ext(superblock: ext.ExtSuperblock) -> Recognised:
    older = "ext3" if superblock.compatible & Compatible.HAS_JOURNAL else "ext2"
    kind = "ext4" if superblock.incompatible & Incompatible.EXTENTS else older
    notes = []
    if superblock.incompatible & Incompatible.RECOVER:
        notes.append("its journal was not applied: what was written last may be missing, or half there")
    if superblock.incompatible & Incompatible.INLINE_DATA:
        notes.append("small files stand in their inodes (inline_data), which is not read")
    return Recognised(kind, superblock, _text(superblock.label), tuple(notes))


def _text(raw: bytes) -> str:
    """A label as it is in a fixed field."""
    return raw.split(b"\0")[0].decode("utf-8", "surrogateescape").rstrip(" ")


def _fat_boot(sector: bytes) -> fat.FatBoot | None:
    boot = fat.parse_fields(sector)
    is_fat = boot and sector.endswith(MARK) and boot.medium in _FAT_MEDIA and boot.has_sizes and boot.copies
    return boot if is_fat else None


def _fat_label(raw: bytes) -> str:
    label = raw.decode("cp437").rstrip(" \0")
    return "" if label == "NO NAME" else label
