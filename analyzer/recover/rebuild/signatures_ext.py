"""Signs of ext: superblocks, which name their group; bitmaps and inodes, by their checksums; directories by both."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from analyzer.guest.layouts.detect import recognise
from analyzer.guest.layouts.ext import (
    SIZE,
    SPARSE_GROUPS,
    START,
    ExtGroup,
    ExtSuperblock,
    GroupFlag,
    ReadOnly,
    likely_places,
    parse_descriptor,
    parse_sound_superblock,
    sums_to,
)
from analyzer.guest.layouts.ext_inodes import (
    ExtInode,
    InodeFlag,
    directory_holds,
    inode_holds,
    inodes_in_use,
)
from analyzer.recover.rebuild.signatures import Sign, read_known, read_known_steps, volumes_of
from vhdx.disk import Disk
from vhdx.structures.constants import MIB

# 512 GiB in groups of 128 MiB: further groups only bring more of the same evidence.
_MOST_GROUPS = 4096
_MOST_DIRECTORIES = 4096


@dataclass(frozen=True, slots=True)
class _Ext:
    """A volume, by its superblock, that begins at byte `start` of the disk."""

    start: int
    told: ExtSuperblock

    def at(self, block: int) -> int:
        """The byte of the disk at which a block of the volume begins."""
        return self.start + block * self.told.block_size

    def group_at(self, group: int) -> int:
        """The byte of the disk at which a group begins."""
        return self.start + self.told.copy_of(group)


def superblock_signs(disk: Disk) -> Iterator[Sign]:
    """The superblock at the front of each volume, and its backups: the first of what is left tells the others."""
    for start, end in volumes_of(disk):
        known = _find(disk, start, end)
        told = known.told if known else None
        what = f"the superblock of the ext volume at byte {start}"
        fits = partial(_is_copy, told, end - start, 0, START)
        yield Sign(what, start + START, SIZE, fits, is_expected=told is not None)
        if known:
            for group, at in islice(known.told.copies(), _MOST_GROUPS):
                what = f"the backup superblock of group {group} of the ext volume at byte {start}"
                yield Sign(what, start + at, SIZE, partial(_is_copy, told, end - start, group, at))
        elif _is_unnamed(disk, start):
            what = f"the backup superblock of group 1 of an ext volume at byte {start}"
            for at in (at for at, group, _ in likely_places(end - start) if group == 1):
                fits = partial(_is_copy, None, end - start, 1, at)
                yield Sign(what, start + at, SIZE, fits, is_expected=False)


def _is_unnamed(disk: Disk, start: int) -> bool:
    """Whether no boot sector says that another file system begins there."""
    return recognise(lambda at, length: read_known(disk, start + at, length)).front is None


def _is_copy(known: ExtSuperblock | None, room: int, group: int, at: int, raw: bytes) -> bool:
    """Whether a superblock is this volume's, which has `room` bytes, as it stands in this group, at a byte of it."""
    found = parse_sound_superblock(raw)
    if found is None or found.group != group:
        return False
    if known:
        return found.uuid == known.uuid
    # A disk with partitions and one volume as good as fills it: only one that ends where the disk does begins with it.
    return 0 <= room - found.end < MIB and (at == START or found.copy_of(group) == at)


def _find(disk: Disk, start: int, end: int) -> _Ext | None:
    """The volume by its superblock, or by a backup that stands where most have one."""
    for at, group, _ in ((START, 0, 0), *likely_places(end - start)):
        found = parse_sound_superblock(read_known(disk, start + at, SIZE))
        if found and found.group == group and (at == START or found.copy_of(group) == at):
            return _Ext(start, found)
    return None


def _with_backup(groups: int) -> list[int]:
    return [group for group in SPARSE_GROUPS if group < min(groups, _MOST_GROUPS)]


def group_signs(disk: Disk) -> Iterator[Sign]:
    """What the group descriptors of each volume tell the place and the checksum of."""
    for start, end in volumes_of(disk):
        ext = _find(disk, start, end)
        if ext and ext.told.read_only & ReadOnly.METADATA_CHECKSUM:
            for number, group in enumerate(_descriptors(disk, ext)):
                yield from _signs_of_group(ext, number, group)


def _descriptors(disk: Disk, ext: _Ext) -> Iterator[ExtGroup]:
    """The group descriptors: behind the superblock, or behind a backup of it."""
    step, groups = ext.told.descriptor_size, ext.told.groups
    for group in (0, *_with_backup(groups)):
        table = read_known(disk, ext.group_at(group) + ext.told.block_size, step * min(groups, _MOST_GROUPS))
        if any(table):
            return filter(None, (parse_descriptor(table[at : at + step]) for at in range(0, len(table), step)))
    return iter(())


def _signs_of_group(ext: _Ext, number: int, group: ExtGroup) -> Iterator[Sign]:
    of, told = f"of group {number} of the ext volume at byte {ext.start}", ext.told
    if not group.flags & GroupFlag.BLOCK_BITMAP_UNUSED:
        fits = partial(sums_to, group.block_bitmap_checksum, before=told.seed)
        yield Sign(f"the block bitmap {of}", ext.at(group.block_bitmap), told.blocks_per_group // 8, fits)
    if group.flags & GroupFlag.INODES_UNUSED:
        return
    fits = partial(sums_to, group.inode_bitmap_checksum, before=told.seed)
    yield Sign(f"the inode bitmap {of}", ext.at(group.inode_bitmap), told.inodes_per_group // 8, fits)
    # Four places for each MiB of an inode table: blocks are at least 1 MiB, and inodes are mostly used from the front
    # on.
    per_block = told.block_size // told.inode_size
    for block in range(0, told.inodes_per_group // per_block, max(1, (1 << 20) // told.block_size // 4)):
        first = number * told.inodes_per_group + block * per_block + 1
        fits = partial(_are_inodes, told, first)
        yield Sign(f"the inodes from {first} on {of}", ext.at(group.inode_table + block), told.block_size, fits)


def directory_signs(disk: Disk) -> Iterator[Sign]:
    """The first block of each directory whose inode stands: it begins with the number of that inode."""
    for start, end in volumes_of(disk):
        ext = _find(disk, start, end)
        if ext and ext.told.read_only & ReadOnly.METADATA_CHECKSUM:
            for number, inode in islice(_directories(disk, ext), _MOST_DIRECTORIES):
                if block := inode.first_block:
                    fits = partial(directory_holds, number=number, generation=inode.generation, seed=ext.told.seed)
                    what = f"the directory in inode {number} of the ext volume at byte {start}"
                    yield Sign(what, ext.at(block), ext.told.block_size, fits)


def _directories(disk: Disk, ext: _Ext) -> Iterator[tuple[int, ExtInode]]:
    size, per_group = ext.told.inode_size, ext.told.inodes_per_group
    for number, group in enumerate(_descriptors(disk, ext)):
        if group.flags & GroupFlag.INODES_UNUSED:
            continue
        for at, raw in read_known_steps(disk, ext.at(group.inode_table), per_group * size, ext.told.block_size):
            for index, inode in inodes_in_use(raw, size):
                if inode.is_directory_in_use:
                    yield number * per_group + at // size + index + 1, inode


def file_ends(disk: Disk) -> Iterator[tuple[int, int]]:
    """The byte of the disk behind the last one of each file that ends inside of a block, and where that block ends."""
    for start, end in volumes_of(disk):
        if ext := _find(disk, start, end):
            for group in _descriptors(disk, ext):
                if not group.flags & GroupFlag.INODES_UNUSED:
                    yield from _ends_of_group(disk, ext, group)


def _ends_of_group(disk: Disk, ext: _Ext, group: ExtGroup) -> Iterator[tuple[int, int]]:
    told, block = ext.told, ext.told.block_size
    used = (told.inodes_per_group - min(group.unused_inodes, told.inodes_per_group)) * told.inode_size
    read = partial(_read_inside, disk, ext)
    for _, raw in read_known_steps(disk, ext.at(group.inode_table), used, block):
        for _, inode in inodes_in_use(raw, told.inode_size):
            within = inode.size % block
            if inode.is_regular and within and not inode.flags & InodeFlag.INLINE:
                last = inode.size - within
                for first, place, length in inode.placed(block, read, []):
                    if first <= last < first + length:
                        yield ext.start + place + last - first + within, ext.start + place + last - first + block


def _read_inside(disk: Disk, ext: _Ext, at: int, length: int) -> bytes | None:
    return read_known(disk, ext.start + at, length) or None


def _are_inodes(told: ExtSuperblock, first: int, raw: bytes) -> bool:
    """Whether any inode in a block is in use and has the checksum that it has with these numbers."""
    inodes = (raw[at : at + told.inode_size] for at in range(0, len(raw), told.inode_size))
    return any(any(inode) and inode_holds(inode, number, told.seed) for number, inode in enumerate(inodes, first))
