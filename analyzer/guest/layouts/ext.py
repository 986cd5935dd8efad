"""The superblock of an ext2, ext3 or ext4 volume, at byte 1024, and of its copies in some block groups.

Behind it are the group descriptors, which say where bitmaps and inodes are; and the checksums of ext.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntFlag

import google_crc32c

START, SIZE = 1024, 1024
MAGIC = b"\x53\xef"
MAGIC_AT = 56
UUID = slice(104, 120)
WRITTEN_AT = 48
STEADY = (slice(56, 58), slice(24, 28), slice(32, 36), slice(40, 44), slice(88, 90), UUID)
"""What every copy has alike: magic, sizes of block, group, inode table and inode, the UUID."""
_FIELDS = struct.Struct("<II12xIIII4xI4xI24xI8xHHIII16s16s88xI26xH4xI72xI248x2I28xI12xI")


class Compatible(IntFlag):
    """Features that may be unknown to who writes."""

    HAS_JOURNAL = 0x4
    SPARSE_SUPER2 = 0x200
    STABLE_INODES = 0x800
    """The UUID is part of encryption keys."""


class Incompatible(IntFlag):
    """Features that who reads must know."""

    RECOVER = 0x4
    """The journal has to be replayed first."""
    JOURNAL_DEVICE = 0x8
    META_GROUPS = 0x10
    EXTENTS = 0x40
    LARGE = 0x80
    """Blocks are counted with 64 bits."""
    CHECKSUM_SEED = 0x2000
    """Checksums begin with a number in the superblock in place of the UUID."""
    INLINE_DATA = 0x8000
    """Small files are in their inodes."""
    ENCRYPT = 0x10000


class ReadOnly(IntFlag):
    """Features that who writes must know."""

    SPARSE_SUPER = 0x1
    GROUP_CHECKSUM = 0x10
    BIGALLOC = 0x200
    """Bitmaps count in clusters of several blocks."""
    METADATA_CHECKSUM = 0x400


KNOWN_INCOMPATIBLE = 0x3F7DF
"""Every incompatible feature that e2fsprogs 1.47 knows: what another would do with the UUID nobody can tell."""
STATE, REVISION, ORPHANS = slice(0x3A, 0x3C), slice(0x4C, 0x50), slice(0x280, 0x284)
"""Whether the volume is clean; 0 where copies do not say their group; the inode of the orphan file, without a name."""
CLEAN = b"\x01\0"
INCOMPATIBLE, SEED, CHECKSUM = slice(0x60, 0x64), slice(0x270, 0x274), slice(0x3FC, 0x400)
# Sizes before the fields that name them existed (revision 0, and without the feature 64bit).
_PLAIN_DESCRIPTOR, _PLAIN_INODE = 32, 128
_INODE_SIZES, _DESCRIPTOR_SIZES = frozenset({128, 256, 512, 1024}), frozenset({32, 64, 128, 256, 512, 1024})
# 1024 << 6: blocks of 64 KiB, the largest that ext4 has.
_LARGEST_POWER = 6
MOST_GROUPS = 1 << 17
"""Groups that are believed: 16 TiB in blocks of 4 KiB."""
SPARSE_GROUPS = tuple(sorted({1, *(base**power for base in (3, 5, 7) for power in range(1, 22))}))
"""Groups with a copy where not all have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtSuperblock:
    """What a superblock says. `block_size` in bytes, 0 when it cannot be; counts in blocks; `written` in Unix time."""

    inodes: int
    blocks: int
    first_block: int
    block_size: int
    blocks_per_group: int
    inodes_per_group: int
    written: int
    inode_size: int
    """Bytes of an inode."""
    group: int
    """The group that this copy was written for."""
    compatible: int
    incompatible: int
    read_only: int
    uuid: bytes
    label: bytes
    journal_inode: int
    descriptor_size: int
    """Bytes of a group descriptor."""
    backup_groups: tuple[int, int]
    """The two groups with a copy, where the volume has no more (SPARSE_SUPER2); 0 for none."""
    seed: int
    """What checksums of everything else begin with."""
    cluster_size: int
    """Bytes that a bit of a block bitmap stands for."""
    orphan_file: int
    """The inode of the file system's own list of deleted files that were open; 0 for none."""
    first_meta_group: int
    """Blocks of group descriptors that are behind the superblock, where META_GROUPS puts the others elsewhere."""

    @property
    def is_sane(self) -> bool:
        """Blocks, groups, their descriptors and inodes have sizes that can be."""
        counts = self.block_size and self.blocks_per_group and self.inodes_per_group and self.blocks > self.first_block
        return bool(counts) and self.inode_size in _INODE_SIZES and self.descriptor_size in _DESCRIPTOR_SIZES

    @property
    def has_checksums(self) -> bool:
        """Whether inodes, blocks of folders and trees of extents have a checksum."""
        return bool(self.read_only & ReadOnly.METADATA_CHECKSUM)

    @property
    def end(self) -> int:
        """Bytes of the volume."""
        return self.blocks * self.block_size

    @property
    def groups(self) -> int:
        """How many block groups."""
        return -(-max(0, self.blocks - self.first_block) // self.blocks_per_group) if self.blocks_per_group else 0

    def takes_all(self, room: int) -> bool:
        """Whether the volume fills `room` bytes, but for less than one group."""
        return 0 <= room - self.end < self.blocks_per_group * self.block_size

    @property
    def descriptors_start(self) -> int:
        """The byte of the volume at which the group descriptors begin: the block after the superblock's."""
        # Not after `first_block`: with clusters of blocks (BIGALLOC) that is 0 for blocks of 1 KiB, too.
        return (START // self.block_size + 1) * self.block_size

    @property
    def descriptors_length(self) -> int:
        """Bytes of all group descriptors."""
        return self.groups * self.descriptor_size

    def descriptor_blocks(self) -> Iterator[int]:
        """Bytes of the volume at which blocks of descriptors are: with META_GROUPS in the groups that they describe."""
        copies = {0, *(group for group, _ in self.copies())}
        is_meta, per_block = (
            self.incompatible & Incompatible.META_GROUPS,
            self.block_size // (self.descriptor_size or 1),
        )
        for index in range(-(-self.descriptors_length // self.block_size)):
            if is_meta and index >= self.first_meta_group:
                group = index * per_block
                yield self.copy_of(group) + (group in copies) * self.block_size
            else:
                yield self.descriptors_start + index * self.block_size

    def copies(self) -> Iterator[tuple[int, int]]:
        """(group, byte of the volume) at which copies of the superblock may be, up to the volume's end."""
        if not self.block_size or not self.blocks_per_group:
            return
        for group in self._groups_with_copy():
            at = self.copy_of(group)
            if at + SIZE > self.end:
                return
            yield group, at

    def _groups_with_copy(self) -> Iterable[int]:
        if self.compatible & Compatible.SPARSE_SUPER2:
            return sorted(group for group in self.backup_groups if group)
        return SPARSE_GROUPS if self.read_only & ReadOnly.SPARSE_SUPER else range(1, min(self.groups, MOST_GROUPS))

    def copy_of(self, group: int) -> int:
        """The byte of the volume at which the copy of a group is."""
        return (self.first_block + group * self.blocks_per_group) * self.block_size


def parse_superblock(block: bytes) -> ExtSuperblock | None:
    """What 1024 bytes say; None where they are no superblock."""
    if len(block) < SIZE or not block.startswith(MAGIC, MAGIC_AT):
        return None
    (
        inodes, blocks, first, power, cluster, per_group, inodes_per_group, written, revision, inode, group, compatible,
        incompatible, read_only, uuid, label, journal, descriptor, meta, blocks_high, one, other, seed, orphans,
    ) = _FIELDS.unpack_from(block)  # fmt: skip
    is_large, is_seeded = incompatible & Incompatible.LARGE, incompatible & Incompatible.CHECKSUM_SEED
    block_size = SIZE << power if power <= _LARGEST_POWER else 0
    return ExtSuperblock(
        inodes=inodes, blocks=blocks | blocks_high << 32 if is_large else blocks, first_block=first,
        block_size=block_size, blocks_per_group=per_group,
        inodes_per_group=inodes_per_group, written=written, inode_size=inode if revision else _PLAIN_INODE, group=group,
        compatible=compatible, incompatible=incompatible, read_only=read_only, uuid=uuid, label=label,
        journal_inode=journal, descriptor_size=descriptor if is_large else _PLAIN_DESCRIPTOR,
        backup_groups=(one, other), orphan_file=orphans, seed=seed if is_seeded else crc32c(uuid),
        cluster_size=SIZE << min(cluster, 20) if read_only & ReadOnly.BIGALLOC else block_size, first_meta_group=meta,
    )  # fmt: skip


def holds(block: bytes) -> bool:
    """Whether a superblock's checksum is right; every one without a checksum holds."""
    superblock = parse_superblock(block)
    summed = superblock is not None and superblock.read_only & ReadOnly.METADATA_CHECKSUM
    return not summed or sums_to(block[CHECKSUM], block[: CHECKSUM.start])


def parse_sound_superblock(block: bytes) -> ExtSuperblock | None:
    """The superblock, when its sizes can be and its checksum holds."""
    superblock = parse_superblock(block)
    return superblock if superblock and superblock.is_sane and holds(block) else None


def likely_places(size: int) -> Iterator[tuple[int, int, int]]:
    """(byte, group, block size) at which superblocks are as mkfs puts them, on a volume of `size` bytes.

    Its groups have as many blocks as their bitmap, one block long, has bits.
    """
    for block_size in (4096, 1024, 2048):
        first = int(block_size == SIZE)  # only then block 0 is the boot block alone
        for group in SPARSE_GROUPS:
            at = (first + group * 8 * block_size) * block_size
            if at + SIZE <= size:
                yield at, group, block_size


_ALL = 0xFFFFFFFF


def crc32c(data: bytes, before: int = _ALL) -> int:
    """CRC-32C of `data`, behind what has the checksum `before`."""
    return int(google_crc32c.extend(before ^ _ALL, data)) ^ _ALL


def sums_to(wanted: bytes, data: bytes, before: int = _ALL) -> bool:
    """Whether the CRC-32C of `data` is the one stored, of which `wanted` may be the lower half alone."""
    return crc32c(data, before).to_bytes(4, "little")[: len(wanted)] == wanted


_LOW, _HIGH = struct.Struct("<IIIHH2xH4x2s2sH2x"), struct.Struct("<IIIHH2xH4x2s2s4x")


class GroupFlag(IntFlag):
    """What of a group was never written."""

    INODES_UNUSED = 1
    BLOCK_BITMAP_UNUSED = 2


@dataclass(frozen=True, slots=True)
class ExtGroup:
    """What a descriptor says: places in blocks of the volume, checksums of two bytes, or four where it is wide."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    flags: int
    block_bitmap_checksum: bytes
    inode_bitmap_checksum: bytes
    free_clusters: int
    free_inodes: int
    unused_inodes: int
    """Inodes at the end of the table that were never used."""


def parse_descriptor(raw: bytes) -> ExtGroup | None:
    """What one descriptor says; None where it is cut off."""
    if len(raw) < _LOW.size:
        return None
    *counts, flags, block_sum, inode_sum, unused = _LOW.unpack_from(raw)
    if len(raw) >= _LOW.size + _HIGH.size:
        *highs, unused_high, block_high, inode_high = _HIGH.unpack_from(raw, _LOW.size)
        widths = (32, 32, 32, 16, 16)
        counts = [low | high << width for low, high, width in zip(counts, highs, widths, strict=True)]
        block_sum, inode_sum, unused = block_sum + block_high, inode_sum + inode_high, unused | unused_high << 16
    blocks, inodes, table, free, free_inodes = counts
    return ExtGroup(blocks, inodes, table, flags, block_sum, inode_sum, free, free_inodes, unused)
