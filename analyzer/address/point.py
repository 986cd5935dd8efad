"""A restore point as a disk whose losses are LOST: chunks that are missing or damaged, and what was lost before."""

from collections.abc import Sequence
from pathlib import Path

from analyzer.backup.errors import BackupError
from analyzer.backup.repository.repository import Repository
from analyzer.backup.restore import ChunkSource, PointDisk
from analyzer.text import named_path
from vhdx.disk import Mask, MaskedDisk
from vhdx.errors import NotRescuedError
from vhdx.ranges import Ranges
from vhdx.source import ByteSource

_LOST_BEFORE = "it was lost already when the restore point was made"


class LostChunkError(NotRescuedError):
    """A chunk that a range of the disk is made of is missing or damaged; all else can be read."""

    def __init__(self, point: Path, start: int, length: int, cause: BackupError) -> None:
        super().__init__(point, point, start, length)
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.path}: {self.length} bytes of the disk at {self.start} cannot be known: {self.cause}"


class _Chunks(ChunkSource):
    """The bytes of a restore point; a chunk that cannot be had fails as an unreadable range."""

    def instead_of(self, number: int, length: int, cause: BackupError) -> bytes:
        """Nothing; raises LostChunkError."""
        raise LostChunkError(self.path, number * self.chunk_size, length, cause)


class RestorePoint(MaskedDisk):
    """A restore point as a disk. Closing it closes nothing: the place of its repository is whoever opened that's."""

    def __init__(self, repository: Repository, name: str) -> None:
        """Open it; raises NoSuchPointError, MissingObjectError, DamagedObjectError, PlaceError."""
        self.point = PointDisk(repository, name)
        self.title = f"{repository.place.url}::{name}"
        super().__init__(self.point, Mask.of(Ranges.of(self.point.manifest.lost), self.point.size, _LOST_BEFORE))
        self._chunks = _Chunks(self.point.store, self.point.index, name)

    @property
    def path(self) -> Path:
        """What to call it in a message; no file has this path."""
        return named_path(self.title)

    @property
    def sources(self) -> Sequence[ByteSource]:
        """Its chunks."""
        return (self._chunks,)

    def close(self) -> None:
        """See Disk."""
