"""Raw images: what is written to them, and how they are read back."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from analyzer.convert.cells import InOrder
from vhdx.disk import Disk
from vhdx.ranges import Range, Ranges, joined
from vhdx.runs import Kind, RunTable
from vhdx.sink import Sink
from vhdx.source import ByteSource, FileSource

# Holes begin and end upon this; no file system is known to have smaller ones, and one that had would read as data.
_GRAIN = 4096
# A sparse file may have millions of ranges: a table is made for so many of them.
_AT_ONCE = 1 << 16


class RawTarget:
    """A raw image in a file: sparse, for zeros are never written. It takes cells in any order."""

    def __init__(self, sink: Sink, size: int) -> None:
        """Begin an image of `size` bytes."""
        self._sink = sink
        sink.set_size(size)  # the end of a disk may be zeros, which nobody writes

    def write(self, start: int, data: memoryview) -> None:
        """See Target."""
        self._sink.write_at(start, data)


class StreamTarget:
    """A raw image in a pipe: every byte is written, in order."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        """Begin an image of `size` bytes."""
        self._stream, self._size, self._bytes = stream, size, InOrder(stream.write)

    def write(self, start: int, data: memoryview) -> None:
        """See Target."""
        self._bytes.put(start, data)

    def finish(self) -> None:
        """Write what zeros are left, and send everything off."""
        self._bytes.zeros_until(self._size)
        self._stream.flush()


class RawDisk(Disk):
    """A raw image, opened read-only: its bytes are the disk's, its file system's holes are zeros."""

    sector_size = 512
    """A raw image does not say."""
    findings = ()
    """None: any bytes are a raw image."""

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
    def sources(self) -> Sequence[ByteSource]:
        """The file itself."""
        return (self.file,)

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: DATA where the file system holds something, ZERO elsewhere."""
        upto = self.size if end is None else min(end, self.size)
        held, position = self._held(start, upto), start
        while some := list(islice(held, _AT_ONCE)):
            table = RunTable.marking(Ranges.of(some), Range.between(position, some[-1].end), Kind.DATA)
            is_data = table.kind == Kind.DATA
            kind, offset = np.where(is_data, table.kind, Kind.ZERO), np.where(is_data, table.start, 0)
            yield replace(table, kind=kind, file_offset=offset)
            position = table.end
        if position < upto:
            yield RunTable.filled(position, upto, Kind.ZERO, 0)

    def extents(self) -> Iterator[Range]:
        """What the file system holds of it; all of it where that cannot be asked."""
        return self.file.extents()

    def require_unchanged(self) -> None:
        """See Disk."""
        self.file.require_unchanged()

    def close(self) -> None:
        """See Disk."""
        self.file.close()

    def _held(self, start: int, end: int) -> Iterator[Range]:
        """What the file holds from `start` to `end`, in whole grains but for these edges."""
        extents = self.file.extents(start // _GRAIN * _GRAIN)
        grains = (Range.between(one.start // _GRAIN * _GRAIN, -(-one.end // _GRAIN) * _GRAIN) for one in extents)
        for one in takewhile(lambda one: one.start < end, joined(grains)):
            yield Range.between(max(start, one.start), min(end, one.end))
