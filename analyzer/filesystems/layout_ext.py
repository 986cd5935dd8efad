"""ext2 to ext4: where inodes stand, and what of them the reader does not give."""

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

from analyzer.filesystems.recognise import EXT_SIZE, EXT_SUPERBLOCK
from analyzer.filesystems.record import Extent, Place
from analyzer.filesystems.view import View

_EXT_64BIT = 0x80
_GENERATION_AT, _FLAGS_AT, _MODE_AT, _LINKS_AT = 0x64, 0x20, 0, 0x1A
_DIRECTORY = 0x4
_COMPATIBLE_AT, _JOURNAL_AT, _HAS_JOURNAL = 0x5C, 0xE0, 0x4
JOURNAL = "$journal"
"""What the journal is called here; it has no name of its own."""
_NEAR, _KEPT = 1 << 16, 64
"""Bytes of inodes that are read at once, and how many times that are kept."""


class ExtLayout:
    """ext2 to ext4: inodes in a table for each group."""

    def __init__(self, view: View) -> None:
        """Take the geometry from the superblock, as the view shows it."""
        block = view.read(EXT_SUPERBLOCK, EXT_SIZE)
        self._view = view
        self.block = 1024 << min(struct.unpack_from("<I", block, 24)[0], 6)
        self.inodes, blocks, first = (struct.unpack_from("<I", block, at)[0] for at in (0, 4, 20))
        self.blocks_per_group, self.inodes_per_group = (
            max(1, struct.unpack_from("<I", block, at)[0]) for at in (32, 40)
        )
        self.inode = max(128, struct.unpack_from("<H", block, 88)[0]) if block[76:80] != bytes(4) else 128
        wide = struct.unpack_from("<I", block, 96)[0] & _EXT_64BIT
        self.descriptor = max(32, struct.unpack_from("<H", block, 254)[0]) if wide else 32
        self.groups = min(-(-(blocks - first) // self.blocks_per_group), -(-self.inodes // self.inodes_per_group))
        self._near = lru_cache(maxsize=_KEPT)(self._near_bytes)
        self._descriptors = view.read((first + 1) * self.block, max(0, self.groups) * self.descriptor)

    def inode_table(self, group: int) -> int | None:
        """Where the inodes of a group begin, bytes of the volume."""
        raw = self._descriptors[group * self.descriptor : (group + 1) * self.descriptor]
        if len(raw) < self.descriptor:
            return None
        block = int.from_bytes(raw[8:12], "little")
        if self.descriptor >= 64:  # noqa: PLR2004 - where a wide descriptor has the upper half
            block |= int.from_bytes(raw[0x28:0x2C], "little") << 32
        return block * int(self.block)

    def inode_at(self, address: int) -> int | None:
        """Where an inode stands, bytes of the volume."""
        group, index = divmod(address - 1, self.inodes_per_group)
        table = self.inode_table(group) if address > 0 else None
        return None if table is None else table + index * self.inode

    def record_places(self, address: int) -> list[Place]:
        """See Layout."""
        at = self.inode_at(address)
        return [] if at is None else [(self._view.start + at, self.inode)]

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Place]:  # noqa: ARG002 - see Layout
        """None: blocks of extents and pointers are a stream of their own."""
        return iter(())

    def raw_inode(self, address: int) -> bytes:
        """The bytes of an inode; b"" where it has no place."""
        at = self.inode_at(address)
        return b"" if at is None else self._near(at // _NEAR)[at % _NEAR : at % _NEAR + 128]

    def _near_bytes(self, number: int) -> bytes:
        """The inodes around one, with what the last one has beyond: a walk asks for them one by one."""
        return self._view.read(number * _NEAR, _NEAR + 128)

    def sequence_of(self, address: int) -> int:
        """The inode's generation."""
        return int.from_bytes(self.raw_inode(address)[_GENERATION_AT : _GENERATION_AT + 4], "little")

    def flags_of(self, address: int) -> int:
        """The inode's flags."""
        return int.from_bytes(self.raw_inode(address)[_FLAGS_AT : _FLAGS_AT + 4], "little")

    def own_files(self) -> Iterator[tuple[str, int]]:
        """(name, address) of files that no folder names. The names are made up here: they have none."""
        block = self._view.read(EXT_SUPERBLOCK, EXT_SIZE)
        features, journal = (struct.unpack_from("<I", block, at)[0] for at in (_COMPATIBLE_AT, _JOURNAL_AT))
        if features & _HAS_JOURNAL and 0 < journal <= self.inodes:
            yield JOURNAL, journal

    def directories(self) -> Iterator[int]:
        """The addresses of all inodes that are folders and in use."""
        size = self.inodes_per_group * self.inode
        for group in range(self.groups):
            table = self.inode_table(group)
            if table is None or table + size > self._view.size:
                continue
            yield from self._directories_in(group, table)

    def _directories_in(self, group: int, table: int) -> Iterator[int]:
        at_once = 4096
        for first in range(0, self.inodes_per_group, at_once):
            count = min(at_once, self.inodes_per_group - first)
            raw = self._view.read(table + first * self.inode, count * self.inode)
            for index in range(len(raw) // self.inode):
                at = index * self.inode
                mode, links = (int.from_bytes(raw[at + n : at + n + 2], "little") for n in (_MODE_AT, _LINKS_AT))
                if mode >> 12 == _DIRECTORY and links:
                    yield group * self.inodes_per_group + first + index + 1
