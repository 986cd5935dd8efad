"""The volumes of a disk."""

from dataclasses import replace

from analyzer.guest.filesystems.reader_process import ReaderProcess
from analyzer.guest.filesystems.readings import named_volumes, whole_ext
from analyzer.guest.filesystems.volume import Volume, open_volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.partitions import Partition, partitions_of
from vhdx.structures.constants import SECTOR_SIZES


def open_volumes(disk: ReadableDisk) -> list[Volume]:
    """All volumes of a disk, by place, numbered from 1; those that cannot be read say why.

    Last comes an ext volume that takes all of the disk where others lie over it, or their table. The disk stays the
    caller's to close, after the volumes are done with. Raises MissingReaderError.
    """
    reader, parts, read = ReaderProcess(disk), parts_of(disk), View(disk, 0, disk.size).read
    volumes = [open_volume(reader, number, part) for number, part in enumerate(parts, 1)]
    if any(volume.record.start == 0 and volume.record.type.startswith("ext") for volume in volumes):
        return volumes
    whole = whole_ext(read, disk.size)
    if whole is None:
        return volumes
    over = [f"over it lies {text}" for text in named_volumes(read, parts, disk.size)]
    part = Partition(0, 0, disk.size, is_beneath=True)
    how = "other volumes were" if over else "the partition table was"
    notes = (f"it takes all of the disk: {how} written over it, or it is older than that; {whole}", *over)
    beneath = open_volume(reader, len(parts) + 1, part, notes)
    beneath.record = replace(beneath.record, beneath=bool(over))
    return [*volumes, beneath] if beneath.is_readable else volumes


def parts_of(disk: ReadableDisk) -> list[Partition]:
    """The partitions, by place; the whole disk where there is no partition table."""
    sectors = sorted(SECTOR_SIZES, key=lambda size: size != disk.sector_size)
    parts = partitions_of(View(disk, 0, disk.size).read, disk.size, sectors)
    inside = [part for part in parts if part.start < min(part.end, disk.size)]
    return sorted(inside, key=lambda part: part.start) or [Partition(0, 0, disk.size)]
