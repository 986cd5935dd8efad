"""Signs of volumes that headers tell: XFS, btrfs, LVM, LUKS, FAT, exFAT; and blocks of XFS that know their place.

The headers say how large a volume is, and stand at bytes of it that no content has by chance. What XFS version 5 writes
of its own has the volume's UUID and the place that it was written for: one such block tells where all around it is.
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from google_crc32c import value as crc32c

from analyzer.guest.layouts import exfat, fat, lvm
from analyzer.guest.layouts.detect import BTRFS, BTRFS_AT, BTRFS_START, recognise
from analyzer.guest.layouts.xfs import XfsSuper, address_of, inode_of, parse_super
from analyzer.recover.rebuild.signatures import Sign, read_known, volumes_of
from vhdx.disk import Disk
from vhdx.structures.constants import MIB

_SECTOR, _PAGE = 512, 4096
FRONT = BTRFS_START + _PAGE
"""Bytes from a volume's start in which its header is."""
_BTRFS_MIRRORS = (BTRFS_START, 1 << 26, 1 << 38)
_BTRFS_FIELDS = struct.Struct("<I28x16sQ")
_BTRFS_SIZE_AT, _BTRFS_CHECKSUM_AT = 0xD1, 0xC4
_LUKS = b"LUKS\xba\xbe"
_UUID = slice(32, 48)
_MOST_GROUPS = 1 << 12
_GROUP = b"XAGF"


def sizes_of(front: bytes) -> Iterator[tuple[int, str]]:
    """Where a volume ends that begins with these bytes, FRONT of them or fewer, and what says so."""
    if superblock := parse_super(front[:_SECTOR]):
        yield superblock.blocks * superblock.block_size, "the XFS volume"
    page = front[BTRFS_START:FRONT]
    if _is_btrfs(BTRFS_START, page):
        yield int.from_bytes(page[_BTRFS_SIZE_AT:][:8], "little"), "the btrfs volume"
    for at in range(0, 4 * _SECTOR, _SECTOR):
        if size := lvm.size_in(front[at : at + _SECTOR]):
            yield size, "the LVM physical volume"
    boot = recognise(lambda start, length: front[start : start + length]).front
    if isinstance(boot, fat.FatBoot | exfat.ExfatBoot):
        yield boot.sectors * boot.sector_size, "the FAT or exFAT volume"


def _is_btrfs(place: int, page: bytes) -> bool:
    if len(page) < _PAGE or not page.startswith(BTRFS, BTRFS_AT):
        return False
    checksum, _, here = _BTRFS_FIELDS.unpack_from(page)
    is_crc = page[_BTRFS_CHECKSUM_AT:][:2] == b"\0\0"  # others are SHA-256 and the like
    return here == place and (not is_crc or checksum == crc32c(page[32:]))


def header_signs(disk: Disk) -> Iterator[Sign]:
    """The headers of each volume, and the copies of them that the first one that is left tells of."""
    for start, end in volumes_of(disk):
        at = f"at byte {start}"
        yield Sign(f"the LUKS header {at}", start, _SECTOR, partial(_begins, _LUKS), is_expected=False)
        fits = partial(_fills, end - start)
        yield Sign(f"the header of the volume {at}", start, min(FRONT, end - start), fits, is_expected=False)
        for place in _BTRFS_MIRRORS:
            fits = partial(_is_btrfs, place)
            yield Sign(
                f"the btrfs superblock for byte {place} of the volume {at}",
                start + place,
                _PAGE,
                fits,
                is_expected=False,
            )
        if known := _xfs_at(disk, start, end):
            superblock, uuid = known
            for group in islice(range(superblock.groups), _MOST_GROUPS):
                place = start + group * superblock.group_blocks * superblock.block_size
                fits = partial(_is_xfs, uuid, group)
                yield Sign(f"the XFS superblock of group {group} {at}", place, 2 * _PAGE, fits)


def _begins(magic: bytes, raw: bytes) -> bool:
    return raw.startswith(magic)


def _fills(room: int, front: bytes) -> bool:
    """Whether a volume takes all of so many bytes, and begins here: one that does not begins elsewhere."""
    return any(0 <= room - size < MIB for size, _ in sizes_of(front)) and not _group_of(front)


def _group_of(raw: bytes) -> int | None:
    """The group of an XFS volume that begins with these bytes: the head of its free space, behind, names it."""
    superblock = parse_super(raw[:_SECTOR])
    head = raw[superblock.sector_size :][:12] if superblock else b""
    return int.from_bytes(head[8:], "big") if head.startswith(_GROUP) else None


def _is_xfs(uuid: bytes, group: int, raw: bytes) -> bool:
    return raw[_UUID] == uuid and _group_of(raw) == group


def _xfs_at(disk: Disk, start: int, end: int) -> tuple[XfsSuper, bytes] | None:
    """The superblock of an XFS volume, or of the group that is second as mkfs makes four of them, and its UUID."""
    for at in (start, start + (end - start) // 4 // _PAGE * _PAGE):
        raw = read_known(disk, at, _SECTOR)
        if found := parse_super(raw):
            return found, raw[_UUID]
    return None


@dataclass(frozen=True, slots=True)
class _Addressed:
    """Tells the place of blocks of an XFS volume that begins at byte `start` of the disk."""

    start: int
    superblock: XfsSuper
    uuid: bytes

    def __call__(self, raw: bytes) -> int | None:
        """The byte of the disk at which these bytes begin, where all blocks in them that know their place agree."""
        votes: Counter[int] = Counter()
        for at in range(0, len(raw) - _SECTOR + 1, min(self.superblock.block_size, _PAGE)):
            place = self._place_of(raw[at : at + _SECTOR])
            votes.update([] if place is None else [place - at])
        return next(iter(votes)) if len(votes) == 1 else None

    def _place_of(self, block: bytes) -> int | None:
        if (address := address_of(block, self.uuid)) is not None:
            return self.start + address
        number = inode_of(block, self.uuid)
        return None if number is None else self.start + self.superblock.at_inode(number)


def addressed(disk: Disk) -> Iterator[Callable[[bytes], int | None]]:
    """For each XFS volume what tells where on the disk some bytes of it begin."""
    for start, end in volumes_of(disk):
        if known := _xfs_at(disk, start, end):
            superblock, _ = known
            yield _Addressed(start, superblock, superblock.identity)
