"""Disks as files: each state of a chain, each restore point."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock

from analyzer.address.point import RestorePoint
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.mount.tree import Attributes, File, FixedFolder, Type
from analyzer.serve.export import Guard
from vhdx.disk import Disk
from vhdx.plans import Plans
from vhdx.ranges import Range, Ranges, joined
from vhdx.reader import Reader
from vhdx.runs import Kind

SUFFIX = ".raw"
_BILLION = 1_000_000_000


class StateFile(File):
    """The bytes of a disk.

    FUSE's threads come and go: a reader of one's own for each would be a cold one for nearly every request. So readers
    wait on a stack, the warmest on top.
    """

    def __init__(self, disk: Disk, modified_ns: int) -> None:
        """Read `disk`, which is closed by who opened it."""
        self._disk, self._modified_ns, self._guard = disk, modified_ns, Guard(disk)
        self._readers, self._plans = deque[Reader](), Plans(disk)
        self._kept: tuple[Range, Ranges] | None = None

    def attributes(self) -> Attributes:
        """See Node."""
        size, modified = self._disk.size, self._modified_ns
        return Attributes(type=Type.FILE, size=size, stored=self._stored, modified_ns=modified)

    @cached_property
    def _stored(self) -> int:
        return sum(table.bytes_of(Kind.DATA) + table.bytes_of(Kind.LOST) for table in self._disk.windows())

    def is_exact(self) -> bool:
        """Whether anything is lost: of that the sectors themselves fail, and not the pages of memory they are in."""
        return self._is_lossy

    @cached_property
    def _is_lossy(self) -> bool:
        return any((table.kind == Kind.LOST).any() for table in self._disk.windows())

    def read(self, start: int, length: int) -> bytes:
        """See File; raises SourceChangedError where somebody wrote to a file of the disk."""
        self._guard.require_unchanged()
        with self._warm_reader() as reader:
            return reader.read(start, max(0, min(length, self._disk.size - start)))

    def read_into(self, start: int, buffer: memoryview) -> int:
        """See File; raises as `read` does."""
        self._guard.require_unchanged()
        part = buffer[: max(0, self._disk.size - start)]
        with self._warm_reader() as reader:
            reader.read_into(start, part)
        return len(part)

    @contextmanager
    def _warm_reader(self) -> Iterator[Reader]:
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = Reader(self._disk, plans=self._plans)
        try:
            yield reader
        finally:
            self._readers.append(reader)

    def next_data(self, start: int) -> int | None:
        """See File."""
        while start < self._disk.size:
            end, found = self._next_held(start)
            if found is not None:
                return found.start
            start = end
        return None

    def next_hole(self, start: int) -> int:
        """See File."""
        while start < self._disk.size:
            end, found = self._next_held(start)
            if found is None or found.start > start:
                return start
            if found.end < end:
                return found.end
            start = end
        return self._disk.size

    def _next_held(self, start: int) -> tuple[int, Range | None]:
        """The first range from `start` on that may be other than zeros, as far as a window goes, and where that ends.

        The last window is kept: programs that copy holes ask for one after another, and to make it takes a second.
        """
        kept = self._kept
        if kept is None or not kept[0].start <= start < kept[0].end:
            table = next(iter(self._disk.windows(start)))
            held = table.select((table.kind == Kind.DATA) | (table.kind == Kind.LOST)).ranges
            kept = self._kept = Range.between(start, table.end), Ranges.of(joined(held))
        window, ranges = kept
        return window.end, next(iter(ranges.within(Range.between(start, window.end))), None)


class PointFile(File):
    """A restore point, opened when it is read: a list of them costs their manifests alone."""

    def __init__(self, repository: Repository, manifest: Manifest) -> None:
        """The point that the manifest is of."""
        self._repository, self._manifest, self._lock = repository, manifest, Lock()
        self._opened: StateFile | None = None

    def attributes(self) -> Attributes:
        """See Node. What it stores is not known before it is opened: less than all, so that holes are asked for."""
        if self._opened is not None:
            return self._opened.attributes()
        size, made = self._manifest.size, int(self._manifest.created.timestamp()) * _BILLION
        return Attributes(type=Type.FILE, size=size, stored=max(0, size - 512), modified_ns=made)

    def is_exact(self) -> bool:
        """See File."""
        return bool(self._manifest.lost)

    def read(self, start: int, length: int) -> bytes:
        """See File."""
        return self._file.read(start, length)

    def read_into(self, start: int, buffer: memoryview) -> int:
        """See File."""
        return self._file.read_into(start, buffer)

    def next_data(self, start: int) -> int | None:
        """See File."""
        return self._file.next_data(start)

    def next_hole(self, start: int) -> int:
        """See File."""
        return self._file.next_hole(start)

    @property
    def _file(self) -> StateFile:
        with self._lock:
            if self._opened is None:
                disk = RestorePoint(self._repository, self._manifest.name)
                self._opened = StateFile(disk, int(self._manifest.created.timestamp()) * _BILLION)
            return self._opened


def states_folder(states: Iterable[tuple[str, Disk]]) -> FixedFolder:
    """A folder with each of these disks as NAME.raw."""
    return FixedFolder({f"{name}{SUFFIX}": StateFile(disk, _modified(disk.path)) for name, disk in states})


def points_folder(repository: Repository) -> FixedFolder:
    """A folder with each restore point as POINT.raw, but for those whose manifest cannot be read."""
    manifests, _ = repository.survey()
    return FixedFolder({f"{one.name}{SUFFIX}": PointFile(repository, one) for one in manifests})


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError):
        return 0
