"""What an ext2, ext3 or ext4 volume has in use: block bitmaps, structures, and where files are.

Bitmaps are believed where their count of free blocks is that of the group's descriptor; groups whose bitmap was never
written (BLOCK_UNINIT) hold nothing but structures. Kernel documentation, "ext4 Data Structures and Algorithms".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from analyzer.guest.layouts import ext
from analyzer.guest.layouts.ext import ExtGroup, ExtSuperblock, GroupFlag, ReadOnly, parse_descriptor
from analyzer.guest.layouts.ext_inodes import ExtInode, InodeFlag, inodes_in_use
from analyzer.guest.usage.model import Known, Usage, set_bits, usage_by
from vhdx.ranges import Range, Ranges

MOST_GROUPS = 1 << 15
"""Groups whose bitmaps are read: 4 TiB in blocks of 4 KiB."""
MOST_INODES = 1 << 20
"""A million files are looked at: evidence enough, in bounded time."""
_FIRST_FILE, _ROOT = 11, 2  # inodes below 11 are reserved; 8, the journal, says nothing by its zeros
_COUNTS_UNUSED = ReadOnly.GROUP_CHECKSUM | ReadOnly.METADATA_CHECKSUM


@dataclass(frozen=True)
class ExtUsage:
    """Reads what the volume has in use; it has a superblock, or a view that shows a backup of it in its place."""

    known: Known
    superblock: ExtSuperblock

    def usage(self) -> Usage:
        """What maps, structures and files say; the extent alone where the superblock cannot be."""
        extent = Range(0, min(self.superblock.end, self.known.size))
        if not self.superblock.is_sane or self.superblock.groups > ext.MOST_GROUPS:
            return Usage(extent=extent)
        return usage_by(extent, [(Range(0, 0), self._structures()), *self._maps()], self._filled(), self._files)

    @cached_property
    def groups(self) -> list[ExtGroup]:
        """Descriptors, block by block; zeros where they cannot be read."""
        block, size = self.superblock.block_size, self.superblock.descriptor_size
        table = b"".join(self.known.read(at, block) or bytes(block) for at in self.superblock.descriptor_blocks())
        rows = (table[group * size : (group + 1) * size] for group in range(self.superblock.groups))
        return [found for row in rows if (found := parse_descriptor(row))]

    def flags_of(self, group: ExtGroup) -> int:
        """Flags of a group, which only a volume with checksums of groups keeps."""
        return group.flags if self.superblock.read_only & _COUNTS_UNUSED else 0

    def bounds(self, group: int) -> Range:
        """Bytes of the volume that a group has."""
        start = self.superblock.copy_of(group)
        return Range.between(start, min(self.superblock.copy_of(group + 1), self.superblock.end))

    def _maps(self) -> Iterator[tuple[Range, Ranges]]:
        """What each group's bitmap says, and what of it is in use."""
        block, cluster = self.superblock.block_size, self.superblock.cluster_size
        for number, group in enumerate(self.groups[:MOST_GROUPS]):
            bounds = self.bounds(number)
            if not group.block_bitmap:
                continue
            if self.flags_of(group) & GroupFlag.BLOCK_BITMAP_UNUSED:
                yield bounds, Ranges.of(())
                continue
            raw, count = self.known.read(group.block_bitmap * block, block), -(-bounds.length // cluster)
            used = set_bits(raw, 0, cluster, bounds.start, count) if raw else None
            if used is not None and count - used.size // cluster == group.free_clusters:
                yield bounds, used.within(bounds)

    def _structures(self) -> Ranges:
        """Bitmaps, inode tables and copies of the superblock with the descriptors behind them."""
        superblock, block = self.superblock, self.superblock.block_size
        table, front = superblock.inodes_per_group * superblock.inode_size, superblock.descriptors_length + block
        found = [(0, superblock.descriptors_start + superblock.descriptors_length)]
        found += [(at, front) for _, at in superblock.copies()]
        for group in self.groups:
            found += (group.block_bitmap * block, block), (group.inode_bitmap * block, block)
            found.append((group.inode_table * block, table))
        return Ranges.of(Range(start, length) for start, length in found if 0 <= start < superblock.end)

    def _filled(self) -> Iterator[tuple[int, int, int]]:
        """Superblocks, descriptors, and bitmaps and inode tables that have something in them."""
        superblock, block = self.superblock, self.superblock.block_size
        yield ext.START, ext.SIZE, 0
        yield from ((at, ext.SIZE, 0) for _, at in superblock.copies())
        yield from ((at, block, 0) for at in superblock.descriptor_blocks())
        for number, group in enumerate(self.groups[:MOST_GROUPS]):
            flags, length = self.flags_of(group), self.bounds(number).length
            if not group.block_bitmap:
                continue
            if not flags & GroupFlag.BLOCK_BITMAP_UNUSED and group.free_clusters * superblock.cluster_size < length:
                yield group.block_bitmap * block, block, number
            if not flags & GroupFlag.INODES_UNUSED and group.free_inodes < superblock.inodes_per_group:
                yield group.inode_bitmap * block, block, number
                yield group.inode_table * block, self.inodes_used(group) * superblock.inode_size, number

    def inodes_used(self, group: ExtGroup) -> int:
        """How many inodes of a group's table were ever used, from its first on."""
        unused = group.unused_inodes if self.superblock.read_only & _COUNTS_UNUSED else 0
        return max(0, self.superblock.inodes_per_group - unused)

    def _files(self) -> Iterator[tuple[bool, int, int, int]]:
        """Every regular file and folder in use, up to a bound; what folders have, and trees, is never all zeros."""
        block = self.superblock.block_size
        for number, inode in self._inodes():
            is_known = number >= _FIRST_FILE or number == _ROOT
            if is_known and (inode.is_directory_in_use or inode.is_regular) and not inode.flags & InodeFlag.INLINE:
                nodes: list[int] = []
                for start, length in inode.written(block, self.known.read, nodes):
                    yield inode.is_directory_in_use, start, length, number
                yield from ((True, at, block, 0) for at in nodes)

    def _inodes(self) -> Iterator[tuple[int, ExtInode]]:
        """The inodes in use of all groups, by number, up to a bound."""
        superblock, left = self.superblock, MOST_INODES
        for number, group in enumerate(self.groups[:MOST_GROUPS]):
            count = min(self.inodes_used(group), left)
            if self.flags_of(group) & GroupFlag.INODES_UNUSED or not group.inode_table or count <= 0:
                continue
            left -= count
            start, size = group.inode_table * superblock.block_size, superblock.inode_size
            for at, raw in self.known.pieces(start, count * size):
                first = number * superblock.inodes_per_group + at // size + 1
                yield from ((first + index, inode) for index, inode in inodes_in_use(raw or b"", size))
