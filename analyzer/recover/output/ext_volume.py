"""What WSL and Docker keep in their disks: one ext volume without partitions, recognised by any of its superblocks."""

from dataclasses import dataclass

from analyzer.guest.layouts.detect import recognise
from analyzer.guest.layouts.ext import SIZE, START, likely_places, parse_sound_superblock
from analyzer.guest.layouts.partitions import bounded, partitions_of
from analyzer.recover.disk.filled import FilledDisk
from vhdx.reader import Reader
from vhdx.structures.constants import SECTOR_SIZES


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
    for part in partitions_of(bounded(reader.read, 0, disk.size), disk.size, SECTOR_SIZES):
        if recognise(bounded(reader.read, part.start, min(part.end, disk.size))).front:
            return None  # the disk has volumes in partitions: what takes all of it is one of former days
    for place, group, block_size in ((START, 0, SIZE), *likely_places(disk.size)):
        found = parse_sound_superblock(reader.read(place, SIZE))
        if found and found.group == group and found.takes_all(disk.size):
            block = 0 if group == 0 else place // block_size
            return WholeVolume(found.block_size, block, found.blocks)
    return None
