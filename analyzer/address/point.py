"""A restore point as a disk whose losses are LOST: chunks that are missing or damaged, and what was lost before."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

from analyzer.backup.errors import BackupError, BadChunkError, MissingObjectError, UnreadableObjectError
from analyzer.backup.repository.repository import Repository
from analyzer.backup.restore import PointDisk
from analyzer.text import named_path
from vhdx.disk import Disk, Mask
from vhdx.errors import LostDataError, NotRescuedError, VhdxError
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, Run, RunTable, with_lost
from vhdx.source import ByteSource

_LOST_BEFORE = "it was lost already when the restore point was made"


class LostChunkError(NotRescuedError):
    """A chunk that a range of the disk is made of is missing or damaged; all else can be read."""

    def __init__(self, point: Path, start: int, length: int, cause: BackupError) -> None:
        super().__init__(point, point, start, length)
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.path}: {self.length} bytes of the disk at {self.start} cannot be known: {self.cause}"


class _Chunks:
    """The bytes of a restore point; a chunk that cannot be had fails as an unreadable range, and is asked for once."""

    def __init__(self, inner: ByteSource, chunk_size: int) -> None:
        self._inner, self._chunk_size, self.path, self.size = inner, chunk_size, inner.path, inner.size
        self._failed, self._lock = dict[int, BackupError](), Lock()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource; raises LostChunkError, PlaceError."""
        for number in range(offset // self._chunk_size, -(-(offset + len(buffer)) // self._chunk_size)):
            start = number * self._chunk_size
            part = Range.between(max(offset, start), min(offset + len(buffer), start + self._chunk_size))
            cause = self._failed.get(number) or self._read(part, buffer[part.start - offset : part.end - offset])
            if cause is not None:
                with self._lock:
                    self._failed[number] = cause
                length = min(self._chunk_size, self.size - start)
                raise LostChunkError(self.path, start, length, cause)

    def _read(self, part: Range, buffer: memoryview) -> BackupError | None:
        try:
            self._inner.read_into(part.start, buffer)
        except (MissingObjectError, BadChunkError, UnreadableObjectError) as error:
            return error
        return None


class RestorePoint(Disk):
    """A restore point as a disk. Closing it closes nothing: the place of its repository is whoever opened that's."""

    findings = ()
    """None: what was wrong when the point was made is in the manifest."""

    def __init__(self, repository: Repository, name: str) -> None:
        """Open it; raises NoSuchPointError, MissingObjectError, DamagedObjectError, PlaceError."""
        self.point = PointDisk(repository, name)
        self.title = f"{repository.place.url}::{name}"
        self._mask = Mask.of(Ranges.of(self.point.manifest.lost), self.size, _LOST_BEFORE)
        self._chunks = _Chunks(self.point.chunks, self.point.index.chunk_size)

    @property
    def path(self) -> Path:
        """What to call it in a message; no file has this path."""
        return named_path(self.title)

    @property
    def size(self) -> int:
        """See Disk."""
        return self.point.size

    @property
    def sector_size(self) -> int:
        """See Disk."""
        return self.point.sector_size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """Its chunks."""
        return (self._chunks,)

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: DATA for chunks that hold something, ZERO for others, LOST for what was lost before."""
        return (with_lost(table, self._mask.ranges) for table in self.point.windows(start, end))

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        if run.kind is not Kind.LOST:
            return None
        return LostDataError(self.path, run.start, run.length, self._mask.reason)

    def require_unchanged(self) -> None:
        """See Disk: chunks never change, each is checked when it is read."""

    def close(self) -> None:
        """See Disk."""
