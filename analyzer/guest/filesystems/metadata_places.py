"""Where a file system keeps what it knows of a file: records, inodes, directory entries, tables."""

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

from analyzer.guest.filesystems.record import Extent
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.ext import Compatible, ExtSuperblock, parse_descriptor
from analyzer.guest.layouts.ext_inodes import (
    LEAST_SIZE,
    ExtInode,
    generation_in,
    inode_holds,
    inodes_in_use,
    parse_inode,
)
from analyzer.guest.layouts.fat import ENTRY, FIRST_CLUSTER, FatBoot
from analyzer.guest.layouts.ntfs import (
    NtfsBoot,
    NtfsData,
    bitmap_of,
    index_block_size,
    index_holds,
    name_of,
    parse_data,
    runs_of,
)
from analyzer.guest.layouts.ntfs_index import NamedRecord, names_in_block, names_in_root
from vhdx.ranges import Range

JOURNAL = "$journal"
"""What the journal is called here; it has no name of its own."""
_NEAR, _KEPT = 1 << 16, 64
"""Bytes of inodes that are read at once, and how many times that are kept; as many groups are."""
_LEAST_DESCRIPTOR = 32  # ext2 and ext3 have no field for it
# Inodes that are read at once, and bytes of descriptors: those of 128 TiB in blocks of 4 KiB.
_AT_ONCE, _MOST_DESCRIPTORS = 4096, 64 << 20
_EXFAT_MOST_ENTRIES = 19  # a file, its stream, and 17 of 15 letters for a name of 255
_FIRST_OF_USER = 11  # of ext: the inodes before it are reserved
_FIRST_OF_NTFS_USER = 24
# Bytes of one run of an index that are looked at.
_MOST_INDEX = 1 << 24
# Bytes of an index of some 10,000 names, which the reader lists in half a second; and of one what is in memory.
_LARGE_INDEX, _AT_ONCE_OF_INDEX = 1 << 20, 1 << 20
# The number that the reader gives the first directory entry; those before are the root's.
_FIRST_FAT_INODE = 3


class Left(NamedTuple):
    """A file of the user that is there by its record; `name` is what that says, "" where it says none."""

    address: int
    is_folder: bool
    name: str = ""
    parent: int = 0


class Layout:
    """The places of metadata, by a file's address."""

    def record_places(self, address: int) -> list[Range]:
        """Where the record, inode or directory entry of an address is, bytes of the disk."""
        raise NotImplementedError

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Range]:  # noqa: ARG002 - FAT has a table
        """Where a table outside of the record says which places a file has; nothing on NTFS and ext."""
        return iter(())

    def own_files(self) -> Iterator[tuple[str, int]]:
        """(name, address) of files that no folder names. The names are made up here: they have none."""
        return iter(())

    def left_unnamed(self, named: Container[int]) -> Iterator[Left]:  # noqa: ARG002 - ext and NTFS have records
        """The files in use by their records, none of which is in `named`; what contradicts itself is left out."""
        return iter(())

    def is_damaged_folder(self, address: int) -> bool:  # noqa: ARG002 - known of NTFS
        """Whether a block of the folder's index is none, which the reader passes over without a word."""
        return False

    def names_of_large(self, address: int) -> Iterator[NamedRecord] | None:  # noqa: ARG002 - known of NTFS
        """The names in a folder of so many that the reader would take minutes; None of one that it is asked for."""
        return None

    def sequence_of(self, address: int) -> int:  # noqa: ARG002 - ext has one
        """The number that changes with each use of an address, where the reader does not give it; else 0."""
        return 0


class ExtLayout(Layout):
    """ext2 to ext4: inodes in a table for each group."""

    def __init__(self, view: View, superblock: ExtSuperblock) -> None:
        """Take the geometry from the superblock."""
        self._view, self._superblock = view, superblock
        self.block, self.inode = superblock.block_size, max(LEAST_SIZE, superblock.inode_size)
        self.inodes_per_group = max(1, superblock.inodes_per_group)
        self.groups = min(superblock.groups, -(-superblock.inodes // self.inodes_per_group))
        self._descriptor = max(_LEAST_DESCRIPTOR, superblock.descriptor_size)
        self._near = lru_cache(maxsize=_KEPT)(self._near_bytes)
        # A walk asks twice for each file, and files of a folder are in few groups.
        self.inode_table = lru_cache(maxsize=_KEPT)(self._inode_table)
        blocks = islice(superblock.descriptor_blocks(), _MOST_DESCRIPTORS // self.block)
        self._descriptors = b"".join(view.read(at, self.block) for at in blocks)

    def _inode_table(self, group: int) -> int | None:
        """Where the inodes of a group begin, bytes of the volume."""
        raw = self._descriptors[group * self._descriptor : (group + 1) * self._descriptor]
        told = parse_descriptor(raw) if len(raw) == self._descriptor else None
        return told.inode_table * self.block if told else None

    def inode_at(self, address: int) -> int | None:
        """Where an inode is, bytes of the volume."""
        group, index = divmod(address - 1, self.inodes_per_group)
        table = self.inode_table(group) if address > 0 else None
        return None if table is None else table + index * self.inode

    def record_places(self, address: int) -> list[Range]:
        """See Layout."""
        at = self.inode_at(address)
        return [] if at is None else [Range(self._view.start + at, self.inode)]

    def inode_of(self, address: int) -> ExtInode | None:
        """What the inode of an address says; None where it has no place."""
        at = self.inode_at(address)
        return None if at is None else parse_inode(self._near(at // _NEAR)[at % _NEAR : at % _NEAR + LEAST_SIZE])

    def whole_inode(self, address: int) -> bytes:
        """All bytes of an inode; b"" where it has no place."""
        at = self.inode_at(address)
        return b"" if at is None else self._view.read(at, self.inode)

    def inode_bytes(self, at: int) -> bytes:
        """As much of the inode at a byte of the volume as there is; more than one where they are small."""
        return self._near(at // _NEAR)[at % _NEAR : at % _NEAR + self.inode]

    def block_at(self, number: int) -> bytes:
        """A block of the volume."""
        return self._view.read(number * self.block, self.block)

    def _near_bytes(self, number: int) -> bytes:
        """The inodes around one, with what the last one has beyond: a walk asks for them one by one."""
        return self._view.read(number * _NEAR, _NEAR + LEAST_SIZE)

    def sequence_of(self, address: int) -> int:
        """The inode's generation, for which the rest of it is not parsed: each file of a walk is asked for it."""
        at = self.inode_at(address)
        return 0 if at is None else generation_in(self._near(at // _NEAR), at % _NEAR)

    def flags_of(self, address: int) -> int:
        """The inode's flags."""
        inode = self.inode_of(address)
        return inode.flags if inode else 0

    def own_files(self) -> Iterator[tuple[str, int]]:
        """See Layout."""
        journal = self._superblock.journal_inode
        if self._superblock.compatible & Compatible.HAS_JOURNAL and 0 < journal <= self._superblock.inodes:
            yield JOURNAL, journal

    @property
    def end(self) -> int:
        """Bytes of the volume, whether or not the disk has all of them."""
        return self._superblock.end

    def _is_of_user(self, address: int) -> bool:
        """Whether an inode is none of the file system's own."""
        return address >= _FIRST_OF_USER and address != self._superblock.orphan_file

    def left_unnamed(self, named: Container[int]) -> Iterator[Left]:
        """See Layout. Noise where inodes were would pass for files: checksums tell, else numbers of blocks that are."""
        size, superblock = self.inodes_per_group * self.inode, self._superblock
        for group in range(self.groups):
            table = self.inode_table(group)
            for first in range(0, size if table and table + size <= self._view.size else 0, _AT_ONCE * self.inode):
                raw = self._view.read((table or 0) + first, min(_AT_ONCE * self.inode, size - first))
                number = group * self.inodes_per_group + first // self.inode + 1
                for index, inode in inodes_in_use(raw, self.inode):
                    address = number + index
                    if address in named or not self._is_of_user(address) or not inode.is_plausible(superblock.blocks):
                        continue
                    own = raw[index * self.inode : (index + 1) * self.inode]
                    if (inode.is_regular or inode.is_directory_in_use) and self._holds(own, address):
                        yield Left(address, inode.is_directory_in_use)

    def _holds(self, raw: bytes, address: int) -> bool:
        return not self._superblock.has_checksums or inode_holds(raw, address, self._superblock.seed)


class FatLayout(Layout):
    """FAT and exFAT: an address is the place of the directory entry, and the chain of clusters is in the FAT."""

    def __init__(self, view: View, boot: FatBoot | ExfatBoot) -> None:
        """Take the geometry from the boot sector."""
        self._start, self._boot, self.is_exfat = view.start, boot, isinstance(boot, ExfatBoot)
        # The reader numbers entries from the first sector that can hold any.
        self._first = boot.heap if isinstance(boot, ExfatBoot) else boot.root
        self.root = boot.place(max(FIRST_CLUSTER, boot.root)) if isinstance(boot, ExfatBoot) else 0

    def record_places(self, address: int) -> list[Range]:
        """See Layout; of exFAT the longest set of entries that can begin there."""
        if address < _FIRST_FAT_INODE:
            return []
        sector, entry = divmod(address - _FIRST_FAT_INODE, self._boot.sector_size // ENTRY)
        count = _EXFAT_MOST_ENTRIES if self.is_exfat else 1
        return [Range(self._start + (self._first + sector) * self._boot.sector_size + entry * ENTRY, count * ENTRY)]

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Range]:
        """The entries of the FAT for the clusters of a file."""
        boot, bits = self._boot, self._boot.entry_bits
        for extent in extents:
            cluster = (extent.start - self._start - boot.heap_start) // boot.cluster_size + FIRST_CLUSTER
            count = -(-extent.length // boot.cluster_size)
            lower, upper = cluster * bits // 8, -(-(cluster + count) * bits // 8)
            if cluster >= FIRST_CLUSTER:  # the root of FAT12 and FAT16 is in none
                yield Range(self._start + boot.fat_start + lower, upper - lower)


class NtfsLayout(Layout):
    """NTFS: records in $MFT, whose own runs say where they are."""

    def __init__(self, view: View, boot: NtfsBoot, runs: Iterable[tuple[int, int, int]]) -> None:
        """`runs` of $MFT's data: (cluster, clusters, first cluster of the stream)."""
        self._view, self._record, self._cluster = view, boot.record_size, boot.cluster_size
        cluster = self._cluster
        self._extents = sorted((at * cluster, view.start + place * cluster, n * cluster) for place, n, at in runs)
        self._offsets = [offset for offset, _, _ in self._extents]

    def record_places(self, address: int) -> list[Range]:
        """See Layout."""
        return self.places(address * self._record, (address + 1) * self._record)

    def places(self, offset: int, end: int) -> list[Range]:
        """Where bytes of $MFT are, bytes of the disk."""
        places, index = [], max(0, bisect_right(self._offsets, offset) - 1)
        at, start, length = self._extents[index] if self._extents else (0, 0, 0)
        if at <= offset and end <= at + length:  # as of most
            return [Range(start + offset - at, end - offset)]
        for at, start, length in self._extents[index:]:
            lower, upper = max(offset, at), min(end, at + length)
            if at >= end:
                break
            if lower < upper:
                places.append(Range(start + lower - at, upper - lower))
        return places

    def left_unnamed(self, named: Container[int]) -> Iterator[Left]:
        """See Layout."""
        end = sum(length for _, _, length in self._extents)
        for address in range(_FIRST_OF_NTFS_USER, end // self._record):
            if address not in named and (left := name_of(self._raw(address), address)):
                yield Left(address, left.is_folder, left.name, left.parent)

    def is_damaged_folder(self, address: int) -> bool:
        """See Layout."""
        return any(
            not index_holds(block, at, self._cluster)
            for index in runs_of(self._raw(address))
            if index.is_index
            for at, block in self._blocks_of(index)
        )

    def _blocks_of(self, index: NtfsData) -> Iterator[tuple[int, bytes]]:
        """The blocks of a folder's index that were ever written, each with its place in the index."""
        cluster, size = self._cluster, 0
        for first, place, count in index.placed():
            raw = self._view.read(place * cluster, min(count * cluster, _MOST_INDEX))
            size = size or index_block_size(raw)
            begin = (index.first + first) * cluster
            for at in range(0, min(len(raw), index.initialized - begin) - size + 1, size):
                yield begin + at, raw[at : at + size]

    def names_of_large(self, address: int) -> Iterator[NamedRecord] | None:
        """See Layout: the reader compares each name with all before it, 50 s for 100,000 of them."""
        raw = self._raw(address)
        indexes = [index for index in runs_of(raw) if index.is_index]
        used = self._used_blocks(raw)
        is_large = len(indexes) == 1 and not indexes[0].first and indexes[0].size > _LARGE_INDEX
        return chain(names_in_root(raw), self._names_in(indexes[0], used)) if is_large and used else None

    def names_of_whole(self, address: int, most: int) -> list[NamedRecord] | None:
        """The names in a folder of at most so many bytes; None where its index is not whole."""
        raw = self._raw(address)
        indexes = [index for index in runs_of(raw) if index.is_index]
        if not indexes:
            return list(names_in_root(raw))
        used, index = self._used_blocks(raw), indexes[0]
        if len(indexes) > 1 or index.first or index.size > most or not used or self.is_damaged_folder(address):
            return None
        return [*names_in_root(raw), *self._names_in(index, used)]

    def _names_in(self, index: NtfsData, used: bytes) -> Iterator[NamedRecord]:
        cluster, size, end = self._cluster, 0, min(index.size, index.initialized)
        for first, place, count in index.placed():
            begin = first * cluster
            for near in range(0, min(count * cluster, end - begin), _AT_ONCE_OF_INDEX):
                raw = self._view.read(place * cluster + near, min(_AT_ONCE_OF_INDEX, count * cluster - near))
                size = size or index_block_size(raw)
                for at in range(0, min(len(raw), end - begin - near) - size + 1, size):
                    number, block = (begin + near + at) // size, raw[at : at + size]
                    is_used = number // 8 < len(used) and used[number // 8] >> number % 8 & 1
                    if is_used and index_holds(block, begin + near + at, cluster):
                        yield from names_in_block(block)

    def _used_blocks(self, raw: bytes) -> bytes:
        """Which blocks of a folder's index are in use, a bit each; what is in the others was moved, or is deleted."""
        bitmap, cluster = bitmap_of(raw), self._cluster
        if bitmap is None or isinstance(bitmap, bytes):
            return bitmap or b""
        parts = ((place * cluster, count * cluster) for _, place, count in bitmap.placed())
        return b"".join(self._view.read(at, min(length, _MOST_INDEX)) for at, length in parts)

    def _raw(self, address: int) -> bytes:
        """The record of an address, as it stands."""
        view = self._view
        return b"".join(view.read(start - view.start, length) for start, length in self.record_places(address))

    def initialized(self, address: int) -> int | None:
        """How far the data of a file was ever written, bytes; past that it reads as zeros, whatever is there.

        None where its record does not say: the data is in the record, or described in another one.
        """
        data = parse_data(self._raw(address))
        return data.initialized if data else None
