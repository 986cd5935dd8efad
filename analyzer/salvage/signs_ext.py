"""Signs of ext: superblocks, which name their group, and bitmaps and inode tables, by the checksums of their groups.

Layouts: kernel documentation, "ext4 Data Structures and Algorithms". Checksums are CRC-32C, seeded with the volume's
UUID, not inverted at the end.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import google_crc32c

from analyzer.salvage.signs import Sign, volumes_of
from analyzer.salvage.volumes import read_known
from vhdx.disk import Disk

_AT, _SIZE, _MAGIC = 1024, 1024, b"\x53\xef"
_LARGEST_POWER, _MOST_GROUPS = 6, 4096
_METADATA_CSUM, _SEED_IS_STORED, _WIDE = 0x400, 0x2000, 0x80
_INODES_UNUSED, _BITMAP_UNUSED = 1, 2
_WITH_HIGH, _OLD_INODE, _EXTRA_WITH_HIGH = 64, 128, 4
"""Bytes of a descriptor, and of an inode, from which on they have the upper halves of their checksums."""
_INVERTED = 0xFFFFFFFF
_LIKELY_GROUP = 32768 * 4096
"""Bytes of a group as mkfs makes them on all but small disks: where a backup is looked for with no superblock left."""


@dataclass(frozen=True, slots=True)
class Ext:
    """What a superblock says; bytes where nothing else is said."""

    start: int
    block: int
    blocks: int
    first: int
    blocks_per_group: int
    inodes_per_group: int
    inode: int
    descriptor: int
    seed: int
    has_checksums: bool
    uuid: bytes

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return -(-(self.blocks - self.first) // self.blocks_per_group)

    def at(self, block: int) -> int:
        """The byte of the disk at which a block of the volume begins."""
        return self.start + block * self.block

    def group_at(self, group: int) -> int:
        """The byte of the disk at which a group begins."""
        return self.at(self.first + group * self.blocks_per_group)


def parse_ext(raw: bytes, start: int) -> Ext | None:
    """The volume that a superblock describes, which begins at byte `start` of the disk; None when it is none."""
    if len(raw) < _SIZE or raw[56:58] != _MAGIC:
        return None
    blocks, first, power = (struct.unpack_from("<I", raw, at)[0] for at in (4, 20, 24))
    per_group, inodes = (struct.unpack_from("<I", raw, at)[0] for at in (32, 40))
    incompatible, read_only = struct.unpack_from("<I", raw, 96)[0], struct.unpack_from("<I", raw, 100)[0]
    inode, wide = struct.unpack_from("<H", raw, 88)[0], struct.unpack_from("<H", raw, 254)[0]
    sane = power <= _LARGEST_POWER and per_group and inodes and blocks > first and inode in {128, 256, 512, 1024}
    if not sane or not (read_only & _METADATA_CSUM == 0 or _checksum(0, raw[:1020]) == raw[1020:1024]):
        return None
    stored = struct.unpack_from("<I", raw, 0x270)[0] ^ _INVERTED
    seed = stored if incompatible & _SEED_IS_STORED else google_crc32c.extend(0, raw[104:120])
    size = wide if incompatible & _WIDE and wide in {64, 128, 256, 512, 1024} else 32
    return Ext(
        start, 1024 << power, blocks, first, per_group, inodes, inode, size, seed,
        bool(read_only & _METADATA_CSUM), raw[104:120],
    )  # fmt: skip


def _checksum(seed: int, data: bytes) -> bytes:
    """As ext stores it, four bytes."""
    value: int = google_crc32c.extend(seed, data) ^ _INVERTED
    return value.to_bytes(4, "little")


def superblock_signs(disk: Disk) -> Iterator[Sign]:
    """The superblock at the front of each volume, and its backups: the first of what is left tells the others."""
    for start, end in volumes_of(disk):
        known = _find(disk, start, end)
        what = f"the superblock of the ext volume at byte {start}"
        yield Sign(what, start + _AT, _SIZE, partial(_is_copy, known, start, end, 0))
        if known:
            for group in _with_backup(known.groups):
                what = f"the backup superblock of group {group} of the ext volume at byte {start}"
                yield Sign(what, known.group_at(group), _SIZE, partial(_is_copy, known, start, end, group))
        elif start + _LIKELY_GROUP + _SIZE <= end:
            what = f"the backup superblock of group 1 of an ext volume at byte {start}"
            yield Sign(what, start + _LIKELY_GROUP, _SIZE, partial(_is_copy, None, start, end, 1))


def _is_copy(known: Ext | None, start: int, end: int, group: int, raw: bytes) -> bool:
    """Whether a superblock is this volume's, as it stands in this group."""
    found = parse_ext(raw, start)
    if found is None or int.from_bytes(raw[90:92], "little") != group:
        return False
    if known:
        return found.uuid == known.uuid
    room = end - start - found.blocks * found.block
    return 0 <= room < found.blocks_per_group * found.block


def _find(disk: Disk, start: int, end: int) -> Ext | None:
    """The volume by its superblock, or by a backup that stands where most have one."""
    for at in (_AT, *(group * _LIKELY_GROUP for group in _with_backup(64))):
        found = parse_ext(read_known(disk, start + at, _SIZE), start) if start + at + _SIZE <= end else None
        if found:
            return found
    return None


def _with_backup(groups: int) -> list[int]:
    powers = {base**power for base in (3, 5, 7) for power in range(1, 12)}
    return sorted(group for group in powers | {1} if group < min(groups, _MOST_GROUPS))


def group_signs(disk: Disk) -> Iterator[Sign]:
    """What the group descriptors of each volume tell the place and the checksum of."""
    for start, end in volumes_of(disk):
        ext = _find(disk, start, end)
        if ext and ext.has_checksums:
            for group, raw in enumerate(_descriptors(disk, ext)):
                yield from _signs_of_group(ext, group, raw)


def _descriptors(disk: Disk, ext: Ext) -> list[bytes]:
    """The group descriptors: behind the superblock, or behind a backup of it."""
    size = ext.descriptor * min(ext.groups, _MOST_GROUPS)
    for group in (0, *_with_backup(ext.groups)):
        table = read_known(disk, ext.group_at(group) + ext.block, size)
        if any(table):
            return [table[at : at + ext.descriptor] for at in range(0, size, ext.descriptor)]
    return []


def _signs_of_group(ext: Ext, group: int, raw: bytes) -> Iterator[Sign]:
    block_bitmap, inode_bitmap, inodes = struct.unpack_from("<III", raw)
    flags = struct.unpack_from("<H", raw, 18)[0]
    of = f"of group {group} of the ext volume at byte {ext.start}"
    if not flags & _BITMAP_UNUSED:
        fits = partial(_sums_to, ext.seed, _sum_in(raw, 24, 56))
        yield Sign(f"the block bitmap {of}", ext.at(block_bitmap), ext.blocks_per_group // 8, fits)
    if flags & _INODES_UNUSED:
        return
    fits = partial(_sums_to, ext.seed, _sum_in(raw, 26, 58))
    yield Sign(f"the inode bitmap {of}", ext.at(inode_bitmap), ext.inodes_per_group // 8, fits)
    per_block = ext.block // ext.inode
    for number in range(0, ext.inodes_per_group // per_block, max(1, (1 << 20) // ext.block // 4)):
        first = group * ext.inodes_per_group + number * per_block + 1
        fits = partial(_are_inodes, ext, first)
        yield Sign(f"the inodes from {first} on {of}", ext.at(inodes + number), ext.block, fits)


def _sum_in(raw: bytes, low: int, high: int) -> bytes:
    return raw[low : low + 2] + (raw[high : high + 2] if len(raw) >= _WITH_HIGH else b"")


def _sums_to(seed: int, wanted: bytes, raw: bytes) -> bool:
    return _checksum(seed, raw)[: len(wanted)] == wanted


def _are_inodes(ext: Ext, first: int, raw: bytes) -> bool:
    """Whether any inode in a block is in use and has the checksum that it has with these numbers."""
    return any(
        _is_inode(ext, first + at // ext.inode, raw[at : at + ext.inode]) for at in range(0, len(raw), ext.inode)
    )


def _is_inode(ext: Ext, number: int, raw: bytes) -> bool:
    if not any(raw):
        return False
    has_high = ext.inode > _OLD_INODE and int.from_bytes(raw[128:130], "little") >= _EXTRA_WITH_HIGH
    blank = raw[:124] + bytes(2) + raw[126:]
    wanted = raw[124:126]
    if has_high:
        blank, wanted = blank[:130] + bytes(2) + blank[132:], wanted + raw[130:132]
    seed = google_crc32c.extend(google_crc32c.extend(ext.seed, number.to_bytes(4, "little")), raw[100:104])
    return _sums_to(seed, wanted, blank)
