"""What an XFS volume has in use: the headers and the free space of each allocation group, its inodes and their extents.

"XFS Algorithms & Data Structures". Every number is big-endian; B+trees have their records in the leaves.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from analyzer.guest.layouts.xfs import XfsSuper, parse_super
from analyzer.guest.layouts.xfs_inodes import parse_inode
from analyzer.guest.usage.model import Known, Usage, usage_by
from vhdx.ranges import Range, Ranges

_TREE_HEAD = struct.Struct(">4sHH")
_HEAD_SIZES = {b"ABTB": 16, b"ABTC": 16, b"IABT": 16, b"AB3B": 56, b"AB3C": 56, b"IAB3": 56, b"FIB3": 56}
_SPACE, _CHUNK = struct.Struct(">II"), struct.Struct(">IHxxQ")
PER_CHUNK = 64
"""Inodes of a chunk."""
_INODES_PER_BIT, _SPARSE = 4, 0x2
# Groups that mkfs.xfs makes of a volume below 4 TiB: where its beginning is lost, the second one has the sizes.
_USUAL_GROUPS = 4
# Bounds of what a hostile volume has read: nodes of a tree, and chunks of 64 inodes.
_MOST_NODES, _MOST_CHUNKS = 1 << 14, 1 << 13


class Tree(NamedTuple):
    """A tree of a group: the sector of the head that names its root, where in it, and bytes of a key and a record."""

    sector: int
    root: int
    key: int
    record: int


SPACE_BY_PLACE, SPACE_BY_SIZE = Tree(1, 16, 8, 8), Tree(1, 20, 8, 8)
INODES = Tree(2, 20, 4, 16)
TREES = (SPACE_BY_PLACE, SPACE_BY_SIZE, INODES)
"""Those that every group has."""


def superblock_in(known: Known) -> XfsSuper | None:
    """The superblock, or the second one; None where neither can be read."""
    second = known.size // _USUAL_GROUPS // 4096 * 4096
    return next(filter(None, (parse_super(known.read(at, 512)) for at in (0, second))), None)


def usage_of_xfs(known: Known) -> Usage | None:
    """What the volume has in use; None where neither its superblock nor the second one can be read."""
    superblock = superblock_in(known)
    return XfsUsage(known, superblock).usage() if superblock else None


@dataclass(frozen=True)
class XfsUsage:
    """Reads what the volume has in use."""

    known: Known
    superblock: XfsSuper

    def usage(self) -> Usage:
        """What the heads of groups, trees of free space and files say."""
        extent = Range(0, min(self.known.size, self.superblock.blocks * self.superblock.block_size))
        heads = ((at, 512, group) for at, index, group in self.heads() if index < 3)  # noqa: PLR2004 - the fourth may be zeros
        return usage_by(extent, self._maps(), heads, self._files)

    def heads(self) -> Iterator[tuple[int, int, int]]:
        """(byte of the volume, which of the four it is, group) of the sectors that each group begins with."""
        for group in range(self.superblock.groups):
            for index in range(4):
                yield self.superblock.at(group) + index * self.superblock.sector_size, index, group

    def blocks_of(self, group: int, tree: Tree) -> Iterator[tuple[int, bytes | None, list[bytes]]]:
        """(byte of the volume, content, its records) of each block of a tree; None for what cannot be read as one."""
        superblock = self.superblock
        head = self.known.read(superblock.at(group) + tree.sector * superblock.sector_size, 512)
        if head is None or not head.startswith(b"XAG"):
            yield superblock.at(group), None, []
            return
        waiting, seen = [int.from_bytes(head[tree.root : tree.root + 4], "big")], set[int]()
        while waiting and len(seen) < _MOST_NODES:
            block = waiting.pop()
            at, is_again = superblock.at(group, block), block in seen
            seen.add(block)
            raw = None if is_again else self.known.read(at, superblock.block_size)
            magic, height, count = _TREE_HEAD.unpack_from(raw) if raw else (b"", 0, 0)
            start = _HEAD_SIZES.get(magic, 0)
            if raw is None or not start:
                yield at, None, []
            elif height == 0:
                places = range(start, len(raw) - tree.record + 1, tree.record)[:count]
                yield at, raw, [raw[place : place + tree.record] for place in places]
            else:
                most = (len(raw) - start) // (tree.key + 4)
                pointers = raw[start + most * tree.key :][: 4 * min(count, most)]
                waiting += [below for (below,) in struct.iter_unpack(">I", pointers)]
                yield at, raw, []
        if waiting:
            yield superblock.at(group), None, []

    def _maps(self) -> Iterator[tuple[Range, Ranges]]:
        """The groups of which all of the tree of free space can be read, and what of them is in use."""
        superblock = self.superblock
        for group in range(superblock.groups):
            blocks = list(self.blocks_of(group, SPACE_BY_PLACE))
            if all(raw is not None for _, raw, _ in blocks):
                end = min(superblock.at(group + 1), superblock.blocks * superblock.block_size)
                bounds = Range.between(superblock.at(group), end)
                rows = (_SPACE.unpack(record) for _, _, records in blocks for record in records)
                size = superblock.block_size
                free = Ranges.of(Range(superblock.at(group, first), count * size) for first, count in rows)
                yield bounds, Ranges.of([bounds]) - free

    def _files(self) -> Iterator[tuple[bool, int, int, int]]:
        """Files by the extents in their inodes; chunks of inodes, and the blocks of folders, are never zeros."""
        size = self.superblock.inode_size
        for number, (first, _) in enumerate(self.chunks()):
            place = self.superblock.at_inode(first)
            yield True, place, PER_CHUNK * size, 0
            raw = self.known.read(place, PER_CHUNK * size) if number < _MOST_CHUNKS else None
            for index in range(PER_CHUNK if raw else 0):
                inode = parse_inode((raw or b"")[index * size : (index + 1) * size])
                if inode and (inode.is_folder or inode.is_regular):
                    for _, start, length in inode.placed(self.superblock, self.known.read, []):
                        yield inode.is_folder, start, length, first + index

    def chunks(self) -> Iterator[tuple[int, list[bool]]]:
        """The number of the first of 64 inodes, and which of them are there: a chunk may be sparse."""
        superblock = self.superblock
        bits = superblock.group_log + superblock.inodes_log
        for group in range(superblock.groups):
            for _, _, records in self.blocks_of(group, INODES):
                for first, holes, _ in map(_CHUNK.unpack, records):
                    is_sparse = holes if superblock.incompatible & _SPARSE else 0
                    yield group << bits | first, [not is_sparse >> n // _INODES_PER_BIT & 1 for n in range(PER_CHUNK)]
