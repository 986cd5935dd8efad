"""A volume, or a piece of one, known by a few bytes: for naming what is found, never for reading it."""

from dataclasses import dataclass

from analyzer.guest.layouts import exfat, ext, fat, gpt, mbr, ntfs, swap

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
    Signature(swap.SIGNATURE_AT, swap.SIGNATURE, "Linux swap"),
    Signature(BTRFS_START + BTRFS_AT, BTRFS, "Btrfs"),
    Signature(0, XFS, "XFS"),
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


def begins_disk(front: bytes) -> bool:
    """Whether the first bytes of a disk, 68 KiB of them or more, are as those of disks with something on them are."""
    known = (
        *((each.at, each.magic) for each in VOLUMES),
        *((mark.at + mark.magic[0], mark.magic[1]) for mark in MARKS),
    )
    return front[mbr.MARK_AT] == mbr.MARK or any(front.startswith(magic, at) for at, magic in known)


def looks_like(data: bytes) -> str:
    """What some bytes seem to be a piece of; "" when nothing tells."""
    return next((name for mark, name in _PIECES if mark in data), "")
