"""What an image and a chain have in common: a size, runs, and the bytes they stand for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.reader import Reader
from vhdx.runs import Run, RunTable, concatenate
from vhdx.source import ByteSource
from vhdx.stream import ChainStream


class Disk(ABC):
    """A disk that can be read. Close it, or use it in a `with` statement."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The file that was opened: the leaf of a chain."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the virtual disk."""

    @property
    @abstractmethod
    def sector_size(self) -> int:
        """Bytes of a logical sector."""

    @property
    @abstractmethod
    def sources(self) -> Sequence[ByteSource]:
        """The file of each layer, base first, as it is once its log is replayed."""

    @property
    @abstractmethod
    def findings(self) -> tuple[Finding, ...]:
        """What opening found that is no error: notes, and warnings that someone should hear."""

    @abstractmethod
    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """Run tables that follow one another from byte `start` to byte `end` of the disk, each of bounded size."""

    @abstractmethod
    def refusal(self, run: Run) -> VhdxError | None:
        """The error that reading the run must raise; None when it can be read."""

    @abstractmethod
    def require_unchanged(self) -> None:
        """Raise SourceChangedError when somebody wrote to a file of the disk since it was opened."""

    @abstractmethod
    def close(self) -> None:
        """Give the files back to the system."""

    def runs(self, start: int = 0, end: int | None = None) -> RunTable:
        """All runs from byte `start` to byte `end` of the disk, in one table; `windows` is for disks that are large.

        Raises ValueError for a negative place.
        """
        if start < 0 or (end is not None and end < 0):
            raise ValueError(f"cannot list runs from {start} to {end}")
        return concatenate(self.windows(start, end))

    def read(self, start: int, length: int) -> bytes:
        """Bytes of the disk, fewer where it ends before.

        Raises ValueError for a negative place or length; LostDataError for what cannot be known; NeedsParentError
        for what only a parent knows; InputOutputError and ShortReadError when a file fails.
        """
        if start < 0 or length < 0:
            raise ValueError(f"cannot read {length} bytes at {start}")
        return self._reader.read(start, max(0, min(length, self.size - start)))

    def stream(self) -> ChainStream:
        """A file object over the disk."""
        return ChainStream(self)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}, {self.size} bytes>"

    def __enter__(self) -> Self:
        """The disk itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
