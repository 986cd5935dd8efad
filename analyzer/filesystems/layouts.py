"""Where a file system keeps what it knows of a file: records, inodes, directory entries, tables."""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Protocol

from analyzer.filesystems.recognise import EXT_SIZE, EXT_SUPERBLOCK
from analyzer.filesystems.record import Extent, Place
from analyzer.filesystems.view import View

_ENTRY = 32
_MOST_SECTORS = 128
"""Sectors of a cluster of NTFS; a larger number is a power of two, negative."""
_DATA, _ATTRIBUTE, _LEAST_ATTRIBUTE = 0x80, 64, 16
_EXFAT_MOST_ENTRIES = 19
_FIRST_FAT_INODE = 3
_EXT_64BIT = 0x80
_GENERATION_AT, _FLAGS_AT, _MODE_AT, _LINKS_AT = 0x64, 0x20, 0, 0x1A
_DIRECTORY = 0x4
_NEAR, _KEPT = 1 << 16, 64


class Layout(Protocol):
    """What tells the places of metadata from a file's address."""

    def record_places(self, address: int) -> list[Place]:
        """Where the record, inode or directory entry of an address stands, bytes of the disk."""
        ...

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Place]:
        """Where a table outside of the record says which places a file has; nothing on NTFS and ext."""
        ...

    def sequence_of(self, address: int) -> int:
        """What tells one use of an address from the next, where the reader does not give it; else 0."""
        ...


class NtfsLayout:
    """NTFS: records in $MFT, whose own runs say where they are."""

    def __init__(self, view: View, runs: Iterable[tuple[int, int, int]]) -> None:
        """`runs` of $MFT's data: (cluster, clusters, first cluster of the stream)."""
        self._view, boot = view, view.read(0, 512)
        sector, per_cluster, size = *struct.unpack_from("<HB", boot, 11), struct.unpack_from("<b", boot, 64)[0]
        cluster = sector * per_cluster if per_cluster <= _MOST_SECTORS else sector << (256 - per_cluster)
        self.cluster, self._record = cluster, size * cluster if size > 0 else 1 << -size
        self._extents = sorted((at * cluster, view.start + place * cluster, n * cluster) for place, n, at in runs)
        self._offsets = [offset for offset, _, _ in self._extents]

    def record_places(self, address: int) -> list[Place]:
        """See Layout."""
        offset, end = address * self._record, (address + 1) * self._record
        places, index = [], max(0, bisect_right(self._offsets, offset) - 1)
        for at, start, length in self._extents[index:]:
            lower, upper = max(offset, at), min(end, at + length)
            if at >= end:
                break
            if lower < upper:
                places.append((start + lower - at, upper - lower))
        return places

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Place]:  # noqa: ARG002 - see Layout
        """None: what a file has stands in its records."""
        return iter(())

    def initialized(self, address: int) -> int | None:
        """How far the data of a file was ever written, bytes; past that it reads as zeros, whatever stands there.

        None where its record does not say: the data is in the record, or described in another one.
        """
        places, view = self.record_places(address), self._view
        raw = b"".join(view.read(start - view.start, length) for start, length in places)
        at = int.from_bytes(raw[20:22], "little")
        while at + _ATTRIBUTE <= len(raw):
            kind, length, is_outside, name = struct.unpack_from("<IIBB", raw, at)
            if kind == _DATA and is_outside and not name:
                return int.from_bytes(raw[at + 56 : at + 64], "little")
            if length < _LEAST_ATTRIBUTE:
                return None
            at += length
        return None

    def sequence_of(self, address: int) -> int:  # noqa: ARG002 - see Layout
        """The reader gives it."""
        return 0


class FatLayout:
    """FAT and exFAT: an address is the place of the directory entry, and the chain of clusters stands in the FAT."""

    def __init__(self, view: View, kind: str) -> None:
        """Take the geometry from the boot sector."""
        self._start, self.kind = view.start, kind
        boot = view.read(0, 512)
        self._of_exfat(boot) if kind == "exfat" else self._of_fat(boot)

    def _of_exfat(self, boot: bytes) -> None:
        fat, _, heap = struct.unpack_from("<III", boot, 80)
        sector = 1 << min(boot[108], 12)
        self.sector, self.cluster = sector, sector << min(boot[109], 25)
        self._fat, self._heap = fat * sector, heap * sector
        self._first, self._bits = heap, 32
        self.root = self._heap + (max(2, struct.unpack_from("<I", boot, 96)[0]) - 2) * self.cluster

    def _of_fat(self, boot: bytes) -> None:
        sector, per_cluster, reserved, fats, roots = struct.unpack_from("<HBHBH", boot, 11)
        short, large = struct.unpack_from("<H", boot, 22)[0], struct.unpack_from("<I", boot, 36)[0]
        root = reserved + fats * (short or large)
        self.sector, self.cluster = sector, sector * per_cluster
        self._fat, self._heap = reserved * sector, (root + -(-roots * _ENTRY // sector)) * sector
        self._first, self._bits = root, {"fat12": 12, "fat16": 16}.get(self.kind, 32)

    def record_places(self, address: int) -> list[Place]:
        """See Layout; of exFAT the longest set of entries that can begin there."""
        if address < _FIRST_FAT_INODE:
            return []
        sector, entry = divmod(address - _FIRST_FAT_INODE, self.sector // _ENTRY)
        count = _EXFAT_MOST_ENTRIES if self.kind == "exfat" else 1
        return [(self._start + (self._first + sector) * self.sector + entry * _ENTRY, count * _ENTRY)]

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Place]:
        """The entries of the FAT for the clusters of a file."""
        for extent in extents:
            cluster = (extent.start - self._start - self._heap) // self.cluster + 2
            count = -(-extent.length // self.cluster)
            lower, upper = cluster * self._bits // 8, -(-(cluster + count) * self._bits // 8)
            if cluster >= 2:  # noqa: PLR2004 - clusters are counted from 2; the root of FAT12 and FAT16 is in none
                yield self._start + self._fat + lower, upper - lower

    def sequence_of(self, address: int) -> int:  # noqa: ARG002 - see Layout
        """A directory entry has none."""
        return 0


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
