"""The files that lost and stale ranges touch, and the one volume of a disk without partitions."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, product

from analyzer.guest.filesystems.errors import MissingReaderError
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.readings import EXT, named_volumes, volumes_beneath, whole_ext
from analyzer.guest.filesystems.record import FileKind, FileRecord, Role, Trouble, VolumeRecord
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts.detect import end_of, recognise
from analyzer.guest.layouts.ext import START
from analyzer.guest.layouts.partitions import Partition, bounded, partitions_of
from analyzer.guest.usage.volumes import usages_of, volumes_of
from analyzer.recover.disk.filled import FilledDisk
from analyzer.recover.disk.wanted import records_at
from analyzer.recover.job import Plan
from analyzer.recovery_map.mapfile import Status
from analyzer.text import size
from vhdx.ranges import Ranges, union
from vhdx.reader import Reader
from vhdx.structures.constants import MAX_DISK_SIZE, SECTOR_SIZES

# OUT.json stays readable by usual programs; the numbers count all files.
MOST_LISTED = 100_000


@dataclass(frozen=True, slots=True)
class TouchedFile:
    """A file of which not all is known: how many bytes of its data, and whether what is known of it is.

    `size` is None where its record cannot be read: then all of it is lost, and nobody knows how much that is.
    """

    volume: int
    path: str
    kind: FileKind
    role: Role
    address: int
    size: int | None
    lost_bytes: int
    stale_bytes: int
    metadata: Status
    likely: bool = False
    """It is stale only because it rests on what was rebuilt."""

    @property
    def status(self) -> Status:
        """Lost where any of it is lost, else stale."""
        lost = self.lost_bytes or self.metadata is Status.LOST
        return Status.LOST if lost else Status.STALE


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFiles:
    """How many of the users' files, folders not counted, are whole, or have their worst part so."""

    known: int = 0
    likely: int = 0
    """Resting on what was rebuilt, and on nothing worse."""
    doubtful: int = 0
    lost: int = 0

    @property
    def all(self) -> int:
        """Those that could be listed."""
        return self.known + self.likely + self.doubtful + self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedFiles:
    """All files that are touched: the users' first, and those of which something is lost; `touched` ends after 100,000.

    `error` says why they could not be looked for. `untouched` are the users' files of which all is known, folders not
    counted; None where no volume could be listed, or none needed to be.
    """

    error: str | None = None
    volumes: tuple[VolumeRecord, ...] = ()
    count: int = 0
    lost: int = 0
    stale: int = 0
    untouched: int | None = None
    users: UserFiles | None = None
    """None where `untouched` is."""
    touched: tuple[TouchedFile, ...] = ()
    troubles: tuple[Trouble, ...] = ()


class Survey:
    """Looks at the file systems of a recovery once, when it is asked: after the data was read, all faults are known."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @property
    def pending(self) -> TouchedFiles:
        """What is said before the files are looked for, which comes last: the image is not to wait for it."""
        error = "not looked for yet: the image, its map and this account came first"
        return TouchedFiles(error=error) if self.is_needed else TouchedFiles()

    @property
    def is_needed(self) -> bool:
        """Whether anything is stale or lost, by what is known so far."""
        return any(self._plan.provenance.ranges(status) for status in (Status.LOST, Status.STALE))

    @cached_property
    def files(self) -> TouchedFiles:
        """The files that lost and stale ranges touch; none are looked for where everything is known."""
        lost, stale = map(self._plan.provenance.ranges, (Status.LOST, Status.STALE))
        if not lost and not stale:
            return TouchedFiles()
        try:
            disk = self._plan.filled.noted()
            volumes = open_volumes(ReadableDisk(disk, disk.policy))
        except MissingReaderError as error:
            return TouchedFiles(error=str(error))
        readable = [volume for volume in volumes if volume.is_readable and not volume.record.beneath]
        if self._plan.wanted:  # of all others nothing is known, as was asked
            wanted = product(readable, self._plan.request.only)
            records = chain.from_iterable(records_at(volume, path) for volume, path in wanted)
        else:
            records = chain.from_iterable(chain([one.root()], one.walk(), one.unnamed()) for one in readable)
        return _counted(volumes, records, lost, stale, stale - self._plan.provenance.likely())


def _counted(
    volumes: list[Volume], records: Iterable[FileRecord], lost: Ranges, stale: Ranges, doubtful: Ranges
) -> TouchedFiles:
    ranks = product((Role.USER, Role.SYSTEM), ("lost", "doubtful", "likely"))
    listed: dict[tuple[Role, str], list[TouchedFile]] = {rank: [] for rank in ranks}
    counts, users = dict.fromkeys((Status.LOST, Status.STALE), 0), Counter[str]()
    for record in records:
        file = touched_file(record, lost, stale)
        worst = _worst(record, file, doubtful)
        users[worst] += record.role is Role.USER and record.kind is FileKind.FILE
        if file is None:
            continue
        counts[file.status] += 1
        if len(listed[file.role, worst]) < MOST_LISTED:
            listed[file.role, worst].append(replace(file, likely=worst == "likely"))
    is_listed = any(volume.is_readable for volume in volumes)
    return TouchedFiles(
        volumes=tuple(volume.record for volume in volumes),
        count=sum(counts.values()),
        lost=counts[Status.LOST],
        stale=counts[Status.STALE],
        untouched=users["known"] if is_listed else None,
        users=UserFiles(**users) if is_listed else None,
        touched=tuple(islice(chain.from_iterable(listed.values()), MOST_LISTED)),
        troubles=tuple(trouble for volume in volumes for trouble in volume.troubles),
    )


def _worst(record: FileRecord, file: TouchedFile | None, doubtful: Ranges) -> str:
    """Which of `UserFiles` a file counts to."""
    if file is None:
        return "known"
    if file.status is Status.LOST:
        return "lost"
    return "doubtful" if doubtful.touches_any((*record.metadata, *record.content)) else "likely"


def touched_file(record: FileRecord, lost: Ranges, stale: Ranges) -> TouchedFile | None:
    """What of a file is in places that are lost or stale; None where all of it is known.

    A name whose record cannot be read is lost, wherever the record stands: an older state of it may be no record.
    """
    where = (*record.metadata, *record.content)
    touches = lost.touches_any(where) or stale.touches_any(where)
    if not touches and not record.is_name_alone:
        return None
    is_lost, is_stale = record.is_name_alone or lost.touches_any(record.metadata), stale.touches_any(record.metadata)
    return TouchedFile(
        volume=record.volume,
        path=record.path,
        kind=record.kind,
        role=record.role,
        address=record.address,
        size=None if record.is_name_alone else record.size,
        lost_bytes=_bytes_of(record, lost),
        stale_bytes=_bytes_of(record, stale),
        metadata=Status.LOST if is_lost else Status.STALE if is_stale else Status.KNOWN,
    )


def _bytes_of(record: FileRecord, ranges: Ranges) -> int:
    """Bytes of a file's data, and of its alternate streams, that lie in the ranges."""
    streams = (*((record.data,) if record.data else ()), *record.streams)
    count = 0
    for stream in streams:
        extents = Ranges.of(extent.on_disk for extent in stream.extents)
        count += sum(ranges.within(extent).size for extent in extents)
        count += stream.size if ranges.touches_any(stream.resident) else 0
    return count


def free_losses(plan: Plan) -> Ranges:
    """What of that which is lost the volumes have free, by those of their maps that are not lost: nobody misses it."""
    lost = plan.provenance.ranges(Status.LOST) - plan.filled.left_out
    if not lost:
        return lost
    noted = plan.filled.noted()
    usages = usages_of(ReadableDisk(noted, noted.policy))
    return lost & (union(usage.told for usage in usages) - union(usage.used for usage in usages))


def cut_volumes(disk: FilledDisk) -> Iterator[str]:
    """What is to be said of volumes that are larger than the disk: no file has the rest, and no map calls it lost."""
    noted = disk.noted()
    for volume in volumes_of(ReadableDisk(noted, noted.policy)):
        past = end_of(volume.front) - volume.view.size if volume.front else 0
        if 0 < past <= MAX_DISK_SIZE:
            yield (
                f"the volume at byte {volume.part.start} ends {size(past)} past the end of the disk, or of its "
                "partition: files there are lost, or in part"
            )


@dataclass(frozen=True, slots=True)
class WholeVolume:
    """A volume that is all of a disk. `superblock` is the block of the copy that stands; 0 for the first."""

    kind: str
    """ntfs, fat32, exfat, XFS, Btrfs; "ext" for ext2 to ext4."""
    block_size: int
    superblock: int
    blocks: int
    evidence: str
    over: tuple[str, ...]
    """The volumes that lie over it, and what speaks for each."""

    @property
    def needs_backup(self) -> bool:
        """Its first superblock is lost, which is what programs look for: they have to be told of another."""
        return self.kind == EXT and self.superblock > 0 and not self.over

    def __str__(self) -> str:
        if self.over:
            return (
                f"the disk has two readings: {'; '.join(self.over)}; and beneath, the {self.kind} volume of all of the "
                f"disk: {self.evidence}. `vhdx files` lists both, and --volume N reads either"
            )
        if self.kind != EXT:
            return f"the disk is one {self.kind} volume without partitions, whose beginning is lost: {self.evidence}"
        text = "the disk is one ext volume without partitions, as WSL and Docker have it"
        if self.needs_backup:
            return f"{text}; its superblock is lost, a backup stands: e2fsck -b {self.superblock} -B {self.block_size}"
        return f"{text}; its superblock stands"


def whole_volume(disk: FilledDisk) -> WholeVolume | None:
    """The volume that takes all of the disk: one that lies beneath others, or an ext; None where there is none."""
    read = bounded(Reader(disk).read, 0, disk.size)
    parts = partitions_of(read, disk.size, SECTOR_SIZES) or (Partition(0, 0, disk.size),)
    standing = {recognise(bounded(read, part.start, part.end)).type for part in parts if part.start == 0}
    found = next(volumes_beneath(read, disk.size, standing), None)
    over = tuple(named_volumes(read, parts, disk.size)) if found else ()
    found = found or whole_ext(read, disk.size)
    if found is None:
        return None
    block = 0 if found.at == START else found.at // found.unit
    return WholeVolume(found.type, found.unit, block, found.count, found.evidence, over)
