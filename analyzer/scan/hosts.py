"""The disks of hosts among the places that a scan was given: raw images and block devices that hold VHDX files."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems.open import parts_of
from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.detect import recognise
from analyzer.guest.layouts.partitions import Scheme
from analyzer.host_disk.search import HostDisk, search
from analyzer.progress import Progress, no_progress
from vhdx.errors import VhdxError

Hosts = tuple[tuple[Path, HostDisk], ...]
"""What lies in each disk of a host."""
LookInto = Callable[[RawDisk], HostDisk]
"""What finds the files in one."""


def look_into(disk: RawDisk, tick: Progress = no_progress) -> HostDisk:
    """All VHDX files of a disk; see `search`."""
    return search(disk, tick)


def search_hosts(devices: Iterable[Path], files: Iterable[Path], how: LookInto) -> Hosts:
    """What lies in these devices, and in those of the files that have volumes.

    Raises InputOutputError for a device that cannot be opened.
    """
    return tuple(_searched((*devices, *filter(_has_volumes, files)), how))


def _searched(paths: Iterable[Path], how: LookInto) -> Iterator[tuple[Path, HostDisk]]:
    for path in paths:
        with RawDisk(path) as disk:
            yield path, how(disk)


def _has_volumes(path: Path) -> bool:
    """Whether a file has a partition table, or begins as a volume does."""
    with suppress(VhdxError), RawDisk(path) as raw:
        disk = ReadableDisk(raw)
        parts = parts_of(disk)
        return parts[0].scheme is not Scheme.NONE or recognise(View(disk, 0, disk.size).read).type != "unknown"
    return False
