"""ext2 to ext4: where inodes stand, and what of them the reader does not give."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from analyzer.guest.filesystems.record import Extent
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.ext import Compatible, ExtSuperblock
from analyzer.guest.layouts.ext_groups import parse_descriptor
from analyzer.guest.layouts.ext_inodes import LEAST_SIZE, ExtInode, parse_inode
from vhdx.ranges import Range

JOURNAL = "$journal"
"""What the journal is called here; it has no name of its own."""
_NEAR, _KEPT = 1 << 16, 64
"""Bytes of inodes that are read at once, and how many times that are kept."""
_LEAST_DESCRIPTOR = 32


class ExtLayout:
    """ext2 to ext4: inodes in a table for each group."""

    def __init__(self, view: View, superblock: ExtSuperblock) -> None:
        """Take the geometry from the superblock."""
        self._view, self._superblock = view, superblock
        self.block, self.inode = superblock.block_size, max(LEAST_SIZE, superblock.inode_size)
        self.inodes_per_group = max(1, superblock.inodes_per_group)
        self.groups = min(superblock.groups, -(-superblock.inodes // self.inodes_per_group))
        self._descriptor = max(_LEAST_DESCRIPTOR, superblock.descriptor_size)
        self._near = lru_cache(maxsize=_KEPT)(self._near_bytes)
        self._descriptors = view.read(superblock.descriptors_start, self.groups * self._descriptor)

    def inode_table(self, group: int) -> int | None:
        """Where the inodes of a group begin, bytes of the volume."""
        raw = self._descriptors[group * self._descriptor : (group + 1) * self._descriptor]
        told = parse_descriptor(raw) if len(raw) == self._descriptor else None
        return told.inode_table * self.block if told else None

    def inode_at(self, address: int) -> int | None:
        """Where an inode stands, bytes of the volume."""
        group, index = divmod(address - 1, self.inodes_per_group)
        table = self.inode_table(group) if address > 0 else None
        return None if table is None else table + index * self.inode

    def record_places(self, address: int) -> list[Range]:
        """See Layout."""
        at = self.inode_at(address)
        return [] if at is None else [Range(self._view.start + at, self.inode)]

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Range]:  # noqa: ARG002 - see Layout
        """None: blocks of extents and pointers are a stream of their own."""
        return iter(())

    def inode_of(self, address: int) -> ExtInode | None:
        """What the inode of an address says; None where it has no place."""
        at = self.inode_at(address)
        return None if at is None else parse_inode(self._near(at // _NEAR)[at % _NEAR : at % _NEAR + LEAST_SIZE])

    def _near_bytes(self, number: int) -> bytes:
        """The inodes around one, with what the last one has beyond: a walk asks for them one by one."""
        return self._view.read(number * _NEAR, _NEAR + LEAST_SIZE)

    def sequence_of(self, address: int) -> int:
        """The inode's generation."""
        inode = self.inode_of(address)
        return inode.generation if inode else 0

    def flags_of(self, address: int) -> int:
        """The inode's flags."""
        inode = self.inode_of(address)
        return inode.flags if inode else 0

    def own_files(self) -> Iterator[tuple[str, int]]:
        """(name, address) of files that no folder names. The names are made up here: they have none."""
        journal = self._superblock.journal_inode
        if self._superblock.compatible & Compatible.HAS_JOURNAL and 0 < journal <= self._superblock.inodes:
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
                inode = parse_inode(raw[index * self.inode : (index + 1) * self.inode])
                if inode and inode.is_directory_in_use:
                    yield group * self.inodes_per_group + first + index + 1
