"""The volumes of a disk, opened by the library that reads file systems, in its process."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from analyzer.guest.filesystems.backups import with_backups
from analyzer.guest.filesystems.circles import WithoutCircles
from analyzer.guest.filesystems.file_records import FAILURES, Maker, sentence
from analyzer.guest.filesystems.metadata_places import ExtLayout, FatLayout, Layout, NtfsLayout
from analyzer.guest.filesystems.opened import At, Avoid, OpenedVolume
from analyzer.guest.filesystems.record import UNCLEAN
from analyzer.guest.filesystems.volume_reader import BestEffortDisk, Redirect, View, image_of, reader
from analyzer.guest.layouts.detect import Front, Recognised, end_of, recognise
from analyzer.guest.layouts.ext import START, ExtSuperblock, Incompatible
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.layouts.partitions import Partition, Pool

_NTFS_VOLUME, _NTFS_NAME, _NTFS_INFORMATION, _NTFS_DATA = 3, 96, 112, 128
_NTFS_DIRTY = 1  # VOLUME_IS_DIRTY, in the flags of $VOLUME_INFORMATION
# NTFS allows 128 characters in a label; an attribute may claim any length.
_MOST_LABEL = 1024
_MOST_VOLUME = 1 << 60  # bytes: a boot sector that says more is damaged
_SPECIAL_INODES = Incompatible.INLINE_DATA | Incompatible.ENCRYPT
_EXFAT_LABEL = 0x83
_MADE = "its beginning is lost: where it is, and how large its clusters are, is what records of its files agree on"
_POOLS = {
    Pool.LDM: "it is part of Windows dynamic disks (LDM), whose own database says where their volumes are",
    Pool.SPACES: "it is part of a pool of Storage Spaces, which Windows alone puts together",
}
# What the reader calls each kind of volume that `recognise` gives with its front; no default, for none would be right.
_READ_AS = {"ntfs": "NTFS", "exfat": "EXFAT"}
_READ_AS |= dict.fromkeys(("ext2", "ext3", "ext4"), "EXT_DETECT")
_READ_AS |= dict.fromkeys(("fat12", "fat16", "fat32"), "FAT_DETECT")
_POOL_TYPES = frozenset(pool.value for pool in Pool)


def opened(
    disk: BestEffortDisk, part: Partition, avoid: Avoid, at: Callable[[At], None]
) -> tuple[dict[str, Any], OpenedVolume | None]:
    """What a partition holds, by names of VolumeRecord and of Facts; and the volume, where it can be read."""
    # What was made over it begins with a boot sector of its own, which would be taken for its beginning.
    over = [Redirect(0, START, None)] if part.is_beneath else []
    over += [Redirect(at, len(content), None, content) for at, content in part.made]
    view = View(disk, part.start, part.end - part.start, tuple(over))
    found = recognise(view.read)
    view, found = with_backups(view, _pooled(found, part.pool) if part.pool else found)
    if part.made and not part.is_beneath:  # of that one it is said how it was found
        found = replace(found, notes=(_MADE, *found.notes))
    known = {"type": found.type, "label": found.label or part.name, "notes": found.notes}
    if found.front is None:
        by_type = f"; its type in the partition table says {part.purpose}" if part.purpose else ""
        return known | {"reason": _reason(view, found) + by_type}, None
    known["notes"] = (*found.notes, *_lacks_end(view, found.front))
    try:
        volume = _readable(found.type, view, found.front, avoid, at)
        known |= _told(volume, known)
    except (*FAILURES, ZeroDivisionError, StopIteration) as error:
        lost = "its structures are lost in part" if view.missed else "its structures make no sense"
        return known | {"reason": f"{lost} ({sentence(error)})"}, None
    return known, volume


def _lacks_end(view: View, front: Front | None) -> Iterator[str]:
    """What is to be said of a volume that the disk, or its partition, was made too small for."""
    if front is None:
        return
    end = end_of(front)
    if view.size < end <= _MOST_VOLUME:
        yield f"it ends {end - view.size} bytes past the end of the disk, or of its partition: what is there is lost"


def _pooled(found: Recognised, pool: Pool) -> Recognised:
    """What begins in a partition of a pool: a volume that it holds alone can be read, what spans disks cannot."""
    if found.type == "unknown":
        return Recognised(pool.value)
    return replace(found, notes=(*found.notes, f"{_POOLS[pool]}: what it has elsewhere is not read"))


def _reason(view: View, found: Recognised) -> str:
    if found.type in _POOL_TYPES:
        return _POOLS[Pool(found.type)]
    if found.type != "unknown":
        return f"it is {found.type}"
    if view.missed:
        return "the place where its file system begins is lost, and no backup of it was found"
    front = view.read(0, 1 << 16)
    return "nothing is known that begins like it" if any(front) else "it begins with zeros"


def _readable(kind: str, view: View, front: Front, avoid: Avoid, at: Callable[[At], None]) -> OpenedVolume:
    """The volume, opened; raises what the reader raises."""
    avoided = set(avoid.files)
    if isinstance(front, ExtSuperblock):
        # Before the library sees anything: the inodes that it must not look at are empty.
        before = ExtLayout(view, front)
        places = [place for address in avoid.files for place in before.record_places(address)]
        blank = (Redirect(place.start - view.start, place.length, None) for place in places)
        view = View(view.disk, view.start, view.size, (*view.redirects, *blank))
        if not front.incompatible & Incompatible.EXTENTS:  # else files have no trees of numbers, but for old ones
            view = WithoutCircles(view, front, avoided)
    fs = reader().FS_Info(image_of(view), offset=0, type=getattr(reader(), f"TSK_FS_TYPE_{_READ_AS[kind]}"))
    maker = Maker(
        type=kind,
        view=view,
        layout=_layout(front, view, fs),
        block=int(fs.info.block_size),
        special_inodes=isinstance(front, ExtSuperblock) and bool(front.incompatible & _SPECIAL_INODES),
        avoided=avoided,
        opened=lambda address: fs.open_meta(inode=address),
    )
    return OpenedVolume(fs, maker, avoid, at)


def _told(volume: OpenedVolume, known: dict[str, Any]) -> dict[str, Any]:
    """What the library adds to what is known of a volume."""
    fs, maker = volume.fs, volume.maker
    flags = _ntfs_attribute(fs, _NTFS_INFORMATION)[10:11] if maker.type == "ntfs" else b""
    return {
        "label": _label(maker.view, fs, maker.layout) or known["label"],
        "notes": (*known["notes"], *((UNCLEAN,) if flags and flags[0] & _NTFS_DIRTY else ())),
        "size": maker.view.size,
        "block": maker.block,
        "identity": bytes(fs.info.fs_id),
    }


def _layout(front: Front, view: View, fs: Any) -> Layout:  # noqa: ANN401
    if isinstance(front, NtfsBoot):
        data = [a for a in fs.open_meta(inode=0) if int(a.info.type) == _NTFS_DATA and not a.info.name]
        return NtfsLayout(view, front, [(int(run.addr), int(run.len), int(run.offset)) for a in data for run in a])
    return ExtLayout(view, front) if isinstance(front, ExtSuperblock) else FatLayout(view, front)


def _label(view: View, fs: Any, layout: Layout) -> str:  # noqa: ANN401
    """The label of NTFS and exFAT, which is among the files; others have it in front."""
    if isinstance(layout, NtfsLayout):
        return _ntfs_attribute(fs, _NTFS_NAME).decode("utf-16-le", "replace")
    if not isinstance(layout, FatLayout) or not layout.is_exfat:
        return ""
    raw = view.read(layout.root, 32 * 16)  # in the first entries of the root, where every program puts it
    at = next((at for at in range(0, len(raw), 32) if raw[at] == _EXFAT_LABEL), None)
    return "" if at is None else raw[at + 2 : at + 2 + 2 * min(raw[at + 1], 11)].decode("utf-16-le", "replace")


def _ntfs_attribute(fs: Any, kind: int) -> bytes:  # noqa: ANN401
    """An attribute of $Volume; b"" where it has none."""
    try:
        file = fs.open_meta(inode=_NTFS_VOLUME)
        found = next((a.info for a in file if int(a.info.type) == kind and 0 < int(a.info.size) <= _MOST_LABEL), None)
        return bytes(file.read_random(0, int(found.size), kind, int(found.id))) if found else b""
    except FAILURES:
        return b""
