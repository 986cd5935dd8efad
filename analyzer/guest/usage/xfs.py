"""What an XFS volume has in use: the headers and the free space of each allocation group, its inodes and their extents.

"XFS Algorithms & Data Structures". Every number is big-endian; B+trees have their records in the leaves.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from analyzer.guest.usage.model import Known, Usage, usage_by
from vhdx.ranges import Range, Ranges

SIGNATURE = b"XFSB"
_SUPER = struct.Struct(">4xIQ68xII10xHH17xBB")
_TREE_HEAD = struct.Struct(">4sHH")
# Where the heads in these sectors of a group, of free space and of inodes, name the root of their tree.
_ROOT = {1: struct.Struct(">16xI"), 2: struct.Struct(">20xI")}
_SPACE, _CHUNK, _EXTENT = struct.Struct(">II"), struct.Struct(">IIQ"), struct.Struct(">QQ")
_INODE = struct.Struct(">2sHBB70xI")
_HEAD_SIZES = {b"ABTB": 16, b"IABT": 16, b"AB3B": 56, b"IAB3": 56}
_FORK_AT = {1: 100, 2: 100, 3: 176}
_IN_EXTENTS, _FOLDER, _REGULAR, _KIND_SHIFT = 2, 0x4, 0x8, 12
_PER_CHUNK = 64
_BLOCK_SIZES, _INODE_SIZES = frozenset(1 << power for power in range(9, 17)), frozenset({256, 512, 1024, 2048})
# Groups that mkfs.xfs makes of a volume below 4 TiB: where its beginning is lost, the second one has the sizes.
_USUAL_GROUPS = 4
# Bounds of what a hostile volume has read: its groups, nodes of a tree, and chunks of 64 inodes.
_MOST_GROUPS, _MOST_NODES, _MOST_CHUNKS = 1 << 12, 1 << 14, 1 << 13


class XfsSuper(NamedTuple):
    """What a superblock says: sizes in bytes, counts in blocks, logarithms of a block's inodes and a group's blocks."""

    block_size: int
    blocks: int
    group_blocks: int
    groups: int
    sector_size: int
    inode_size: int
    inodes_log: int
    group_log: int

    @property
    def is_sane(self) -> bool:
        """Sizes and counts can be."""
        sizes = self.block_size in _BLOCK_SIZES and self.sector_size in _BLOCK_SIZES and self.inode_size in _INODE_SIZES
        return sizes and self.group_blocks > 0 and 0 < self.groups <= _MOST_GROUPS


def parse_super(raw: bytes | None) -> XfsSuper | None:
    """What the first sector of a group says; None where it is no superblock, or has sizes that cannot be."""
    if not raw or len(raw) < _SUPER.size or not raw.startswith(SIGNATURE):
        return None
    found = XfsSuper(*_SUPER.unpack_from(raw))
    return found if found.is_sane else None


def usage_of_xfs(known: Known) -> Usage | None:
    """What the volume has in use; None where neither its superblock nor the second one can be read."""
    second = known.size // _USUAL_GROUPS // 4096 * 4096
    for at in (0, second):
        if found := parse_super(known.read(at, 512)):
            return _Xfs(known, found).usage()
    return None


@dataclass(frozen=True)
class _Xfs:
    known: Known
    superblock: XfsSuper

    def usage(self) -> Usage:
        extent = Range(0, min(self.known.size, self.superblock.blocks * self.superblock.block_size))
        return usage_by(extent, self._maps(), self._heads(), self._files)

    def _at(self, group: int, block: int = 0) -> int:
        """The byte of the volume at which a block of a group is."""
        return (group * self.superblock.group_blocks + block) * self.superblock.block_size

    def _heads(self) -> Iterator[tuple[int, int, int]]:
        """The superblock, and the heads of free space and of inodes, which each group has."""
        for group in range(self.superblock.groups):
            for sector in range(3):
                yield self._at(group) + sector * self.superblock.sector_size, 512, group

    def _leaves(self, group: int, sector: int) -> Iterator[bytes | None]:
        """The records of the tree that a group's head in this sector names; None for what cannot be read."""
        head = self.known.read(self._at(group) + sector * self.superblock.sector_size, 512)
        if head is None or not head.startswith(b"XAG"):
            yield None
            return
        waiting, left = [_ROOT[sector].unpack_from(head)[0]], _MOST_NODES
        while waiting:
            raw, left = self.known.read(self._at(group, waiting.pop()), self.superblock.block_size), left - 1
            magic, height, count = _TREE_HEAD.unpack_from(raw) if raw else (b"", 0, 0)
            start = _HEAD_SIZES.get(magic, 0)
            if raw is None or not start or left < 0:
                yield None
                return
            key = _SPACE.size if sector == 1 else 4
            if height == 0:
                record = _SPACE.size if sector == 1 else _CHUNK.size
                yield raw[start : start + min(count, (len(raw) - start) // record) * record]
            else:
                most = (len(raw) - start) // (key + 4)
                pointers = raw[start + most * key :][: 4 * min(count, most)]
                waiting += [block for (block,) in struct.iter_unpack(">I", pointers)]

    def _maps(self) -> Iterator[tuple[Range, Ranges]]:
        """The groups of which all of the tree of free space can be read, and what of them is in use."""
        size = self.superblock.block_size
        for group in range(self.superblock.groups):
            leaves = list(self._leaves(group, 1))
            if None not in leaves:
                bounds = Range.between(self._at(group), min(self._at(group + 1), self.superblock.blocks * size))
                rows = (row for leaf in leaves for row in _SPACE.iter_unpack(leaf or b""))
                free = Ranges.of(Range(self._at(group, first), count * size) for first, count in rows)
                yield bounds, Ranges.of([bounds]) - free

    def _files(self) -> Iterator[tuple[bool, int, int, int]]:
        """Files by the extents in their inodes; chunks of inodes, and the blocks of folders, are never zeros."""
        for number, place in enumerate(self._chunks()):
            size = self.superblock.inode_size
            yield True, place, _PER_CHUNK * size, 0
            raw = self.known.read(place, _PER_CHUNK * size) if number < _MOST_CHUNKS else None
            for index in range(_PER_CHUNK if raw else 0):
                kind, extents = self._extents((raw or b"")[index * size : (index + 1) * size])
                yield from ((kind == _FOLDER, *part, number * _PER_CHUNK + index) for part in extents)

    def _chunks(self) -> Iterator[int]:
        """Bytes of the volume at which 64 inodes begin."""
        for group in range(self.superblock.groups):
            for leaf in self._leaves(group, 2):
                for first, _, _ in _CHUNK.iter_unpack(leaf or b""):
                    yield self._at(group) + first * self.superblock.inode_size

    def _extents(self, raw: bytes) -> tuple[int, list[tuple[int, int]]]:
        """The kind of an inode's file, and (start, length) of what was written of it."""
        magic, mode, version, form, count = _INODE.unpack_from(raw)
        start, kind = _FORK_AT.get(version, 0), mode >> _KIND_SHIFT
        if magic != b"IN" or form != _IN_EXTENTS or not start or kind not in {_FOLDER, _REGULAR}:
            return kind, []
        room = raw[start : start + min(count, (len(raw) - start) // _EXTENT.size) * _EXTENT.size]
        return kind, [self._extent(high, low) for high, low in _EXTENT.iter_unpack(room) if not high >> 63]

    def _extent(self, high: int, low: int) -> tuple[int, int]:
        """A packed extent: a flag, 54 bits of place in the file, 52 of the first block, 21 of the count."""
        block, count = (high & 0x1FF) << 43 | low >> 21, low & 0x1FFFFF
        group, inside = block >> self.superblock.group_log, block & (1 << self.superblock.group_log) - 1
        return self._at(group, inside), count * self.superblock.block_size
