"""Which VHDX files lie in the disk of a host: those of its volumes, deleted ones by record, others by themselves.

Where each begins is looked for on all of the disk, so that names do not matter; the volumes say whose each is.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from construct import ConstructError

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems.errors import MissingReaderError
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import Extent, FileKind, FileRecord, FileState, Include, Packing
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.usage.volumes import usages_of
from analyzer.host_disk.fronts import fronts_in
from analyzer.host_disk.model import HostedFile, Origin, PlacedSource
from analyzer.judgement.unowned import owners_of
from analyzer.progress import Progress, no_progress
from vhdx.contents import Structures
from vhdx.errors import VhdxError
from vhdx.image import image_of
from vhdx.ranges import NO_RANGES, Range, Ranges, union
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB

_NAMES = {".vhdx", ".avhdx"}
_RANKS = {FileState.ALLOCATED: 0, FileState.DELETED: 1}


@dataclass(frozen=True, slots=True)
class HostDisk:
    """What lies in the disk of a host."""

    files: tuple[HostedFile, ...]
    """By the place of their first byte."""
    notes: tuple[str, ...]
    """What could not be looked at."""


@dataclass(frozen=True, slots=True)
class _Volumes:
    """What the volumes say: the files that may be VHDX, and whose places are whose."""

    records: Sequence[tuple[Volume, FileRecord]]
    present: Ranges
    """What files that are there have."""
    used: Ranges
    """That, and what the volumes have in use otherwise."""
    notes: tuple[str, ...] = ()


def search(disk: RawDisk, tick: Progress = no_progress) -> HostDisk:
    """All VHDX files of a disk; `tick` hears of the bytes that were looked at. Never raises for what the disk holds."""
    readable = ReadableDisk(disk)
    fronts = [*fronts_in(readable, tick)]
    volumes = _ask_volumes(readable, set(fronts))
    by_record = [*_of_records(volumes)]
    theirs = union((volumes.present, *(_places(file) for file in by_record)))
    alone = [front for front in fronts if not theirs.touches(Range(front, 1))]  # else it is in what another file holds
    by_structure = (_by_structure(disk, volumes, front, fronts) for front in alone)
    files = sorted((*by_record, *filter(None, by_structure)), key=lambda file: file.start)
    return HostDisk(tuple(files), volumes.notes)


def _ask_volumes(disk: ReadableDisk, fronts: set[int]) -> _Volumes:
    try:
        volumes = open_volumes(disk)
    except MissingReaderError as error:
        used = union(usage.used for usage in usages_of(disk))
        return _Volumes((), NO_RANGES, used, (f"files are found by their structure alone: {error}",))
    found, places, readable = [], array("q"), [volume for volume in volumes if volume.is_readable]
    for volume in readable:
        for record in volume.walk(Include.DELETED):
            if record.state is FileState.ALLOCATED:
                places.extend(edge for place in record.content for edge in (place.start, place.end))
            if _may_be_vhdx(record, fronts):
                found.append((volume, record))
    edges = np.array(places, dtype=np.int64).reshape(-1, 2)
    present = Ranges.between(edges[:, 0], edges[:, 1])
    used = union((present, *(usage.used for usage in usages_of(disk))))
    return _Volumes(found, present, used, tuple(_notes(volumes)))


def _notes(volumes: Iterable[Volume]) -> Iterator[str]:
    for volume in volumes:
        record = volume.record
        if record.reason and record.type != "unknown":
            yield f"volume {record.number} ({record.type}) cannot be listed: {record.reason}"
        yield from (f"volume {record.number}: {note}" for note in record.notes if volume.is_readable)
        yield from map(str, volume.troubles)


def _may_be_vhdx(record: FileRecord, fronts: set[int]) -> bool:
    """Whether a file begins as a VHDX, or is called so and its beginning is gone."""
    data = record.data
    if record.kind is not FileKind.FILE or record.state not in _RANKS or data is None or not data.extents:
        return False
    is_named = PurePosixPath(record.name).suffix.lower() in _NAMES and data.size >= HEADER_AREA_SIZE
    return is_named or (data.extents[0].offset == 0 and data.extents[0].start in fronts)


def _of_records(volumes: _Volumes) -> Iterator[HostedFile]:
    """One file for each beginning: the one that is there, else the longest that was."""
    taken: set[int] = set()
    for volume, record in sorted(volumes.records, key=lambda one: (_RANKS[one[1].state], -one[1].size)):
        file = _of_record(volumes, volume, record)
        if file.start not in taken:
            taken.add(file.start)
            yield file


def _of_record(volumes: _Volumes, volume: Volume, record: FileRecord) -> HostedFile:
    data, is_present = record.data, record.state is FileState.ALLOCATED
    extents = data.extents if data else ()
    size = data.size if data else 0
    lost = NO_RANGES if is_present else Ranges.of(_of_others(extents, volumes.used)) | _untold(extents, size)
    packed = data is not None and data.packing is not Packing.PLAIN and not is_present
    return HostedFile(
        name=record.name, path=record.path, volume=volume.record.number,
        origin=Origin.FILE if is_present else Origin.DELETED, start=extents[0].start if extents else 0,
        size=size, extents=extents if is_present else _written(volume, record, extents), lost=lost,
        reason=record.obstacle or ("it was compressed or encrypted by its file system" if packed else None),
        of_volume=volume, record=record,
    )  # fmt: skip


def _written(volume: Volume, record: FileRecord, extents: Sequence[Extent]) -> tuple[Extent, ...]:
    """The extents as far as they were ever written: what NTFS never wrote is zeros, whatever lies there."""
    upto = volume.initialized(record)
    if upto is None:
        return tuple(extents)
    return tuple(one._replace(length=min(one.length, upto - one.offset)) for one in extents if one.offset < upto)


def _of_others(extents: Iterable[Extent], used: Ranges) -> Iterator[Range]:
    """The bytes of a deleted file whose places are in use."""
    for offset, start, length in extents:
        yield from (Range(offset + part.start - start, part.length) for part in used.within(Range(start, length)))


def _untold(extents: Sequence[Extent], size: int) -> Ranges:
    """The end of a deleted file, from where its record, or what is left of its records, says no more."""
    return Ranges.of([Range.between(max((one.offset + one.length for one in extents), default=0), size)])


def _places(file: HostedFile) -> Ranges:
    """Where on the disk a file is that nobody wrote over."""
    return Ranges.of(
        Range(extent.start + part.start - extent.offset, part.length)
        for extent in file.extents
        for part in file.lost.gaps(Range(extent.offset, extent.length))
    )


def _by_structure(disk: RawDisk, volumes: _Volumes, front: int, fronts: Sequence[int]) -> HostedFile | None:
    """The file that begins there, in one piece as far as nobody else has what follows; None where none does."""
    end = _end_of_stretch(disk, volumes, front, fronts)
    file = HostedFile(
        name=f"{front:016x}.vhdx", path=None, volume=None, origin=Origin.STRUCTURE, start=front, size=end - front,
        extents=(Extent(0, front, end - front),),
    )  # fmt: skip
    structures = Structures(PlacedSource(disk.source, file))
    if file.size < HEADER_AREA_SIZE or structures.header is None:
        return None
    try:
        image = image_of(structures)
    except (VhdxError, ConstructError, ValueError, KeyError, MemoryError) as error:  # it may be anything
        return replace(file, size=0, extents=(), reason=f"it is not in one piece, or damaged: {error}")
    owned = np.flatnonzero(owners_of(image.table))
    size = min(file.size, (int(owned[-1]) + 1) * MIB)
    name = f"{front:016x}.{'avhdx' if image.has_parent else 'vhdx'}"
    return replace(file, name=name, size=size, extents=(Extent(0, front, size),))


def _end_of_stretch(disk: RawDisk, volumes: _Volumes, front: int, fronts: Sequence[int]) -> int:
    """Where what a file begins with ends: with the next file, or with what is in use where it is free, or the reverse.

    A file without a record lies in what is free. Where records are lost, it lies in what no other file has.
    """
    number = bisect_right(fronts, front)
    following = fronts[number] if number < len(fronts) else disk.size
    rest = Range.between(front, following)
    used, present = volumes.used.within(rest), volumes.present.within(rest)
    is_used = volumes.used.touches(Range(front, 1))
    ends = (int(part.start) for part in (*present, *(used.gaps(rest) if is_used else used)))
    return min(following, next(ends, following))
