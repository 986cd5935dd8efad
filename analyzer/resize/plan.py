"""What stands in the way of another size, and what of the disk has to be written for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.detect import end_of
from analyzer.guest.layouts.gpt import GptCopy, build_moved
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.layouts.partitions import MBR_SIZE, Scheme, gpt_copies, with_last_sector
from analyzer.guest.usage.volumes import FoundVolume, volumes_of
from vhdx.disk import Disk
from vhdx.errors import OutputError
from vhdx.structures.constants import MAX_DISK_SIZE, MIB

Pieces = tuple[tuple[int, bytes], ...]


class Gpt(Enum):
    """What is done about the backup of a GPT, which belongs to the disk's end."""

    LEAVE = "leave"
    MOVE = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizePlan:
    """Another size for a disk; sizes are bytes. Nothing was touched to make it."""

    size_before: int
    size: int
    least: int
    """The least size that keeps every partition and volume."""
    pieces: Pieces
    """What is written to the disk, in this order: each durable before the next."""
    gpt_is_left: bool
    """There is a GPT, and its backup will not be at the disk's end."""


def plan_resize(disk: Disk, size: int | None, gpt: Gpt) -> ResizePlan:
    """The plan for a size, the least one where it is None.

    Raises OutputError for a size that would cut a partition or a volume, or what nothing is known of; and what reading
    raises.
    """
    copy = _copy_of(disk)
    least = least_size(disk, copy)
    size = least if size is None else size
    if size % disk.sector_size or not 0 < size <= MAX_DISK_SIZE:
        reason = f"a disk of {size} bytes is none of whole sectors of {disk.sector_size} bytes up to 64 TiB"
        raise OutputError(disk.path, reason, "give another size, such as 127G")
    if size < least:
        reason = f"its partitions and volumes end at {least}, and {size} bytes would cut them"
        raise OutputError(disk.path, reason, "make them smaller in the guest first, or give a larger size")
    is_left = copy is not None and size != disk.size and gpt is Gpt.LEAVE
    # Of the same size too: what was interrupted may have grown the disk and nothing else.
    moved = _moved(disk, copy, size) if copy and gpt is Gpt.MOVE else ()
    pieces = tuple(piece for piece in moved if not _is_there(disk, *piece))
    return ResizePlan(size_before=disk.size, size=size, least=least, pieces=pieces, gpt_is_left=is_left)


def _is_there(disk: Disk, start: int, data: bytes) -> bool:
    return start + len(data) <= disk.size and disk.read(start, len(data)) == data


def least_size(disk: Disk, copy: GptCopy | None) -> int:
    """Where the last partition or volume ends, with room for the backup of a GPT; all of a disk of neither."""
    volumes = volumes_of(ReadableDisk(disk))
    if volumes[0].part.scheme is Scheme.NONE and not volumes[0].usage.is_readable:
        return disk.size
    ends = (_end_of_volume(one) if one.part.scheme is Scheme.NONE else one.part.end for one in volumes)
    end, sector = max(ends), disk.sector_size
    if copy:
        sector = copy.header.sector_size
        end += (-(-len(copy.table) // sector) + 1) * sector
    return min(disk.size, -(-end // sector) * sector)


def _end_of_volume(volume: FoundVolume) -> int:
    """Where a volume without a partition ends, by its first sector, and not before anything that it has in use."""
    used, front = volume.usage.used, volume.front
    if front is None:  # what is known of it is its extent
        return volume.usage.extent.end
    end = volume.part.start + end_of(front)
    if isinstance(front, NtfsBoot):  # its copy is in the partition's last sector, which may be behind the last cluster
        end = -(-(end + 1) // MIB) * MIB
    return max(end, int((used.start + used.length).max(initial=0)))


def _copy_of(disk: Disk) -> GptCopy | None:
    """A copy of the GPT that is whole, the first before the backup."""
    read = View(ReadableDisk(disk), 0, disk.size).read
    sectors = dict.fromkeys((disk.sector_size, 512, 4096))
    return next((copy for sector in sectors for copy in gpt_copies(read, disk.size, sector)), None)


def _moved(disk: Disk, copy: GptCopy, size: int) -> Iterator[tuple[int, bytes]]:
    """The backup at its new place, then the primary, then the size in the protective MBR."""
    sector = copy.header.sector_size
    last = size // sector - 1
    primary, backup = build_moved(copy.header, copy.table, last)
    table = copy.table + bytes(-len(copy.table) % sector)
    yield last * sector - len(table), table
    yield last * sector, backup
    yield sector, primary
    front = disk.read(0, MBR_SIZE)
    yield 0, with_last_sector(front, last)
