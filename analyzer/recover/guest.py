"""What WSL and Docker keep in their disks: one ext volume without partitions, recognised by any of its superblocks."""

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.recover.filled import FilledDisk
from analyzer.volumes.ext import SIZE, SPARSE_GROUPS, START, parse_sound_superblock
from vhdx.reader import Reader

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
        found = parse_sound_superblock(reader.read(place, SIZE))
        if found and found.group == group and found.takes_all(disk.size):
            block = 0 if group == 0 else place // block_size
            return WholeVolume(found.block_size, block, found.blocks)
    return None


def _places(size: int) -> Iterator[tuple[int, int, int]]:
    """(byte of the disk, group, block size) of where superblocks stand as mkfs.ext4 puts them."""
    yield START, 0, _BLOCK_SIZES[0]
    for block_size in _BLOCK_SIZES:
        for group in SPARSE_GROUPS:
            at = (group * _BITS * block_size + (block_size == SIZE)) * block_size
            if group < _MOST_GROUPS and at + SIZE <= size:
                yield at, group, block_size
