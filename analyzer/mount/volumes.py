"""The file systems inside a disk as folders: what `vhdx files` lists, read-only, without any driver of the system."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from threading import RLock

from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import SLASH, FileKind, FileRecord, Packing, Role, Stream
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.mount.tree import Attributes, File, FixedFolder, Folder, Link, Node, Type
from vhdx.disk import Disk
from vhdx.errors import LostDataError
from vhdx.ranges import Range


def volumes_folder(disk: Disk) -> FixedFolder:
    """A folder with a folder for each volume that can be read, by its number. Raises MissingReaderError."""
    lock = RLock()  # one process reads for all volumes of a disk, one question at a time
    volumes = [volume for volume in open_volumes(ReadableDisk(disk)) if volume.is_readable]
    return FixedFolder(
        {str(volume.record.number): VolumeFolder(disk, volume, volume.root(), lock) for volume in volumes}
    )


class VolumeFolder(Folder):
    """A folder of a volume."""

    def __init__(self, disk: Disk, volume: Volume, record: FileRecord, lock: RLock) -> None:
        """The folder that `record` is of, on `disk`."""
        self._disk, self._volume, self._record, self._lock = disk, volume, record, lock

    def attributes(self) -> Attributes:
        """See Node."""
        return Attributes(type=Type.FOLDER, modified_ns=self._record.times.modified or 0)

    def names(self) -> Iterable[str]:
        """See Folder."""
        return self._children

    def child(self, name: str) -> Node | None:
        """See Folder."""
        return self._children.get(name)

    @cached_property
    def _children(self) -> Mapping[str, Node]:
        with self._lock:
            records = [one for one in self._volume.entries(self._record) if one.role is Role.USER]
        named = {name_of(record): record for record in reversed(records)}
        nodes = ((name, self._node(record)) for name, record in named.items() if name)
        return {name: node for name, node in nodes if node is not None}

    def _node(self, record: FileRecord) -> Node | None:
        if record.kind is FileKind.DIRECTORY:
            return VolumeFolder(self._disk, self._volume, record, self._lock)
        if record.kind is FileKind.LINK and record.target is not None:
            return Link(record.target)
        return VolumeFile(self._disk, self._volume, record, self._lock) if record.kind is FileKind.FILE else None


class VolumeFile(File):
    """A file of a volume."""

    def __init__(self, disk: Disk, volume: Volume, record: FileRecord, lock: RLock) -> None:
        """The file that `record` is of, on `disk`."""
        self._disk, self._volume, self._record, self._lock = disk, volume, record, lock

    def attributes(self) -> Attributes:
        """See Node."""
        size = self._record.data.size if self._record.data else 0
        return Attributes(type=Type.FILE, size=size, stored=size, modified_ns=self._record.times.modified or 0)

    def read(self, start: int, length: int) -> bytes:
        """See File."""
        stream = self._record.data
        if stream is None or start >= stream.size:
            return b""
        part = Range(start, min(length, stream.size - start))
        with self._lock:
            data = self._volume.read(self._record, stream, part)
            for place in _places(stream, part):
                if self._volume.missed.touches(place):
                    reason = f"it is of the file {self._record.path}, and lost"
                    raise LostDataError(self._disk.path, place.start, place.length, reason)
        return data


def _places(stream: Stream, part: Range) -> Iterable[Range]:
    """Where a part of a stream is on the disk; of a packed one all of it: any of that may be needed."""
    yield from stream.resident
    for extent in stream.extents:
        if stream.packing is not Packing.PLAIN:
            yield extent.on_disk
            continue
        start, end = max(part.start, extent.offset), min(part.end, extent.offset + extent.length)
        if start < end:
            yield Range(extent.start + start - extent.offset, end - start)


def name_of(record: FileRecord) -> str:
    """The name of a file as a folder may have it: "" for one that no folder can have."""
    name = record.name.replace(SLASH, "_").replace("/", "_").replace("\0", "_")
    return "" if name in {".", ".."} else name
