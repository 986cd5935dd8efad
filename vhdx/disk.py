"""What an image and a chain have in common: a size, runs, and their bytes. And disks with ranges that are LOST."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from vhdx.errors import LostDataError, VhdxError
from vhdx.findings import Finding
from vhdx.plans import RunSource
from vhdx.ranges import Range, Ranges
from vhdx.reader import ChainStream, Reader
from vhdx.runs import Kind, Run, RunTable, concatenate, with_lost
from vhdx.source import ByteSource, Closing, close_source


class DiskSource(RunSource, Protocol):
    """A disk that can be written as one image, once it is known what the image is to be."""

    @property
    @abstractmethod
    def sector_size(self) -> int:
        """Bytes of a logical sector."""

    @property
    @abstractmethod
    def findings(self) -> tuple[Finding, ...]:
        """What opening found that is no error: notes, and warnings that someone should hear."""

    @abstractmethod
    def require_unchanged(self) -> None:
        """Raise SourceChangedError when somebody wrote to a file of the disk since it was opened."""


class Disk(Closing, DiskSource):
    """A disk that can be read. Close it, or use it in a `with` statement."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The file that was opened: the leaf of a chain."""

    @abstractmethod
    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """Run tables that follow one another from byte `start` to byte `end` of the disk, each of bounded size."""

    def runs(self, start: int = 0, end: int | None = None) -> RunTable:
        """All runs from byte `start` to byte `end` of the disk, in one table; `windows` is for disks that are large.

        Raises ValueError for a negative place.
        """
        if start < 0 or (end is not None and end < 0):
            raise ValueError(f"cannot list runs from {start} to {end}")
        return concatenate(self.windows(start, end))

    def holds_data(self, start: int, end: int) -> bool:
        """Whether all from byte `start` to byte `end` is DATA: no zeros by a table, no hole, nothing LOST.

        Raises as `windows` does.
        """
        position = start
        # Place by place, as short reads are: who asks for some bytes many times over waits for no runs of the rest.
        find = self._reader.find
        while find is not None and position < end:
            found = find(position, end)
            if found is None:
                break
            position, kind, _, _ = found
            if kind != Kind.DATA:
                return False
        return position >= end or all(run.kind is Kind.DATA for run in self.runs(position, end))

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


class FileDisk(Disk):
    """A disk that one file holds, or what stands for a file."""

    source: ByteSource
    """The file's bytes, as its disk is read from them."""

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.source.path

    @property
    def size(self) -> int:
        """Bytes of the disk: those of its file, where a format does not say another number."""
        return self.source.size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The one file."""
        return (self.source,)

    def require_unchanged(self) -> None:
        """See DiskSource; of what is no file nobody can tell."""
        getattr(self.source, "require_unchanged", lambda: None)()

    def close(self) -> None:
        """Close the file."""
        close_source(self.source)


class ThroughDisk(DiskSource):
    """A disk that shows another one: what a subclass does not say itself, that one says."""

    def __init__(self, inner: DiskSource) -> None:
        """Show `inner`, which is its opener's to close."""
        self.inner = inner

    @property
    def size(self) -> int:
        """See RunSource."""
        return self.inner.size

    @property
    def sector_size(self) -> int:
        """See DiskSource."""
        return self.inner.sector_size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """See RunSource."""
        return self.inner.sources

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See DiskSource."""
        return self.inner.findings

    def error_for(self, run: Run) -> VhdxError | None:
        """See RunSource."""
        return self.inner.error_for(run)

    def require_unchanged(self) -> None:
        """See DiskSource."""
        self.inner.require_unchanged()


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Ranges of a disk that are LOST, and the reason, a clause for the end of a sentence."""

    ranges: Ranges
    reason: str

    @classmethod
    def of(cls, ranges: Ranges, size: int, reason: str) -> "Mask":
        """The ranges of a disk of `size` bytes; what is past its end is left out."""
        return cls(ranges.within(Range(0, size)), reason)

    def holds(self, start: int) -> bool:
        """Whether the byte at `start` of the disk is in one of the ranges."""
        return self.ranges.touches(Range(start, 1))


class MaskedDisk(ThroughDisk, Disk):
    """A disk that reads as another does, but for the ranges of a mask: these are LOST."""

    inner: Disk

    def __init__(self, inner: Disk, mask: Mask) -> None:
        """Read `inner`, which is closed with this."""
        super().__init__(inner)
        self.mask = mask

    @property
    def path(self) -> Path:
        """See Disk."""
        return self.inner.path

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: the runs of the inner disk, LOST where the mask is."""
        return (with_lost(table, self.mask.ranges) for table in self.inner.windows(start, end))

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        # What is LOST by the mask and what is by the tables can be one run: its first byte decides whose reason it is.
        if run.kind is Kind.LOST and self.mask.holds(run.start):
            return LostDataError(self.path, run.start, run.length, self.mask.reason)
        return super().error_for(run)

    def close(self) -> None:
        """See Disk."""
        self.inner.close()
