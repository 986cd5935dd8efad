"""A raw image as a disk: its bytes are the disk's, its file system's holes are zeros."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.ranges import Range, joined
from vhdx.runs import Kind, Run, RunTable
from vhdx.source import ByteSource, FileSource

SECTOR = 512
_GRAIN = 4096
"""Holes begin and end upon this; no file system is known to have smaller ones, and one that had would read as data."""
_AT_ONCE = 1 << 16


class RawImage(Disk):
    """A raw image, opened read-only."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises NotRegularFileError, InputOutputError."""
        self.file = FileSource(path)

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file.path

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.size

    @property
    def sector_size(self) -> int:
        """512: a raw image does not tell."""
        return SECTOR

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The file itself."""
        return (self.file,)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """None: any bytes are a raw image."""
        return ()

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: DATA where the file system holds something, ZERO elsewhere."""
        upto = self.size if end is None else min(end, self.size)
        rows: list[tuple[int, int, int, int, int]] = []
        position = start
        for held in self._held(start, upto):
            if held.start > position:
                rows.append((position, held.start - position, Kind.ZERO, 0, 0))
            rows.append((*held, Kind.DATA, 0, held.start))
            position = held.end
            if len(rows) >= _AT_ONCE:
                yield RunTable.of(rows)
                rows = []
        if position < upto:
            rows.append((position, upto - position, Kind.ZERO, 0, 0))
        if rows:
            yield RunTable.of(rows)

    def refusal(self, run: Run) -> VhdxError | None:  # noqa: ARG002 - what Disk asks
        """Everything can be read."""
        return None

    def require_unchanged(self) -> None:
        """See Disk."""
        self.file.require_unchanged()

    def close(self) -> None:
        """Give the file back to the system."""
        self.file.close()

    def _held(self, start: int, end: int) -> Iterator[Range]:
        """What the file holds from `start` to `end`, in whole grains but for these edges."""
        extents = self.file.extents()
        grains = (Range.between(one.start // _GRAIN * _GRAIN, -(-one.end // _GRAIN) * _GRAIN) for one in extents)
        for one in takewhile(lambda one: one.start < end, joined(grains)):
            if one.end > start:
                yield Range.between(max(start, one.start), min(end, one.end))
