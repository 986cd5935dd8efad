"""What a volume is, by its first bytes: the one answer for every command that reads, checks or copies volumes."""

from dataclasses import dataclass

from analyzer.guest.layouts import exfat, ext, fat, gpt, ntfs
from analyzer.guest.layouts.ext import Compatible, Incompatible
from analyzer.guest.layouts.partitions import MARK, MARK_AT, Read

SWAP_SIZE = 4096
_SWAP, _SWAP_AT = b"SWAPSPACE2", 4086
SWAP_UUID = slice(1036, 1052)
# Linux puts this in place of the signature while a hibernated system is in the swap space.
_SLEEPING = b"S1SUSPEND"
_VERSION_AT, _VERSION = slice(1024, 1028), b"\x01\0\0\0"
BTRFS, BTRFS_START, BTRFS_AT = b"_BHRfS_M", 1 << 16, 0x40
XFS = b"XFSB"
RAID = b"\xfc\x4e\x2b\xa9"


@dataclass(frozen=True, slots=True)
class Signature:
    """`magic` is at byte `at` of a volume of this kind."""

    at: int
    magic: bytes
    name: str


VOLUMES = (
    Signature(3, b"-FVE-FS-", "BitLocker"),
    Signature(3, b"ReFS\0\0\0\0", "ReFS"),
    Signature(536, b"LVM2 001", "LVM"),
    Signature(0, b"LUKS\xba\xbe", "LUKS"),
    Signature(_SWAP_AT, _SWAP, "Linux swap"),
    Signature(BTRFS_START + BTRFS_AT, BTRFS, "Btrfs"),
    Signature(0, XFS, "XFS"),
    Signature(32, b"NXSB", "APFS"),
    Signature(1024, b"H+\0\4", "HFS+"),
    Signature(1024, b"\x10\x20\xf5\xf2", "F2FS"),
    Signature(0, b"hsqs", "SquashFS"),
    Signature(4096, RAID, "Linux RAID"),
    Signature(0, RAID, "Linux RAID"),
)
"""Volumes that are known by name alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A structure of a volume: where its magic, the volume's identity and its age are, bytes from its own start."""

    name: str
    at: int
    magic: tuple[int, bytes]
    identity: slice
    age: tuple[int, str] | None = None
    """Offset and struct format of a number that only grows."""


MARKS = (
    Mark(name="NTFS boot sector", at=0, magic=(ntfs.SIGNATURE_AT, ntfs.SIGNATURE), identity=ntfs.SERIAL),
    Mark(name="exFAT boot sector", at=0, magic=(exfat.SIGNATURE_AT, exfat.SIGNATURE), identity=exfat.SERIAL),
    Mark(name="FAT32 boot sector", at=0, magic=(fat.FAT32_AT, fat.FAT32), identity=fat.FAT32_SERIAL),
    Mark(
        name="ext superblock",
        at=ext.START,
        magic=(ext.MAGIC_AT, ext.MAGIC),
        identity=ext.UUID,
        age=(ext.WRITTEN_AT, "<I"),
    ),
    Mark(name="XFS superblock", at=0, magic=(0, XFS), identity=slice(32, 48)),
    Mark(
        name="btrfs superblock", at=BTRFS_START, magic=(BTRFS_AT, BTRFS), identity=slice(0x20, 0x30), age=(0x48, "<Q")
    ),
)
"""Structures that name their volume, and the number by which an older one is told from a newer."""

_PIECES = (
    (gpt.SIGNATURE, "a GPT"),
    (ntfs.SIGNATURE, "an NTFS boot sector"),
    (exfat.SIGNATURE, "an exFAT boot sector"),
    (fat.FAT32, "a FAT32 boot sector"),
    (b"FILE0", "NTFS file records"),
    (b"INDX(", "an NTFS index"),
    (b"RCRD(", "an NTFS journal"),
    (b"vhdxfile", "another VHDX"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a Windows program"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF-", "a PDF document"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"SQLite format 3", "an SQLite database"),
)


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


def end_of(front: Front) -> int:
    """Bytes of the volume, by what it begins with."""
    return front.end if isinstance(front, ext.ExtSuperblock) else front.sectors * front.sector_size


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
    table = fat.parse_fields(sector)
    if table and sector.endswith(MARK) and table.medium in _FAT_MEDIA and table.has_sizes and table.copies:
        label = sector[table.label].decode("cp437").rstrip(" \0")
        return Recognised(table.kind, table, "" if label == "NO NAME" else label)
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
    label = superblock.label.split(b"\0")[0].decode("utf-8", "surrogateescape").rstrip(" ")
    return Recognised(kind, superblock, label, tuple(notes))


def begins_disk(front: bytes) -> bool:
    """Whether the first bytes of a disk, 68 KiB of them or more, are as those of disks with something on them are."""
    known = (
        *((each.at, each.magic) for each in VOLUMES),
        *((mark.at + mark.magic[0], mark.magic[1]) for mark in MARKS),
    )
    return front[MARK_AT] == MARK or any(front.startswith(magic, at) for at, magic in known)


def looks_like(data: bytes) -> str:
    """What some bytes seem to be a piece of; "" when nothing tells."""
    return next((name for mark, name in _PIECES if mark in data), "")


def is_asleep(page: bytes) -> bool:
    """Whether a sleeping system's memory is in the swap space."""
    return page.startswith(_SLEEPING, _SWAP_AT)


def is_swap(page: bytes) -> bool:
    """Whether the page begins swap space of the version that has a UUID."""
    return page.startswith(_SWAP, _SWAP_AT) and page[_VERSION_AT] == _VERSION
