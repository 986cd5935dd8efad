"""What an ext2, ext3 or ext4 volume has in use: block bitmaps, structures, and where files are.

Bitmaps are believed where their count of free blocks is that of the group's descriptor; groups whose bitmap was never
written (BLOCK_UNINIT) hold nothing but structures. Kernel documentation, "ext4 Data Structures and Algorithms".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analyzer.guest.layouts import ext
from analyzer.guest.layouts.ext import ExtSuperblock, GroupFlag, Incompatible, ReadOnly
from analyzer.guest.layouts.ext_inodes import InodeFlag
from analyzer.guest.usage.model import NO_EXTENTS, Column, Contents, Extents, Known, Usage, set_bits, union
from vhdx.ranges import Range, Ranges

# Groups whose bitmaps are read: 4 TiB in blocks of 4 KiB.
_MOST_GROUPS = 1 << 15
# A million files are looked at: evidence enough, in bounded time.
_MOST_INODES = 1 << 20
_MOST_TREES = 1 << 12
_FIRST_FILE, _ROOT, _JOURNAL = 11, 2, 8
_REGULAR, _DIRECTORY, _KIND_SHIFT = 0x8, 0x4, 12
_BIGALLOC = 0x200
_EXTENTS_MAGIC = 0xF30A
# Blocks of an extent; more means that they were never written.
_LONGEST_WRITTEN = 1 << 15
_COUNTS_UNUSED = ReadOnly.GROUP_CHECKSUM | ReadOnly.METADATA_CHECKSUM
_HEADER = np.dtype([("magic", "<u2"), ("count", "<u2"), ("most", "<u2"), ("depth", "<u2"), ("generation", "<u4")])
_LEAF = np.dtype([("first", "<u4"), ("count", "<u2"), ("high", "<u2"), ("low", "<u4")])
_INODE = np.dtype({
    "names": ["mode", "links", "flags", "map"],
    "formats": ["<u2", "<u2", "<u4", "V60"],
    "offsets": [0, 26, 32, 40],
    "itemsize": 128,
})  # fmt: skip


@dataclass(frozen=True)
class _Groups:
    """The descriptors of all groups, in columns; places in blocks of the volume, 0 where none can be known."""

    block_bitmap: Column
    inode_bitmap: Column
    inode_table: Column
    flags: Column
    free: Column
    unused_inodes: Column
    free_inodes: Column

    @classmethod
    def of(cls, raw: bytes, size: int) -> "_Groups":
        """From descriptors of `size` bytes each."""
        rows = np.frombuffer(raw, dtype=np.uint8).reshape(-1, size)

        def column(low: int, high: int, width: int) -> Column:
            value = rows[:, low : low + width].copy().view(f"<u{width}")[:, 0].astype(np.int64)
            if size > high:
                value |= rows[:, high : high + width].copy().view(f"<u{width}")[:, 0].astype(np.int64) << 8 * width
            return value

        return cls(
            column(0, 32, 4), column(4, 36, 4), column(8, 40, 4), column(18, size, 2), column(12, 44, 2),
            column(28, 50, 2), column(14, 46, 2),
        )  # fmt: skip


def usage_of_ext(known: Known, superblock: ExtSuperblock) -> Usage:
    """What the volume has in use; it has a superblock, or a view that shows a backup of it in its place."""
    return _Ext(known, superblock).usage()


@dataclass(frozen=True)
class _Ext:
    known: Known
    superblock: ExtSuperblock

    def usage(self) -> Usage:
        extent = Range(0, min(self.superblock.end, self.known.size))
        if not self.superblock.is_sane or self.superblock.groups > ext.MOST_GROUPS:
            return Usage(extent=extent)
        maps = list(self._maps())
        used = union([*(used for _, used in maps), self._structures])
        told = Ranges.of(told for told, _ in maps)
        return Usage(extent=extent, told=told, used=used, filled=Extents.of(self._filled()), contents=self._contents)

    @cached_property
    def _raw(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        return np.frombuffer(self.known.view.read(ext.START, ext.SIZE), dtype=np.uint8)

    def _field(self, at: int) -> int:
        return int.from_bytes(self._raw[at : at + 4].tobytes(), "little")

    @cached_property
    def _groups(self) -> _Groups:
        """Descriptors, block by block; zeros where they cannot be read."""
        block, size = self.superblock.block_size, self.superblock.descriptor_size
        count = -(-self.superblock.descriptors_length // block)
        pieces = [self.known.read(at, block) or bytes(block) for at in self._descriptor_blocks(count)]
        return _Groups.of(b"".join(pieces)[: self.superblock.groups * size], size)

    def _descriptor_blocks(self, count: int) -> Iterator[int]:
        """Bytes of the volume: behind the superblock, or with META_GROUPS in the groups that they describe."""
        superblock = self.superblock
        plain = self._field(0x104) if superblock.incompatible & Incompatible.META_GROUPS else count
        for index in range(count):
            if index < plain:
                yield superblock.descriptors_start + index * superblock.block_size
            else:
                group = index * (superblock.block_size // superblock.descriptor_size)
                yield superblock.copy_of(group) + (group in self._with_copy) * superblock.block_size

    @cached_property
    def _with_copy(self) -> frozenset[int]:
        return frozenset((0, *(group for group, _ in self.superblock.copies())))

    @property
    def _cluster(self) -> int:
        """Bytes that a bit of a bitmap stands for."""
        if self.superblock.read_only & _BIGALLOC:
            return ext.SIZE << min(self._field(0x1C), 20)
        return self.superblock.block_size

    @property
    def _flags(self) -> Column:
        """Flags of groups, which only a volume with checksums of groups keeps."""
        return self._groups.flags if self.superblock.read_only & _COUNTS_UNUSED else self._groups.flags * 0

    def _bounds(self, group: int) -> Range:
        """Bytes of the volume that a group has."""
        start = self.superblock.copy_of(group)
        return Range.between(start, min(self.superblock.copy_of(group + 1), self.superblock.end))

    def _maps(self) -> Iterator[tuple[Range, Ranges]]:
        """What each group's bitmap tells, and what of it is in use."""
        groups, block = self._groups, self.superblock.block_size
        for group in range(min(self.superblock.groups, _MOST_GROUPS)):
            bounds = self._bounds(group)
            if not groups.block_bitmap[group]:
                continue
            if self._flags[group] & GroupFlag.BLOCK_BITMAP_UNUSED:
                yield bounds, Ranges.of(())
                continue
            raw = self.known.read(int(groups.block_bitmap[group]) * block, block)
            count = -(-bounds.length // self._cluster)
            used = set_bits(raw, 0, self._cluster, bounds.start, count) if raw else None
            if used is not None and count - used.size // self._cluster == groups.free[group]:
                yield bounds, used.within(bounds)

    @cached_property
    def _structures(self) -> Ranges:
        """Bitmaps, inode tables and copies of the superblock with the descriptors behind them."""
        superblock, groups, block = self.superblock, self._groups, self.superblock.block_size
        table = superblock.inodes_per_group * superblock.inode_size
        places = np.concatenate([groups.block_bitmap, groups.inode_bitmap]) * block
        tables = groups.inode_table * block
        front = superblock.descriptors_length + block
        copies = np.array([superblock.copy_of(group) for group in sorted(self._with_copy)], dtype=np.int64)
        start = np.concatenate([places, tables, copies])
        length = np.repeat([block, table, front], [len(places), len(tables), len(copies)])
        sound = (start >= 0) & (start < superblock.end)
        return Ranges.of_columns(start[sound], length[sound])

    def _filled(self) -> Iterator[tuple[int, int, int]]:
        """Superblocks, descriptors, and bitmaps and inode tables that have something in them."""
        superblock, groups, block = self.superblock, self._groups, self.superblock.block_size
        yield ext.START, ext.SIZE, 0
        yield from ((at, ext.SIZE, 0) for _, at in superblock.copies())
        for at in self._descriptor_blocks(-(-superblock.descriptors_length // block)):
            yield at, block, 0
        per_group = superblock.inodes_per_group
        for group in range(min(superblock.groups, _MOST_GROUPS)):
            flags, bounds = int(self._flags[group]), self._bounds(group)
            if not groups.block_bitmap[group]:
                continue
            if not flags & GroupFlag.BLOCK_BITMAP_UNUSED and groups.free[group] * self._cluster < bounds.length:
                yield int(groups.block_bitmap[group]) * block, block, group
            if not flags & GroupFlag.INODES_UNUSED and groups.free_inodes[group] < per_group:
                yield int(groups.inode_bitmap[group]) * block, block, group
                yield int(groups.inode_table[group]) * block, self._inodes_used(group) * superblock.inode_size, group

    def _inodes_used(self, group: int) -> int:
        unused = int(self._groups.unused_inodes[group]) if self.superblock.read_only & _COUNTS_UNUSED else 0
        return max(0, self.superblock.inodes_per_group - unused)

    def _contents(self) -> Contents:
        """Every regular file and folder in use, up to a bound."""
        written, filled, left = [NO_EXTENTS], [NO_EXTENTS], _MOST_INODES
        for group in range(min(self.superblock.groups, _MOST_GROUPS)):
            count = min(self._inodes_used(group), left)
            if self._flags[group] & GroupFlag.INODES_UNUSED or not self._groups.inode_table[group] or count <= 0:
                continue
            left -= count
            start = int(self._groups.inode_table[group]) * self.superblock.block_size
            for at, raw in self.known.pieces(start, count * self.superblock.inode_size):
                if raw:
                    first = group * self.superblock.inodes_per_group + at // self.superblock.inode_size + 1
                    found = self._of_inodes(raw, first)
                    written.append(found.written)
                    filled.append(found.filled)
        return Contents(Extents.joined(written), Extents.joined(filled))

    def _of_inodes(self, raw: bytes, first: int) -> Contents:
        size = self.superblock.inode_size
        rows = np.frombuffer(raw, dtype=np.uint8)[: len(raw) // size * size].reshape(-1, size)
        inodes = rows[:, : _INODE.itemsize].copy().view(_INODE)[:, 0]
        number = first + np.arange(len(inodes))
        kind = inodes["mode"] >> _KIND_SHIFT
        usable = (inodes["links"] > 0) & ((number >= _FIRST_FILE) | (number == _ROOT))
        usable &= (inodes["flags"] & (InodeFlag.INLINE)) == 0
        written: list[tuple[int, int, int]] = []
        filled: list[tuple[int, int, int]] = []
        for index in np.flatnonzero(usable & ((kind == _REGULAR) | (kind == _DIRECTORY))).tolist():
            rows_of = list(self._extents(inodes["map"][index].tobytes(), int(inodes["flags"][index]), filled))
            target = filled if kind[index] == _DIRECTORY else written
            target += [(start, length, int(number[index])) for start, length in rows_of]
        return Contents(Extents.of(written), Extents.of(filled))

    def _extents(
        self, raw: bytes, flags: int, filled: list[tuple[int, int, int]], trees: int = _MOST_TREES
    ) -> Iterator[tuple[int, int]]:
        """(start, length) in bytes of what was written; blocks of the tree that lead there go to `filled`."""
        block = self.superblock.block_size
        if not flags & InodeFlag.EXTENTS:
            yield from ((at * block, block) for at in np.frombuffer(raw[:48], "<u4").tolist() if at)
            return
        waiting = [raw]
        while waiting and trees:
            trees -= 1
            node = waiting.pop()
            header = np.frombuffer(node[: _HEADER.itemsize], _HEADER)[0]
            room = (len(node) - _HEADER.itemsize) // _LEAF.itemsize
            if header["magic"] != _EXTENTS_MAGIC:
                continue
            entries = np.frombuffer(node, _LEAF, min(int(header["count"]), room), _HEADER.itemsize)
            for entry in entries.tolist():
                if header["depth"] == 0:
                    _, count, high, low = entry
                    if count <= _LONGEST_WRITTEN:
                        yield (low | high << 32) * block, count * block
                    continue
                at = (entry[1] | entry[2] << 16 | (entry[3] & 0xFFFF) << 32) * block  # an index: first, low, low, high
                filled.append((at, block, 0))
                child = self.known.read(at, block)
                waiting += [child] if child else []
