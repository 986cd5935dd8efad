"""Two readings of one disk: the volumes that its front and its partition table name, and one beneath that is all of it.

WSL and Docker give all of a disk to ext, others to NTFS, FAT, XFS or btrfs. Windows "initialises" such a disk, or
formats it: what is written over is its front, and with a GPT its end. What a volume keeps elsewhere stands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from analyzer.guest.filesystems.backups import boot_copies
from analyzer.guest.filesystems.lost_ntfs import ntfs_of_all
from analyzer.guest.layouts import btrfs, exfat, ext, fat, ntfs, xfs
from analyzer.guest.layouts.detect import BTRFS_START, end_of, recognise
from analyzer.guest.layouts.ext import ExtSuperblock, likely_places, parse_sound_superblock
from analyzer.guest.layouts.partitions import Made, Partition, Read, bounded

# Copies that are counted: those of 4 TiB, and all of older volumes that tell more than a few.
_MOST_COPIES = 64
EXT = "ext"
# Groups that mkfs.xfs makes: four as a rule, more on stripes, one for each TiB of large disks.
_XFS_GROUPS, _XFS_LARGEST, _XFS_STEP = (4, 2, 8, 16, 32), 1 << 40, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A volume that takes all of a disk; `type` as of a VolumeRecord, but EXT for ext2 to ext4.

    `at` is the byte of what tells of it, `made` what its own beginning was; it has `count` blocks of `unit` bytes.
    """

    type: str
    at: int
    unit: int
    count: int
    evidence: str
    made: tuple[Made, ...] = ()

    def __str__(self) -> str:
        return self.evidence


def volumes_beneath(read: Read, size: int, standing: Iterable[str]) -> Iterator[Whole]:
    """The volumes that take all of a disk of `size` bytes; none of the types of those that begin it as it is."""
    known = {EXT if kind.startswith(EXT) else kind for kind in standing}
    for kind, find in _FINDERS.items():
        if kind not in known and (found := find(read, size)):
            yield found


def whole_ext(read: Read, size: int) -> Whole | None:
    """The ext volume that takes all of a disk of `size` bytes, by its superblock, else by a copy."""
    for at, group, _ in ((ext.START, 0, 0), *likely_places(size)):
        found = parse_sound_superblock(read(at, ext.SIZE))
        if found and found.group == group and found.takes_all(size):
            return Whole(type=EXT, at=at, unit=found.block_size, count=found.blocks, evidence=_copies(read, found))
    return None


def _copies(read: Read, found: ExtSuperblock) -> str:
    places = [ext.START, *islice((place for _, place in found.copies()), _MOST_COPIES)]
    others = (parse_sound_superblock(read(place, ext.SIZE)) for place in places)
    standing = sum(other is not None and other.uuid == found.uuid for other in others)
    written = datetime.fromtimestamp(found.written, UTC)
    return f"{standing} of {len(places)} copies of its superblock stand, last written {written:%Y-%m-%d %H:%M}"


def _by_boot_copy(kind: str, read: Read, size: int) -> Whole | None:
    """The volume of this type whose copy of the boot sector stands where a volume of all of the disk has it."""
    for at, _, _ in boot_copies(size):
        found = recognise(bounded(read, at, at + ntfs.SIZE)) if at > 0 else None
        front = found.front if found and found.type == kind else None
        if isinstance(front, ntfs.NtfsBoot | fat.FatBoot | exfat.ExfatBoot) and 0 < end_of(front) <= size:
            place = front.region if isinstance(front, exfat.ExfatBoot) else front.backup
            if place == at:
                text, made = f"the copy of its boot sector at byte {at} stands", Made(0, read(at, ntfs.SIZE))
                return Whole(type=kind, at=at, unit=front.sector_size, count=front.sectors, evidence=text, made=(made,))
    return None


def _whole_ntfs(read: Read, size: int) -> Whole | None:
    """The volume by the copy of its boot sector, which a GPT takes, or by the first records of its $MFT."""
    found, records = _by_boot_copy("ntfs", read, size), ntfs_of_all(read, size)
    if records is None:
        return found
    at, cluster, (boot, *lacks) = records
    if found:
        return replace(found, made=(*found.made, *lacks))
    evidence = f"the first records of its $MFT, or their copies at byte {at}, name their own place"
    return Whole(type="ntfs", at=at, unit=cluster, count=size // cluster, evidence=evidence, made=(boot, *lacks))


def _whole_xfs(read: Read, size: int) -> Whole | None:
    """The volume by the superblock of a later group, which names its place in the sector behind it."""
    shares = (-(-size // number // _XFS_STEP) * _XFS_STEP for number in _XFS_GROUPS)
    floors = (size // number // _XFS_STEP * _XFS_STEP for number in _XFS_GROUPS)
    for at in (*floors, *shares, _XFS_LARGEST):
        found = xfs.parse_super(read(at, xfs.SECTOR))
        if found and found.at(1) and found.blocks * found.block_size <= size:
            group, inside = divmod(at, found.at(1))
            if not inside and group and _begins_group(read, found, group):
                places = [found.at(number) for number in range(min(found.groups, _MOST_COPIES))]
                others = (xfs.parse_super(read(place, xfs.SECTOR)) for place in places)
                standing = sum(other is not None and other.uuid == found.uuid for other in others)
                text = f"{standing} of {len(places)} copies of its superblock stand, one at byte {at}"
                made = Made(0, read(at, xfs.SECTOR))
                return Whole(type="XFS", at=at, unit=found.block_size, count=found.blocks, evidence=text, made=(made,))
    return None


def _begins_group(read: Read, found: xfs.XfsSuper, group: int) -> bool:
    head = read(found.at(group) + found.sector_size, found.sector_size)
    if found.is_summed:
        return xfs.group_head_holds(1, head, group, found.identity)
    magic, number, *_ = xfs.GROUP_HEADS[1] or (b"", 0)
    return head.startswith(magic) and int.from_bytes(head[number : number + 4], "big") == group


def _whole_btrfs(read: Read, size: int) -> Whole | None:
    """The volume by a superblock, which names its own place; the first of them is far behind a partition table."""
    pages = {place: read(place, btrfs.SIZE) for place in btrfs.MIRRORS if place + btrfs.SIZE <= size}
    found = {place: one for place, page in pages.items() if (one := btrfs.parse_super(page)) and one.place == place}
    whole = [(place, one) for place, one in found.items() if one.device_size <= size]
    if not whole:
        return None
    at, one = max(whole, key=lambda copy: copy[1].transaction)
    text = f"{len(whole)} of {len(pages)} copies of its superblock stand, one at byte {at}"
    count, made = one.device_size // one.sector_size, (Made(BTRFS_START, pages[at]),)
    return Whole(type="Btrfs", at=at, unit=one.sector_size, count=count, evidence=text, made=made)


_FINDERS = {
    EXT: whole_ext,
    "ntfs": _whole_ntfs,
    "fat32": lambda read, size: _by_boot_copy("fat32", read, size),
    "exfat": lambda read, size: _by_boot_copy("exfat", read, size),
    "XFS": _whole_xfs,
    "Btrfs": _whole_btrfs,
}


def named_volumes(read: Read, parts: Iterable[Partition], size: int) -> Iterator[str]:
    """What speaks for the volumes that a disk's front and its tables name, a clause for each that is known."""
    for part in parts:
        inside = bounded(read, part.start, min(part.end, size))
        found = recognise(inside)
        place = f"at byte {part.start}, which the {part.scheme.name} names" if part.type else "of all of the disk"
        if isinstance(found.front, ntfs.NtfsBoot | fat.FatBoot) and found.front.backup:
            stands = inside(found.front.backup, ntfs.SIZE) == inside(0, ntfs.SIZE)
            yield f"{found.type} {place}: its boot sector stands, and {'so does' if stands else 'not'} the copy of it"
        elif found.type != "unknown":
            yield f"{found.type} {place}: it stands in its first sectors"
        elif part.pool:
            yield f"{part.pool.value} {place}: its type says so"
