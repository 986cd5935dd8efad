"""What all volumes of a disk have in use, and their partition tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from analyzer.guest.filesystems.backups import with_backups
from analyzer.guest.filesystems.open import parts_of
from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.detect import Front, recognise
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.ext import ExtSuperblock
from analyzer.guest.layouts.fat import FatBoot
from analyzer.guest.layouts.gpt import GptHeader
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.layouts.partitions import MBR_SIZE, Partition, Scheme, gpt_copies
from analyzer.guest.usage.btrfs import usage_of_btrfs
from analyzer.guest.usage.ext import ExtUsage
from analyzer.guest.usage.fat import ExfatUsage, usage_of_fat
from analyzer.guest.usage.model import Extents, Known, Usage
from analyzer.guest.usage.ntfs import NtfsUsage
from analyzer.guest.usage.xfs import usage_of_xfs
from vhdx.ranges import Range
from vhdx.structures.constants import MIB, SECTOR_SIZES

# Where the first partition begins on disks whose partition table is lost: today's systems, and those before 2009.
_USUAL_STARTS = (MIB, 63 * 512)


@dataclass(frozen=True)
class FoundVolume:
    """A part of the disk that may hold a volume: the view may show copies where what it begins with is lost."""

    part: Partition
    view: View
    front: Front | None

    @cached_property
    def usage(self) -> Usage:
        """What the volume says, in bytes of the disk."""
        known = Known(self.view)
        usage = _of_front(known, self.front) if self.front else usage_of_xfs(known) or usage_of_btrfs(known)
        return (usage or Usage(extent=Range(0, self.view.size))).moved(self.part.start)


def volumes_of(disk: ReadableDisk) -> list[FoundVolume]:
    """The partitions of a disk, or all of it, and what is in each; where a table is lost, where volumes use to be."""
    parts = parts_of(disk)
    found = [_found(disk, part) for part in parts]
    if parts[0].scheme is Scheme.NONE and not found[0].usage.is_readable:
        guesses = (Partition(0, start, disk.size) for start in _USUAL_STARTS if start < disk.size)
        found += [one for one in (_found(disk, part) for part in guesses) if one.usage.is_readable][:1]
    return found


def usages_of(disk: ReadableDisk, volumes: Sequence[FoundVolume] | None = None) -> list[Usage]:
    """What each volume and the partition tables say, in bytes of the disk; of some volumes only where they are.

    `volumes` are those of the disk, for one who has looked for them already.
    """
    volumes = volumes_of(disk) if volumes is None else volumes
    return [*_of_tables(disk, [one.part for one in volumes]), *(one.usage for one in volumes)]


def _found(disk: ReadableDisk, part: Partition) -> FoundVolume:
    view = View(disk, part.start, part.end - part.start)
    view, found = with_backups(view, recognise(view.read))
    return FoundVolume(part, view, found.front)


def _of_front(known: Known, front: Front) -> Usage:
    match front:
        case ExtSuperblock():
            return ExtUsage(known, front).usage()
        case NtfsBoot():
            return NtfsUsage(known, front).usage()
        case ExfatBoot():
            return ExfatUsage(known, front).usage()
        case FatBoot():
            return usage_of_fat(known, front)


def _of_tables(disk: ReadableDisk, parts: list[Partition]) -> Iterator[Usage]:
    """The partition tables; nothing where the disk has none."""
    if parts[0].scheme is Scheme.NONE:
        return
    filled = [(0, MBR_SIZE, 0)]
    read = View(disk, 0, disk.size).read
    for sector in SECTOR_SIZES if parts[0].scheme is Scheme.GPT else ():
        for copy in gpt_copies(read, disk.size, sector):
            filled += _of_gpt(copy.header, sector)
    yield Usage(extent=Range(0, 0), filled=Extents.of(filled))


def _of_gpt(header: GptHeader, sector: int) -> Iterator[tuple[int, int, int]]:
    """A copy's header and entries, and the header of the other one."""
    yield from ((place * sector, sector, 0) for place in (header.here, header.other))
    yield header.table_start, header.table_length, 0
