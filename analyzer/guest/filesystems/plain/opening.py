"""Which volumes are plain, and what is known of them."""

from typing import Any

from analyzer.guest.filesystems.backups import with_backups
from analyzer.guest.filesystems.plain.ext import PlainExt, is_plain_ext
from analyzer.guest.filesystems.plain.model import Plain
from analyzer.guest.filesystems.plain.ntfs import PlainNtfs, is_plain_ntfs
from analyzer.guest.filesystems.record import UNCLEAN
from analyzer.guest.filesystems.volume_reader import BestEffortDisk, View
from analyzer.guest.layouts.detect import Front, recognise
from analyzer.guest.layouts.ext import ExtSuperblock
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.layouts.partitions import Partition

_IDENTITY = 32  # bytes that the library has for what tells a volume from others


def plain_volume(disk: BestEffortDisk, part: Partition, number: int) -> tuple[Plain, dict[str, Any]] | None:
    """The volume in a partition, and what is known of it, by names of VolumeRecord and Facts; None of one not plain."""
    if part.is_beneath or part.made or part.pool:
        return None
    whole = View(disk, part.start, part.end - part.start)
    view, found = with_backups(whole, recognise(whole.read))
    if view is not whole or view.missed:
        return None
    plain, label, notes = _of(found.front, view, number), found.label, found.notes
    if plain is None or plain.root() is None or view.missed:
        return None
    if isinstance(plain, PlainNtfs):
        label, notes = plain.label(), (*notes, *((UNCLEAN,) if plain.is_dirty() else ()))
    known = {"type": found.type, "label": label or part.name, "notes": notes, "reason": None, "size": view.size}
    return plain, known | {"block": plain.block, "identity": plain.identity.ljust(_IDENTITY, b"\0")}


def _of(front: Front | None, view: View, number: int) -> PlainExt | PlainNtfs | None:
    if isinstance(front, ExtSuperblock) and is_plain_ext(front, view.size):
        return PlainExt(view, front, number)
    return PlainNtfs(view, front, number) if isinstance(front, NtfsBoot) and is_plain_ntfs(front, view.size) else None
