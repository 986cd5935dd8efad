"""A disk without what its volumes call free."""

from pathlib import Path

from analyzer.convert.disks import OverlaidDisk
from vhdx.disk import DiskSource
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, RunTable
from vhdx.source import MemorySource


def without(disk: DiskSource, free: Ranges) -> DiskSource:
    """The disk, zeros in these ranges."""
    if not len(free):
        return disk
    zeros = RunTable.marking(free, Range(0, disk.size), Kind.ZERO)
    return OverlaidDisk(disk, zeros, MemorySource(b"", Path("free space")))
