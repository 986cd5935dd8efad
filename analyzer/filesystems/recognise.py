"""What a volume is, by its first bytes: type, label, and what is worth knowing before it is read."""

import struct
from dataclasses import dataclass

from analyzer.filesystems.view import View
from analyzer.volumes.signatures import VOLUMES

EXT_SUPERBLOCK, EXT_SIZE, EXT_MAGIC = 1024, 1024, b"\x53\xef"
_EXT_JOURNAL, _EXT_RECOVER, _EXT_INLINE, _EXT_EXTENTS = 0x4, 0x4, 0x8000, 0x40
_NTFS_LABEL_RECORD = 3
_FAT_MEDIA = {0xF0, *range(0xF8, 0x100)}
_FAT12_CLUSTERS, _FAT16_CLUSTERS = 4085, 65525
READABLE = {"ntfs", "fat12", "fat16", "fat32", "exfat", "ext2", "ext3", "ext4"}


@dataclass(frozen=True, slots=True)
class Recognised:
    """The type of a volume (see VolumeRecord), its label, and notes."""

    type: str
    label: str = ""
    notes: tuple[str, ...] = ()


def recognise(view: View) -> Recognised:
    """What the first bytes say; type "unknown" where they say nothing."""
    boot = view.read(0, 512)
    if boot[3:11] == b"NTFS    ":
        return Recognised("ntfs")
    if boot[3:11] == b"EXFAT   ":
        return Recognised("exfat")
    named = next((sign.name for sign in VOLUMES if view.read(sign.at, len(sign.magic)) == sign.magic), None)
    if named:
        return Recognised(named)
    block = view.read(EXT_SUPERBLOCK, EXT_SIZE)
    if block[56:58] == EXT_MAGIC:
        return recognise_ext(block)
    fat = _fat_type(boot)
    return Recognised(fat, _fat_label(boot, fat)) if fat else Recognised("unknown")


def recognise_ext(block: bytes) -> Recognised:
    """What an ext superblock says."""
    compatible, incompatible, _ = struct.unpack_from("<III", block, 92)
    older = "ext3" if compatible & _EXT_JOURNAL else "ext2"
    kind = "ext4" if incompatible & _EXT_EXTENTS else older
    notes = []
    if incompatible & _EXT_RECOVER:
        notes.append("its journal was not applied: what was written last may be missing, or half there")
    if incompatible & _EXT_INLINE:
        notes.append("small files stand in their inodes (inline_data), which is not read")
    return Recognised(kind, text(block[120:136]), tuple(notes))


def text(raw: bytes) -> str:
    """A label as it stands in a fixed field."""
    return raw.split(b"\0")[0].decode("utf-8", "surrogateescape").rstrip(" ")


def _fat_type(boot: bytes) -> str:
    """fat12, fat16 or fat32 by the number of clusters, as the format defines it; "" where this is no FAT."""
    if boot[510:512] != b"\x55\xaa" or boot[21] not in _FAT_MEDIA:
        return ""
    sector, cluster, reserved, fats, roots, small = struct.unpack_from("<HBHBHH", boot, 11)
    short, large = struct.unpack_from("<H", boot, 22)[0], struct.unpack_from("<I", boot, 36)[0]
    total = small or struct.unpack_from("<I", boot, 32)[0]
    if sector not in {512, 1024, 2048, 4096} or not cluster or cluster & (cluster - 1) or not reserved or not fats:
        return ""
    front = reserved + fats * (short or large) + -(-roots * 32 // sector)
    if not short:
        return "fat32"
    count = (total - front) // cluster
    return "fat12" if count < _FAT12_CLUSTERS else "fat16" if count < _FAT16_CLUSTERS else "fat32"


def _fat_label(boot: bytes, kind: str) -> str:
    at = 71 if kind == "fat32" else 43
    label = boot[at : at + 11].decode("cp437").rstrip(" \0")
    return "" if label == "NO NAME" else label
