"""Structures that a disk keeps twice, or that are at one byte of it alone: they prove where blocks belong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from analyzer.guest.layouts import ext, ntfs
from analyzer.guest.layouts.gpt import Entries, parse_whole_header, primary_header
from analyzer.guest.layouts.lvm import logical_volumes
from analyzer.guest.layouts.partitions import MBR_SIZE, Partition, Scheme, partitions_of
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind
from vhdx.source import ByteSource, read_if_possible
from vhdx.structures.constants import MIB, SECTOR_SIZES

# More partitions and copies than any disk seen: a table made to do harm may have thousands, and each is searched.
_MOST_PARTS, _MOST_GROUPS = 32, 4096
_FRONT = 2 * max(SECTOR_SIZES)
# What partitioning programs leave behind the last partition of an MBR.
_BEHIND_PARTITIONS = 2 * MIB


@dataclass(frozen=True, slots=True)
class Witness:
    """A copy of a structure: `length` bytes that must stand at byte `start` of the disk, and whether they do.

    Where the disk holds nothing of its own there, nobody witnesses anything.
    """

    what: str
    start: int
    length: int
    stands: bool


def read_known(disk: Disk, start: int, length: int) -> bytes:
    """What the disk itself holds there; b"" where any of it is not DATA of this file, or past the end."""
    if start < 0 or length <= 0 or start + length > disk.size:
        return b""
    try:
        sector = disk.sector_size
        upto = min(disk.size, -(-(start + length) // sector) * sector)
        return disk.read(start, length) if disk.holds_data(start // sector * sector, upto) else b""
    except VhdxError:
        return b""


def read_known_steps(disk: Disk, start: int, length: int, step: int) -> Iterator[tuple[int, bytes]]:
    """What the disk itself holds from byte `start` on, in whole steps, each part with its distance from `start`.

    All that `read_known` would give of one step after another; steps that follow one another come together.
    """
    # A thousand small reads of a table that stands, and as many questions for one that is lost, would take most of the
    # time of rebuilding.
    whole = min(-(-length // step), (disk.size - start) // step) * step
    for part in Range(start, whole).pieces(max(1, MIB // step) * step):
        if raw := read_known(disk, part.start, part.length):
            yield part.start - start, raw
            continue
        for held in _held(disk, part):
            for at in range(part.start + -(-(held.start - part.start) // step) * step, held.end - step + 1, step):
                if raw := read_known(disk, at, step):
                    yield at - start, raw


def _held(disk: Disk, part: Range) -> Ranges:
    """What of a part of the disk is DATA; all of it where that cannot be told at once."""
    sector = disk.sector_size
    upto = min(disk.size, -(-part.end // sector) * sector)
    try:
        runs = disk.runs(part.start // sector * sector, upto).of_kind(Kind.DATA)
    except VhdxError:
        return Ranges.of([part])
    return Ranges.of_columns(runs.start, runs.length).within(part)


def witnesses_of(disk: Disk) -> Iterator[Witness]:
    """Every second copy that a structure on the disk tells of, and whether it stands where it must."""
    gpt = primary_header(read_known(disk, 0, _FRONT), SECTOR_SIZES)
    if gpt and gpt.sector_size == disk.sector_size:
        at = gpt.other * gpt.sector_size
        if raw := read_known(disk, at, gpt.sector_size):
            backup = parse_whole_header(raw)
            stands = bool(backup and (backup.here, backup.disk_guid) == (gpt.other, gpt.disk_guid))
            yield Witness("the backup GPT header", at, gpt.sector_size, stands)
    parts = partitions_of(partial(read_known, disk), disk.size, [disk.sector_size])
    for part in [Partition(0, 0, disk.size), *parts[:_MOST_PARTS]]:
        yield from _ntfs(disk, part.start)
        yield from _ext(disk, part)


def ends_of(front: bytes, sector: int) -> Iterator[tuple[int, str]]:
    """Where the disk must at least reach to, as its front tells, in bytes, and which structure says so."""
    for part in partitions_of(lambda start, length: front[start : start + length], len(front), [sector]):
        if part.scheme is Scheme.MBR:
            yield part.end, "a partition of the MBR ends there"
    boot = ntfs.parse_boot(front)
    if boot and boot.is_sane:
        yield (boot.sectors + 1) * boot.sector_size, "the NTFS volume ends there"
    superblock = ext.parse_superblock(front[ext.START : ext.START + ext.SIZE])
    if superblock and superblock.block_size:
        yield superblock.end, "the ext volume ends there"


def _ntfs(disk: Disk, start: int) -> Iterator[Witness]:
    front = read_known(disk, start, ntfs.SIZE)
    boot = ntfs.parse_boot(front)
    if boot is None or boot.backup is None:
        return
    at = start + boot.backup
    copy = read_known(disk, at, ntfs.SIZE)
    if copy:
        yield Witness("the backup of the NTFS boot sector", at, ntfs.SIZE, copy == front)


def _ext(disk: Disk, part: Partition) -> Iterator[Witness]:
    superblock = ext.parse_superblock(read_known(disk, part.start + ext.START, ext.SIZE))
    if superblock is None or superblock.group:
        return
    for group, place in superblock.copies():
        at = part.start + place
        if group < _MOST_GROUPS and at + ext.SIZE <= min(part.end, disk.size):
            copy = ext.parse_superblock(read_known(disk, at, ext.SIZE))
            # Not every ext keeps a copy in these groups: one that is not there contradicts nothing.
            if copy and copy.uuid == superblock.uuid:
                yield Witness(f"the ext superblock of group {group}", at, ext.SIZE, stands=True)


@dataclass(frozen=True, slots=True)
class Sign:
    """`length` bytes at byte `start` of the disk, and whether what stands somewhere can be them."""

    what: str
    start: int
    length: int
    fits: Callable[[bytes], object]
    is_expected: bool = True
    """Something that is there proves that it was: only then it says something that it is not."""


def sign_fits(source: ByteSource, at: int, sign: Sign) -> bool:
    """Whether a sign stands at byte `at` of a file."""
    found = read_if_possible(source, at, sign.length)
    return bool(found) and bool(sign.fits(found))


def gpt_signs(disk: Disk) -> Iterator[Sign]:
    """Both headers of a GPT, each of which names its own place and the other's."""
    sector = disk.sector_size
    last = disk.size // sector - 1

    def names(here: int, other: int, raw: bytes) -> bool:
        gpt = parse_whole_header(raw)
        return gpt is not None and (gpt.here, gpt.other) == (here, other)

    yield Sign("the primary GPT, which stands in sector 1", sector, sector, partial(names, 1, last))
    yield Sign("the backup GPT, which stands in the last sector", last * sector, sector, partial(names, last, 1))


def mbr_signs(disk: Disk) -> Iterator[Sign]:
    """The MBR, whose partitions are within the disk, and fill it."""

    def fills(raw: bytes) -> bool:
        parts = partitions_of(lambda start, length: raw[start : start + length], len(raw), [disk.sector_size])
        end = max((part.end for part in parts if part.scheme is Scheme.MBR), default=0)
        return 0 <= disk.size - end <= _BEHIND_PARTITIONS

    yield Sign("the MBR, whose partitions fill the disk", 0, MBR_SIZE, fills, is_expected=False)


def volumes_of(disk: Disk) -> Iterator[tuple[int, int]]:
    """Where volumes can be, (start, end) in bytes of the disk: in partitions; without a table of these, anywhere.

    And in these, where the text of LVM says so, logical volumes.
    """
    sectors = sorted(SECTOR_SIZES, key=lambda size: size != disk.sector_size)
    found = partitions_of(partial(read_known, disk), disk.size, sectors, Entries.AS_FOUND)
    parts = [part for part in found[:_MOST_PARTS] if 0 < part.start < part.end <= disk.size]
    places = [(part.start, part.end) for part in parts] or [(0, disk.size)]
    yield from places
    for start, end in places:
        yield from ((start + first, start + last) for first, last in _logical_in(disk, start) if start + last <= end)


def _logical_in(disk: Disk, start: int) -> Iterator[tuple[int, int]]:
    return logical_volumes(lambda at, length: read_known(disk, start + at, length))
