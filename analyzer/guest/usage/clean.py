"""Whether a volume was closed cleanly: of one that was not, the maps of what is free may be older than its journal."""

from analyzer.guest.layouts import ext, ntfs
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.ext import ExtSuperblock, Incompatible
from analyzer.guest.layouts.fat import FatBoot
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.usage.model import Known
from analyzer.guest.usage.ntfs import NtfsUsage
from analyzer.guest.usage.volumes import FoundVolume

_JOURNAL = "its journal has changes that were not played back"
_UNCLEAN = "it was not closed cleanly"
# Offsets in the boot sector of exFAT, and the bit there (Microsoft's specification, 3.1.13.2).
_EXFAT_FLAGS, _EXFAT_DIRTY = 106, 2
# The second entry of the table has a bit that says so; FAT12 has none (Microsoft, FAT specification, 4.1).
_FAT_CLEAN = {"fat16": (2, 0x8000), "fat32": (4, 0x08000000)}
_VOLUME, _LOG = 3, 2


def why_unclean(volume: FoundVolume) -> str:
    """Why the maps of a volume are not to be believed, a clause; "" for one that was closed cleanly.

    Raises nothing: what cannot be read speaks against the volume.
    """
    known = Known(volume.view)
    match volume.front:
        case ExtSuperblock():
            return _of_ext(known, volume.front)
        case NtfsBoot():
            return _of_ntfs(known, volume.front)
        case ExfatBoot():
            flags = known.read(_EXFAT_FLAGS, 2)
            return _UNCLEAN if flags is None or flags[0] & _EXFAT_DIRTY else ""
        case FatBoot():
            return _of_fat(known, volume.front)
    return "what it holds is not known"


def _of_ext(known: Known, superblock: ExtSuperblock) -> str:
    if superblock.incompatible & Incompatible.RECOVER:
        return _JOURNAL
    raw = known.read(ext.START, ext.SIZE)
    return "" if raw is not None and raw[ext.STATE] == ext.CLEAN else _UNCLEAN


def _of_fat(known: Known, boot: FatBoot) -> str:
    if boot.kind not in _FAT_CLEAN:
        return ""
    size, clean = _FAT_CLEAN[boot.kind]
    entry = known.read(boot.fat_start + size, size)
    return "" if entry is not None and int.from_bytes(entry, "little") & clean else _UNCLEAN


def _of_ntfs(known: Known, boot: NtfsBoot) -> str:
    usage = NtfsUsage(known, boot)
    flags = ntfs.volume_flags(usage.record(_VOLUME))
    if flags is None or flags & ntfs.DIRTY:
        return _UNCLEAN
    place = next(usage.parts_of(_LOG, ntfs.RESTART_PAGES), None)
    page = known.read(place.start, place.length) if place else None
    return "" if page is not None and ntfs.log_is_closed(page) else _JOURNAL
