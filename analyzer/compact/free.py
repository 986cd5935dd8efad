"""What the volumes of a disk call free: nobody misses it. What a volume does not prove stays."""

from dataclasses import dataclass
from pathlib import Path

from analyzer.convert.disks import OverlaidDisk
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.usage.clean import why_unclean
from analyzer.guest.usage.volumes import FoundVolume, usages_of, volumes_of
from vhdx.disk import Disk, DiskSource
from vhdx.ranges import NO_RANGES, Range, Ranges, union
from vhdx.runs import Kind, RunTable
from vhdx.source import MemorySource


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpace:
    """One volume: bytes of the disk, from `start` on."""

    start: int
    length: int
    free_bytes: int
    why_kept: str = ""
    """Why its free space is left alone, a clause; "" where it is not."""


@dataclass(frozen=True, slots=True, eq=False)
class FreeSpace:
    """What may go of a disk, and what each volume has of it."""

    ranges: Ranges = NO_RANGES
    volumes: tuple[VolumeSpace, ...] = ()


def free_space_of(disk: Disk) -> FreeSpace:
    """The free space of all volumes that were closed cleanly and whose maps can be read.

    A byte that any volume or partition table has in use is not free, whatever another says. Raises what reading raises.
    """
    readable = ReadableDisk(disk)
    volumes = volumes_of(readable)
    kept = [why_unclean(one) or ("" if one.usage.is_readable else "what it holds is not known") for one in volumes]
    told = union(one.usage.told for one, why in zip(volumes, kept, strict=True) if not why)
    usages = usages_of(readable, volumes)
    filled = (Ranges.between(one.filled.start, one.filled.start + one.filled.length) for one in usages)
    used = union([*(one.used for one in usages), *filled])
    free = told - used
    return FreeSpace(free, tuple(_space(one, why, free) for one, why in zip(volumes, kept, strict=True)))


def _space(volume: FoundVolume, why_kept: str, free: Ranges) -> VolumeSpace:
    extent = volume.usage.extent
    mine = free.within(extent).size if not why_kept else 0
    return VolumeSpace(start=extent.start, length=extent.length, free_bytes=mine, why_kept=why_kept)


def without(disk: DiskSource, free: Ranges) -> DiskSource:
    """The disk, zeros in these ranges."""
    if not len(free):
        return disk
    zeros = RunTable.marking(free, Range(0, disk.size), Kind.ZERO)
    return OverlaidDisk(disk, zeros, MemorySource(b"", Path("free space")))
