"""What WSL and Docker keep in their disks: one ext volume without partitions, recognised by any of its superblocks."""

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.recover.filled import FilledDisk
from analyzer.salvage.signs_ext import Ext, parse_ext
from vhdx.reader import Reader

_SIZE, _PRIMARY = 1024, 1024
_BLOCK_SIZES = (4096, 1024, 2048)
_MOST_GROUPS = 1 << 12
_BITS = 8
"""A group has as many blocks as its bitmap, one block long, has bits."""


@dataclass(frozen=True, slots=True)
class WholeVolume:
    """An ext volume that is all of a disk. `superblock` is the block of the copy that stands; 0 for the first."""

    block_size: int
    superblock: int
    blocks: int

    @property
    def is_whole_in_front(self) -> bool:
        """The first superblock stands, which is what programs look for."""
        return self.superblock == 0

    def __str__(self) -> str:
        text = "the disk is one ext volume without partitions, as WSL and Docker have it"
        if self.is_whole_in_front:
            return f"{text}; its superblock stands"
        return f"{text}; its superblock is lost, a backup stands: e2fsck -b {self.superblock} -B {self.block_size}"


def whole_volume(disk: FilledDisk) -> WholeVolume | None:
    """The ext volume that takes all of the disk, by its superblock, else by a backup; None where there is none."""
    reader = Reader(disk)
    for place, group, block_size in _places(disk.size):
        raw = reader.read(place, _SIZE)
        found = parse_ext(raw, 0)
        if found and int.from_bytes(raw[90:92], "little") == group and _takes_all(found, disk.size):
            block = 0 if group == 0 else place // block_size
            return WholeVolume(found.block, block, found.blocks)
    return None


def _places(size: int) -> Iterator[tuple[int, int, int]]:
    """(byte of the disk, group, block size) of where superblocks stand as mkfs.ext4 puts them."""
    yield _PRIMARY, 0, _BLOCK_SIZES[0]
    powers = {base**power for base in (3, 5, 7) for power in range(1, 8)}
    for block_size in _BLOCK_SIZES:
        for group in sorted({1} | powers):
            at = (group * _BITS * block_size + (block_size == _PRIMARY)) * block_size
            if group < _MOST_GROUPS and at + _SIZE <= size:
                yield at, group, block_size


def _takes_all(found: Ext, size: int) -> bool:
    return 0 <= size - found.blocks * found.block < found.blocks_per_group * found.block
