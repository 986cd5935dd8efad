"""The volumes of a disk."""

from analyzer.guest.filesystems.reader_process import ReaderProcess
from analyzer.guest.filesystems.volume import Volume, open_volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.partitions import Partition, Scheme, partitions_of
from vhdx.structures.constants import SECTOR_SIZES

_UNDER_TABLE = "it takes all of the disk: the partition table was written over it, or it is older than the table"


def open_volumes(disk: ReadableDisk) -> list[Volume]:
    """All volumes of a disk, by place, numbered from 1; those that cannot be read say why.

    The disk stays the caller's to close, after the volumes are done with. Raises MissingReaderError.
    """
    reader, parts = ReaderProcess(disk), parts_of(disk)
    volumes = [open_volume(reader, number, part) for number, part in enumerate(parts, 1)]
    if parts[0].scheme is Scheme.NONE or any(volume.record.type != "unknown" for volume in volumes):
        return volumes
    # Windows "initialises" a disk that it does not know with an empty partition table, over a volume that takes all.
    whole = open_volume(reader, len(parts) + 1, Partition(0, 0, disk.size), (_UNDER_TABLE,))
    return [*volumes, whole] if whole.is_readable else volumes


def parts_of(disk: ReadableDisk) -> list[Partition]:
    """The partitions, by place; the whole disk where there is no partition table."""
    sectors = sorted(SECTOR_SIZES, key=lambda size: size != disk.sector_size)
    parts = partitions_of(View(disk, 0, disk.size).read, disk.size, sectors)
    inside = [part for part in parts if part.start < min(part.end, disk.size)]
    return sorted(inside, key=lambda part: part.start) or [Partition(0, 0, disk.size)]
