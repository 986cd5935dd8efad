"""The file systems inside a disk as folders: what `vhdx files` lists, read-only, without any driver of the system."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import RLock

from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import SLASH, FileKind, FileRecord, Packing, Role, Stream
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.mount.tree import Attributes, File, FixedFolder, Folder, Link, Node, Type
from vhdx.disk import Disk
from vhdx.errors import LostDataError
from vhdx.ranges import Range

# Records that are kept, some 100 MB of them: `find` asks for each folder several times, and for all of a disk.
_MOST_RECORDS = 1 << 17


def volumes_folder(disk: Disk) -> FixedFolder:
    """A folder with a folder for each volume that can be read, by its number. Raises MissingReaderError."""
    lock = RLock()  # one process reads for all volumes of a disk, one question at a time
    shown = [_Shown(disk, volume, lock) for volume in open_volumes(ReadableDisk(disk)) if volume.is_readable]
    return FixedFolder({str(one.volume.record.number): VolumeFolder(one, one.volume.root()) for one in shown})


class _Shown:
    """A volume that is shown, and what is in the folders that were asked for last."""

    def __init__(self, disk: Disk, volume: Volume, lock: RLock) -> None:
        self.disk, self.volume, self.lock = disk, volume, lock
        self._kept, self._count = OrderedDict[str, Mapping[str, FileRecord]](), 0

    def children(self, folder: FileRecord) -> Mapping[str, FileRecord]:
        """What is in a folder, by the names that it is shown under."""
        with self.lock:
            found = self._kept.get(folder.path)
            if found is None:
                records = [one for one in self.volume.entries(folder) if one.role is Role.USER]
                found = {name: record for record in reversed(records) if (name := name_of(record))}
                self._kept[folder.path], self._count = found, self._count + len(found) + 1
            self._kept.move_to_end(folder.path)
            while self._count > _MOST_RECORDS and len(self._kept) > 1:
                self._count -= len(self._kept.popitem(last=False)[1]) + 1
            return found

    def read(self, record: FileRecord, stream: Stream, part: Range) -> bytes:
        """A part of a file; raises LostDataError where any of it is lost."""
        with self.lock:
            data = self.volume.read(record, stream, part)
            for place in _places(stream, part):
                if self.volume.missed.touches(place):
                    reason = f"it is of the file {record.path}, and lost"
                    raise LostDataError(self.disk.path, place.start, place.length, reason)
        return data


class VolumeFolder(Folder):
    """A folder of a volume."""

    def __init__(self, shown: _Shown, record: FileRecord) -> None:
        """The folder that `record` is of."""
        self._shown, self._record = shown, record

    def attributes(self) -> Attributes:
        """See Node."""
        return Attributes(type=Type.FOLDER, modified_ns=self._record.times.modified or 0)

    def names(self) -> Iterable[str]:
        """See Folder."""
        return [name for name, record in self._shown.children(self._record).items() if self._node(record)]

    def child(self, name: str) -> Node | None:
        """See Folder."""
        record = self._shown.children(self._record).get(name)
        return self._node(record) if record else None

    def _node(self, record: FileRecord) -> Node | None:
        if record.kind is FileKind.DIRECTORY:
            return VolumeFolder(self._shown, record)
        if record.kind is FileKind.LINK and record.target is not None:
            return Link(record.target)
        return VolumeFile(self._shown, record) if record.kind is FileKind.FILE else None


class VolumeFile(File):
    """A file of a volume."""

    def __init__(self, shown: _Shown, record: FileRecord) -> None:
        """The file that `record` is of."""
        self._shown, self._record = shown, record

    def attributes(self) -> Attributes:
        """See Node."""
        size = self._record.data.size if self._record.data else 0
        return Attributes(type=Type.FILE, size=size, stored=size, modified_ns=self._record.times.modified or 0)

    def read(self, start: int, length: int) -> bytes:
        """See File."""
        stream = self._record.data
        if stream is None or start >= stream.size:
            return b""
        return self._shown.read(self._record, stream, Range(start, min(length, stream.size - start)))


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
