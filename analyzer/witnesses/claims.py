"""What all volumes of a disk say of its bytes."""

from collections.abc import Iterator

from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.ext import ExtSuperblock
from analyzer.guest.layouts.fat import FatBoot
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.usage.model import NO_EXTENTS, Known
from analyzer.guest.usage.volumes import FoundVolume, volumes_of
from analyzer.witnesses.btrfs import claims_of_btrfs
from analyzer.witnesses.ext import claims_of_ext
from analyzer.witnesses.fat import claims_of_exfat, claims_of_fat
from analyzer.witnesses.gpt import statements_of_gpt
from analyzer.witnesses.model import Claims, Statements, joined
from analyzer.witnesses.ntfs import claims_of_ntfs
from analyzer.witnesses.xfs import claims_of_xfs

_OWNERS = 1 << 40
"""Numbers of files that each volume has for itself."""


def claims_of(disk: ReadableDisk) -> Claims:
    """What the volumes say, in bytes of the disk; nothing of volumes that are not known."""
    return joined(_moved(disk))


def claims_of_table(disk: ReadableDisk) -> Claims:
    """What the partition table says of itself."""
    table = statements_of_gpt(Known(View(disk, 0, disk.size)))
    return Claims(Statements.of(table), NO_EXTENTS, NO_EXTENTS)


def _moved(disk: ReadableDisk) -> Iterator[Claims]:
    for number, volume in enumerate(volumes_of(disk)):
        claims = _claims_of(disk, volume)
        if claims is not None:
            yield claims.moved(volume.part.start, number * _OWNERS)


def _claims_of(disk: ReadableDisk, volume: FoundVolume) -> Claims | None:
    known, plain = Known(volume.view), Known(View(disk, volume.view.start, volume.view.size))
    match volume.front:
        case ExtSuperblock() as superblock:
            return claims_of_ext(known, plain, superblock)
        case NtfsBoot() as boot:
            return claims_of_ntfs(known, plain, boot)
        case FatBoot() as table:
            return claims_of_fat(known, plain, table)
        case ExfatBoot() as region:
            return claims_of_exfat(known, plain, region)
    return claims_of_xfs(known, plain) or claims_of_btrfs(known, plain)
