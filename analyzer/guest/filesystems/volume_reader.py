"""A volume's bytes as a file-system reader takes them: what is lost reads as zeros, and is noted."""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from analyzer.guest.filesystems.errors import MissingReaderError
from vhdx.disk import DiskSource
from vhdx.lost import NoteLost
from vhdx.ranges import NO_RANGES, GrowingRanges, Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind

# The Sleuth Kit asks for as much as a length in the volume says; this is more than any structure has.
MOST_READ = 64 << 20
# What was missed is noted until it is asked for; a library that retries must not fill memory.
_MOST_NOTED = 1 << 16


class BestEffortDisk(Protocol):
    """A disk whose every byte can be asked for."""

    size: int
    sector_size: int

    def read_best_effort(self, start: int, length: int) -> tuple[bytes, list[Range]]:
        """Bytes of the disk, and which of them cannot be known: those are zeros. All of it lies in the disk."""
        ...


class ReadableDisk:
    """A disk whose every byte can be asked for: what cannot be known reads as zeros, and is named."""

    def __init__(self, disk: DiskSource, lost: NoteLost | None = None) -> None:
        """Read `disk`, which stays the caller's to close, by a policy that notes what is lost."""
        self.size, self.sector_size = disk.size, disk.sector_size
        self._disk = disk
        self.doubtful: Ranges = getattr(disk, "stale", NO_RANGES)
        """What may be of another time than the rest, by the map of a disk that was recovered."""
        self._lost = lost or NoteLost(disk.sector_size)
        self._reader, self._lock = Reader(disk, self._lost), Lock()

    def data(self) -> Iterator[Range]:
        """The ranges that a file has something for, in order."""
        for table in self._disk.windows(0, self.size):
            yield from (Range(run.start, run.length) for run in table.of_kind(Kind.DATA))

    def read_best_effort(self, start: int, length: int) -> tuple[bytes, list[Range]]:
        """See BestEffortDisk."""
        with self._lock:  # what was missed is that of this very read
            return self._reader.read(start, length), self._lost.take_missed()


@dataclass(frozen=True, slots=True)
class Redirect:
    """Bytes of a volume that are read elsewhere in it, a backup that stands in for what is lost.

    Where `source` is None they are `content`, and zeros.
    """

    start: int
    length: int
    source: int | None
    content: bytes = b""


class View:
    """A volume, in bytes from its start. `missed` are the ranges of the disk that were asked for and are lost."""

    def __init__(self, disk: BestEffortDisk, start: int, length: int, redirects: tuple[Redirect, ...] = ()) -> None:
        """`length` bytes of `disk` from `start`, cut where the disk ends."""
        self.disk, self.start = disk, start
        self.size = max(0, min(length, disk.size - start))
        self.redirects = redirects
        self.missed = GrowingRanges()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the volume; fewer where it ends, zeros for what is lost."""
        length = max(0, min(length, self.size - offset, MOST_READ))
        if offset < 0 or not length:
            return b""
        data = self._read_plain(offset, length)
        for redirect in self.redirects:
            data = self._redirected(redirect, offset, data)
        return data

    def _read_plain(self, offset: int, length: int) -> bytes:
        data, missed = self.disk.read_best_effort(self.start + offset, length)
        if len(self.missed) < _MOST_NOTED:
            for part in missed:
                self.missed.add(part)
        return data

    def _redirected(self, redirect: Redirect, offset: int, data: bytes) -> bytes:
        lower, upper = max(offset, redirect.start), min(offset + len(data), redirect.start + redirect.length)
        if lower >= upper:
            return data
        piece = redirect.content[lower - redirect.start :][: upper - lower].ljust(upper - lower, b"\0")
        if redirect.source is not None:
            piece = self._read_plain(redirect.source + lower - redirect.start, upper - lower)
        return data[: lower - offset] + piece + data[lower - offset + len(piece) :]


def reader() -> Any:  # noqa: ANN401 - it ships no types
    """The module that reads file systems; raises MissingReaderError."""
    try:
        import pytsk3
    except ImportError:
        raise MissingReaderError from None
    return pytsk3


def image_of(view: View) -> Any:  # noqa: ANN401 - see above
    """The view as an image of pytsk3."""
    tsk = reader()

    class Image(tsk.Img_Info):  # type: ignore[name-defined,misc]  # it ships no types
        """Its own close is left out: the disk is not its to close."""

        def __init__(self) -> None:
            super().__init__(url="", type=tsk.TSK_IMG_TYPE_EXTERNAL)

        def close(self) -> None:
            """Nothing is to be closed."""

        def read(self, offset: int, size: int) -> bytes:
            """See View."""
            return view.read(offset, size)

        def get_size(self) -> int:
            """Bytes of the volume."""
            return view.size

    return Image()
