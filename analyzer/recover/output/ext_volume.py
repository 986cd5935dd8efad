"""What WSL and Docker keep in their disks: one ext volume without partitions, recognised by any of its superblocks."""

from dataclasses import dataclass

from analyzer.guest.layouts.ext import SIZE, START, likely_places, parse_sound_superblock
from analyzer.recover.disk.filled import FilledDisk
from vhdx.reader import Reader


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
    for place, group, block_size in ((START, 0, SIZE), *likely_places(disk.size)):
        found = parse_sound_superblock(reader.read(place, SIZE))
        if found and found.group == group and found.takes_all(disk.size):
            block = 0 if group == 0 else place // block_size
            return WholeVolume(found.block_size, block, found.blocks)
    return None
