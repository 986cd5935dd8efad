"""The volumes of a disk, opened."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from analyzer.guest.filesystems.backups import with_backups
from analyzer.guest.filesystems.file_records import FAILURES, Maker, sentence
from analyzer.guest.filesystems.metadata_places import ExtLayout, FatLayout, Layout, NtfsLayout
from analyzer.guest.filesystems.record import VolumeRecord
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk, View, image_of, reader
from analyzer.guest.layouts.detect import Front, Recognised, recognise
from analyzer.guest.layouts.ext import ExtSuperblock, Incompatible
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.layouts.partitions import Partition, Pool, Scheme, partitions_of
from vhdx.structures.constants import SECTOR_SIZES

_NTFS_VOLUME, _NTFS_NAME, _NTFS_INFORMATION, _NTFS_DATA = 3, 96, 112, 128
_NTFS_DIRTY = 1  # VOLUME_IS_DIRTY, in the flags of $VOLUME_INFORMATION
_DIRTY = "it was not shut down cleanly: what was written last may be missing, or half there"
# NTFS allows 128 characters in a label; an attribute may claim any length.
_MOST_LABEL = 1024
_MOST_VOLUME = 1 << 60  # bytes: a boot sector that says more is damaged
_SPECIAL_INODES = Incompatible.INLINE_DATA | Incompatible.ENCRYPT
_EXFAT_LABEL = 0x83
_POOLS = {
    Pool.LDM: "it is part of Windows dynamic disks (LDM), whose own database says where their volumes are",
    Pool.SPACES: "it is part of a pool of Storage Spaces, which Windows alone puts together",
}
_UNDER_TABLE = "it takes all of the disk: the partition table was written over it, or it is older than the table"
_POOL_TYPES = frozenset(pool.value for pool in Pool)


def open_volumes(disk: ReadableDisk) -> list[Volume]:
    """All volumes of a disk, by place, numbered from 1; those that cannot be read say why.

    The disk stays the caller's to close. Raises MissingReaderError.
    """
    reader()
    parts = parts_of(disk)
    volumes = [_open(disk, number, part) for number, part in enumerate(parts, 1)]
    if parts[0].scheme is Scheme.NONE or any(volume.record.type != "unknown" for volume in volumes):
        return volumes
    # Windows "initialises" a disk that it does not know with an empty partition table, over a volume that takes all.
    whole = _open(disk, len(parts) + 1, Partition(0, 0, disk.size), (_UNDER_TABLE,))
    return [*volumes, whole] if whole.is_readable else volumes


def parts_of(disk: ReadableDisk) -> list[Partition]:
    """The partitions, by place; the whole disk where there is no partition table."""
    sectors = sorted(SECTOR_SIZES, key=lambda size: size != disk.sector_size)
    parts = partitions_of(View(disk, 0, disk.size).read, disk.size, sectors)
    inside = [part for part in parts if part.start < min(part.end, disk.size)]
    return sorted(inside, key=lambda part: part.start) or [Partition(0, 0, disk.size)]


def _open(disk: ReadableDisk, number: int, part: Partition, notes: tuple[str, ...] = ()) -> Volume:
    view = View(disk, part.start, part.end - part.start)
    found = recognise(view.read)
    view, found = with_backups(view, _pooled(found, part.pool) if part.pool else found)
    record = VolumeRecord(
        number=number,
        start=part.start,
        length=part.end - part.start,
        type=found.type,
        label=found.label or part.name,
        table=part.scheme.value,
        notes=(*notes, *found.notes, *_lacks_end(view, found.front)),
    )
    if found.front is None:
        return Volume(replace(record, reason=_reason(view, found)), view)
    try:
        return _readable(record, view, found.front)
    except (*FAILURES, ZeroDivisionError, StopIteration) as error:
        lost = "its structures are lost in part" if view.missed else "its structures make no sense"
        return Volume(replace(record, reason=f"{lost} ({sentence(error)})"), view)


def _lacks_end(view: View, front: Front | None) -> Iterator[str]:
    """What is to be said of a volume that the disk, or its partition, was made too small for."""
    if front is None:
        return
    end = front.end if isinstance(front, ExtSuperblock) else front.sectors * front.sector_size
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


def _readable(record: VolumeRecord, view: View, front: Front) -> Volume:
    """The volume, opened; raises what the reader raises."""
    image = image_of(view)
    detected = "FAT_DETECT" if record.type.startswith("fat") else "EXT_DETECT"
    kind = {"ntfs": "NTFS", "exfat": "EXFAT"}.get(record.type, detected)
    fs = reader().FS_Info(image, offset=0, type=getattr(reader(), f"TSK_FS_TYPE_{kind}"))
    layout = _layout(front, view, fs)
    maker = Maker(
        number=record.number,
        type=record.type,
        view=view,
        layout=layout,
        block=int(fs.info.block_size),
        special_inodes=isinstance(front, ExtSuperblock) and bool(front.incompatible & _SPECIAL_INODES),
        opened=lambda address: fs.open_meta(inode=address),
    )
    record = replace(record, label=_label(view, fs, layout) or record.label)
    is_ntfs = isinstance(layout, NtfsLayout)
    if is_ntfs and int.from_bytes(_ntfs_attribute(fs, _NTFS_INFORMATION)[10:12], "little") & _NTFS_DIRTY:
        record = replace(record, notes=(*record.notes, _DIRTY))
    return Volume(record, view, image=image, fs=fs, maker=maker)


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
