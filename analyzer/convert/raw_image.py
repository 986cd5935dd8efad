"""Raw images: what is written to them, and how they are read back."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from vhdx.errors import VhdxError
from vhdx.ranges import Range
from vhdx.runs import Kind, Run, RunTable
from vhdx.sink import Sink
from vhdx.source import ByteSource, FileSource

_ZEROS = bytes(1 << 20)


class RawTarget:
    """A raw image in a file: sparse, for zeros are never written. It takes cells in any order."""

    def __init__(self, sink: Sink, size: int) -> None:
        """Begin an image of `size` bytes."""
        self._sink = sink
        sink.set_size(size)

    def write(self, start: int, data: memoryview) -> None:
        """See Target."""
        self._sink.write_at(start, data)


class StreamTarget:
    """A raw image in a pipe: every byte is written, in order."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        """Begin an image of `size` bytes."""
        self._stream, self._size, self._position = stream, size, 0

    def write(self, start: int, data: memoryview) -> None:
        """See Target."""
        self._pad(start)
        self._stream.write(data)
        self._position = start + len(data)

    def finish(self) -> None:
        """Write what zeros are left, and send everything off."""
        self._pad(self._size)
        self._stream.flush()

    def _pad(self, until: int) -> None:
        while self._position < until:
            step = min(len(_ZEROS), until - self._position)
            self._stream.write(_ZEROS[:step])
            self._position += step


class RawDisk:
    """A raw image, opened to be read back."""

    def __init__(self, path: Path) -> None:
        """Open it; raises InputOutputError."""
        self._source = FileSource(path)

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._source.size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The file itself."""
        return (self._source,)

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """One run: all of it is data."""
        yield RunTable.of([(start, end - start, Kind.DATA, 0, start)] if end > start else [])

    def refusal(self, _run: Run) -> VhdxError | None:
        """Everything can be read."""
        return None

    def extents(self) -> Iterator[Range]:
        """What the file system holds of it; all of it where that cannot be asked."""
        return self._source.extents()

    def close(self) -> None:
        """Give the file back to the system."""
        self._source.close()
