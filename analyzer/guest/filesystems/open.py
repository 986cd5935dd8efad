"""The volumes of a disk."""

from dataclasses import replace

from analyzer.guest.filesystems.backups import with_backups
from analyzer.guest.filesystems.lost_ntfs import lost_ntfs
from analyzer.guest.filesystems.reader_process import ReaderProcess
from analyzer.guest.filesystems.readings import EXT, named_volumes, volumes_beneath
from analyzer.guest.filesystems.volume import Volume, open_volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.detect import recognise
from analyzer.guest.layouts.ntfs import SIZE
from analyzer.guest.layouts.partitions import Partition, Scheme, partitions_of
from vhdx.structures.constants import SECTOR_SIZES


def open_volumes(disk: ReadableDisk) -> list[Volume]:
    """All volumes of a disk, by place, numbered from 1; those that cannot be read say why.

    Last come those that take all of the disk where others than ext lie over them, or their table. The disk stays the
    caller's to close, after the volumes are done with. Raises MissingReaderError.
    """
    reader, parts, read = ReaderProcess(disk), _with_lost(disk, parts_of(disk)), View(disk, 0, disk.size).read
    volumes = [open_volume(reader, number, part) for number, part in enumerate(parts, 1)]
    standing = {volume.record.type for volume in volumes if volume.record.start == 0}
    if any(kind.startswith(EXT) for kind in standing):
        # Some 150 places of a disk are far chunks of a repository; `check --content` looks at them all the same.
        return volumes
    for whole in volumes_beneath(read, disk.size, standing):
        over = [f"over it lies {text}" for text in named_volumes(read, parts, disk.size)]
        part = Partition(0, 0, disk.size, made=whole.made, is_beneath=True)
        how = "other volumes were" if over else "the partition table was"
        notes = (f"it takes all of the disk: {how} written over it, or it is older than that; {whole}", *over)
        beneath = open_volume(reader, len(volumes) + 1, part, notes)
        beneath.record = replace(beneath.record, beneath=bool(over))
        volumes.append(beneath)
    return volumes


def _with_lost(disk: ReadableDisk, parts: list[Partition]) -> list[Partition]:
    """The partitions, those of NTFS whose beginning is lost with one that was made for them."""
    lost = [part for part in parts if _lacks_front(View(disk, part.start, part.end - part.start), part)]
    found = {part.start: part for part in lost_ntfs(disk)} if lost else {}
    if parts[0].scheme is Scheme.NONE:
        return list(found.values()) or parts
    return [replace(part, made=found[part.start].made) if part in lost and part.start in found else part
            for part in parts]  # fmt: skip


def _lacks_front(view: View, part: Partition) -> bool:
    """Whether nothing is known that begins so: zeros are no loss, but of a disk that has no partition table."""
    _, found = with_backups(view, recognise(view.read))
    front, is_lost = view.read(0, SIZE), bool(view.missed)
    return found.type == "unknown" and (is_lost or any(front) or part.scheme is Scheme.NONE)


def parts_of(disk: ReadableDisk) -> list[Partition]:
    """The partitions, by place; the whole disk where there is no partition table."""
    sectors = sorted(SECTOR_SIZES, key=lambda size: size != disk.sector_size)
    parts = partitions_of(View(disk, 0, disk.size).read, disk.size, sectors)
    inside = [part for part in parts if part.start < min(part.end, disk.size)]
    return sorted(inside, key=lambda part: part.start) or [Partition(0, 0, disk.size)]
