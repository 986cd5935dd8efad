"""The inodes of an XFS volume: what kind each is, and where its file is.

"XFS Algorithms & Data Structures", Data Extents.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analyzer.guest.layouts.xfs import XfsSuper

_INODE = struct.Struct(">2sHBB18xQ24xQ12xI2xB7xH28xQ")
_EXTENT, _POINTER, _TREE_HEAD = struct.Struct(">QQ"), struct.Struct(">Q"), struct.Struct(">HH")
_FORK_AT, _LATEST = {1: 100, 2: 100, 3: 176}, 3
_IN_EXTENTS, _IN_TREE = 2, 3
_FOLDER, _REGULAR, _KIND_SHIFT = 0x4, 0x8, 12
_REAL_TIME, _LARGE_COUNTS = 0x1, 0x10
_NODE_HEADS = {b"BMAP": 24, b"BMA3": 72}
# Nodes of one file's tree that are read: a hostile tree is a circle.
_MOST_NODES = 1 << 12
_UNWRITTEN = 63


@dataclass(frozen=True, slots=True)
class XfsInode:
    """What an inode says of its file."""

    mode: int
    form: int
    size: int
    count: int
    """Of the extents that are in the inode itself."""
    is_real_time: bool
    """Its content is on another device."""
    fork: bytes
    """Where its content is: extents, or the root of a tree of them."""

    @property
    def is_folder(self) -> bool:
        """It is a folder."""
        return self.mode >> _KIND_SHIFT == _FOLDER

    @property
    def is_regular(self) -> bool:
        """It is a file like any other."""
        return self.mode >> _KIND_SHIFT == _REGULAR and not self.is_real_time

    def placed(
        self, superblock: XfsSuper, read: Callable[[int, int], bytes | None], nodes: list[int]
    ) -> Iterator[tuple[int, int, int]]:
        """(byte of the file, byte of the volume, length) of what was written; notes the blocks of its tree."""
        if self.form == _IN_EXTENTS:
            yield from _extents(superblock, self.fork, self.count)
        elif self.form == _IN_TREE:
            _, count = _TREE_HEAD.unpack_from(self.fork.ljust(_TREE_HEAD.size, b"\0"))
            waiting = list(_pointers(self.fork, _TREE_HEAD.size, count))
            while waiting and len(nodes) < _MOST_NODES:
                at = superblock.at_block(waiting.pop())
                raw = read(at, superblock.block_size)
                nodes.append(at)
                start = _NODE_HEADS.get(raw[:4], 0) if raw else 0
                level, count = _TREE_HEAD.unpack_from(raw, 4) if raw and start else (0, 0)
                if raw and start and level:
                    waiting += _pointers(raw, start, count)
                elif raw and start:
                    yield from _extents(superblock, raw[start:], count)


def parse_inode(raw: bytes) -> XfsInode | None:
    """What an inode says; None where it is none."""
    if len(raw) < _INODE.size:
        return None
    magic, mode, version, form, large, size, count, attributes_at, flags, flags2 = _INODE.unpack_from(raw)
    start = _FORK_AT.get(version, 0)
    if magic != b"IN" or not start:
        return None
    end = start + 8 * attributes_at if attributes_at else len(raw)
    count = large if version == _LATEST and flags2 & _LARGE_COUNTS else count
    return XfsInode(mode, form, size, count, bool(flags & _REAL_TIME), raw[start:end])


def _pointers(raw: bytes, start: int, count: int) -> Iterator[int]:
    """The blocks below a node, behind as many keys as it has room for."""
    most = (len(raw) - start) // (2 * _POINTER.size)
    part = raw[start + most * _POINTER.size :][: min(count, most) * _POINTER.size]
    return (block for (block,) in _POINTER.iter_unpack(part))


def _extents(superblock: XfsSuper, raw: bytes, count: int) -> Iterator[tuple[int, int, int]]:
    """Packed extents: a flag, 54 bits of place in the file, 52 of the first block, 21 of the count."""
    room = raw[: min(count, len(raw) // _EXTENT.size) * _EXTENT.size]
    for high, low in _EXTENT.iter_unpack(room):
        block, length = (high & 0x1FF) << 43 | low >> 21, low & 0x1FFFFF
        if not high >> _UNWRITTEN:
            size = superblock.block_size
            yield (high >> 9 & (1 << 54) - 1) * size, superblock.at_block(block), length * size
