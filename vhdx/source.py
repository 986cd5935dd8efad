"""Reading, by position and exactly: the only module that opens files for reading."""

import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol, Self

from vhdx.errors import (
    FileInUseError,
    InputOutputError,
    NotRegularFileError,
    NotRescuedError,
    ShortReadError,
    SourceChangedError,
    VhdxError,
)
from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.system import files

_ZEROS = bytes(1 << 16)


class ByteSource(Protocol):
    """Bytes by position. Nothing here has a cursor, and a short read is an error."""

    @property
    def path(self) -> Path:
        """What to call the source in a message."""
        ...

    @property
    def size(self) -> int:
        """Bytes that can be read."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`; raises ShortReadError where the source ends early, InputOutputError."""
        ...


def read_at(source: ByteSource, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`; raises as `ByteSource.read_into` does."""
    if offset + length > source.size:
        raise ShortReadError(source.path, offset, length, max(0, source.size - offset))
    # The bytes that a BytesIO was made from and that nobody else holds can be filled in place: no second copy.
    holder = BytesIO(bytes(length))
    with holder.getbuffer() as buffer:
        source.read_into(offset, buffer)
    return holder.getvalue()


def holds_something(source: ByteSource, start: int, length: int, *, unreadable: bool) -> bool:
    """Whether any byte that the source has of a range is not zero; `unreadable` where that cannot be read."""
    size, end = len(_ZEROS), min(start + length, source.size)
    try:
        return any(read_at(source, at, min(size, end - at)) != _ZEROS[: end - at] for at in range(start, end, size))
    except VhdxError:
        return unreadable


def read_if_possible(source: ByteSource, offset: int, length: int) -> bytes:
    """As `read_at`; b"" where the file ends before, or its medium fails: for what is merely looked for there."""
    try:
        return read_at(source, offset, length)
    except VhdxError:
        return b""


@dataclass(frozen=True, slots=True)
class Unread:
    """What of a file was never read from the medium that it was copied from, by the map of the copying program."""

    map: Path
    ranges: Ranges


class Closing(ABC):
    """What keeps files open: close it, or use it in a `with` statement."""

    @abstractmethod
    def close(self) -> None:
        """Close the files."""

    def __enter__(self) -> Self:
        """It itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


_BY_POSITION = hasattr(os, "preadv")
_NO_CONTENT = ("st_nlink", "st_mode", "st_uid", "st_gid")


class FileSource(Closing):
    """A regular file, opened read-only. Its size is that of the moment of opening.

    Where `unread` is set, reading any of it raises NotRescuedError, but where `assume` says what to take it for.
    """

    unread: Unread | None = None

    def __init__(self, path: Path) -> None:
        """Open the file; raises NotRegularFileError, InputOutputError."""
        self.path = path
        self._lock = threading.Lock()
        self._assumed: dict[int, Ranges] = {}
        try:
            # Asked before opening: to open a device or a pipe can already do something.
            # A locator may name any path: a fifo would block for ever. test_a_pipe_is_never_opened.
            if not stat.S_ISREG(path.stat().st_mode):
                raise NotRegularFileError(path)
            self.descriptor = files.open_file(path, files.READ)
        except (OSError, ValueError) as error:
            raise failure(path, "open", error) from error
        status = os.fstat(self.descriptor)
        self.size, self._opened = status.st_size, status
        self.identity = (status.st_dev, status.st_ino)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise NotRegularFileError(path)

    def assume(self, part: Range, byte: int) -> None:
        """From now on what is unread of this range reads as this byte, again and again."""
        if self.unread is not None:
            self._assumed[byte] = self._assumed.get(byte, NO_RANGES) | Ranges.of([part])

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        if self.unread is not None and self.unread.ranges.touches(Range(offset, len(buffer))):
            self._read_around(self.unread, offset, buffer)
            return
        done = 0
        try:
            if _BY_POSITION:  # as `_read_some`, without a call: a chain is read in pieces of some KiB, and each counts
                done = got = os.preadv(self.descriptor, (buffer,), offset)
            else:
                done = got = self._read_some(offset, buffer)
            while got and done < len(buffer):
                got = self._read_some(offset + done, buffer[done:])
                done += got
        except OSError as error:
            raise failure(self.path, "read", error, offset + done) from error
        if done < len(buffer):
            raise ShortReadError(self.path, offset, len(buffer), done)

    def _read_around(self, unread: Unread, offset: int, buffer: memoryview) -> None:
        for part, is_unread in unread.ranges.split(Range(offset, len(buffer))):
            piece = buffer[part.start - offset : part.end - offset]
            if is_unread:
                self._fill_assumed(unread.map, part, piece)
            else:
                self.read_into(part.start, piece)

    def _fill_assumed(self, map_path: Path, unread: Range, piece: memoryview) -> None:
        open_ends = Ranges.of([unread])
        for byte, assumed in self._assumed.items():
            for part in assumed.within(unread):
                piece[part.start - unread.start : part.end - unread.start] = bytes([byte]) * part.length
            open_ends -= assumed
        if len(open_ends):
            raise NotRescuedError(self.path, map_path, *next(iter(open_ends)))

    if _BY_POSITION:

        def _read_some(self, offset: int, buffer: memoryview) -> int:
            return os.preadv(self.descriptor, (buffer,), offset)

    else:  # Windows has no positional read in `os`; a lock makes seek and read one step.

        def _read_some(self, offset: int, buffer: memoryview) -> int:
            with self._lock:
                os.lseek(self.descriptor, offset, os.SEEK_SET)
                data = os.read(self.descriptor, len(buffer))
            buffer[: len(data)] = data
            return len(data)

    def require_unchanged(self) -> None:
        """Raise SourceChangedError when somebody wrote to the file, or cut it, since it was opened."""
        try:
            status = os.fstat(self.descriptor)
        except OSError as error:
            raise failure(self.path, "look at", error) from error
        if not _is_as_it_was(self._opened, status):
            raise SourceChangedError(self.path)

    def expect(self, part: Range) -> None:
        """Say that a range will be read soon."""
        files.start_reading(self.descriptor, *part)

    def extents(self, position: int = 0) -> Iterator[Range]:
        """What a sparse file really holds from `position` on, sorted; all of it where the system cannot say."""
        held = files.extents(self.descriptor, position, self.size)
        return (Range.between(start, end) for start, end in held if start < end)

    def close(self) -> None:
        """Close the file; reading afterwards raises InputOutputError."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class MemorySource:
    """Bytes in memory, for tests and for what was read already."""

    def __init__(self, data: bytes, path: Path = Path("<memory>")) -> None:
        """Serve `data` under the name `path`."""
        self._data = memoryview(data)
        self.path, self.size = path, len(data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        if offset + len(buffer) > self.size:  # also where nothing is asked for past the end, as of an overlay
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        buffer[:] = self._data[offset : offset + len(buffer)]


class SourceFrom:
    """A source from byte `start` on: what is in front does not belong to the file that is meant."""

    def __init__(self, below: ByteSource, start: int) -> None:
        """Read from `below`, which is closed with this."""
        self.below, self.start, self.path, self.size = below, start, below.path, below.size - start

    @property
    def unread(self) -> Unread | None:
        """See `unread_of`."""
        found = unread_of(self.below)
        return None if found is None else Unread(found.map, Ranges.of(self._moved(found.ranges)))

    def extents(self) -> Iterator[Range]:
        """See `extents_of`."""
        return self._moved(extents_of(self.below))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        if offset + len(buffer) > self.size:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        self.below.read_into(self.start + offset, buffer)

    def close(self) -> None:
        """Close the source below."""
        close_source(self.below)

    def _moved(self, ranges: Iterable[Range]) -> Iterator[Range]:
        return (Range.between(max(0, part.start - self.start), part.end - self.start) for part in ranges
                if part.end > self.start)  # fmt: skip


def extents_of(source: ByteSource) -> Iterator[Range]:
    """What of a source may be other than zeros, sorted; all of it where the source cannot say."""
    extents = getattr(source, "extents", None)
    return iter((Range(0, source.size),)) if extents is None else extents()


def expect_of(source: ByteSource, part: Range) -> None:
    """Say that a range of a source will be read soon, where that makes it any faster."""
    expect = getattr(source, "expect", None)
    if expect is not None:
        expect(part)


def unread_of(source: ByteSource) -> Unread | None:
    """What of a source was never read from its medium; None where nothing is known of that."""
    unread: Unread | None = getattr(source, "unread", None)
    return unread


def unreadable_of(source: ByteSource) -> Ranges:
    """The ranges of a source that are known to be unreadable before they are read."""
    unread = unread_of(source)
    return NO_RANGES if unread is None else unread.ranges


def assume_of(source: ByteSource, part: Range, byte: int) -> None:
    """Take what is unread of a range of a file for this byte, which makes a structure invalid, or is ignored there."""
    if isinstance(source, FileSource):
        source.assume(part, byte)


def read_known(source: ByteSource, offset: int, buffer: memoryview) -> Ranges:
    """Fill the buffer, with zeros for what is known to be unreadable; returns these ranges of the source."""
    if unread_of(source) is None and len(buffer):  # as nearly always, and tables are read by many small windows
        source.read_into(offset, buffer)
        return NO_RANGES
    unreadable = unreadable_of(source).within(Range(offset, len(buffer)))
    for part, is_lost in unreadable.split(Range(offset, len(buffer))):
        piece = buffer[part.start - offset : part.end - offset]
        if is_lost:
            piece[:] = bytes(part.length)
        else:
            source.read_into(part.start, piece)
    return unreadable


def close_source(source: ByteSource) -> None:
    """Close a source that keeps a file open; others have nothing to close."""
    close = getattr(source, "close", None)
    if close is not None:
        close()


def file_identity(path: Path) -> tuple[int, int] | None:
    """What distinguishes one file from another, whatever its names: volume and number; None when it is not there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def changed_at(status: os.stat_result) -> int | None:
    """When the system noted the last change of a file, in nanoseconds since 1970: nobody can put that time back.

    None on Windows, which calls the time of creation so.
    """
    return None if os.name == "nt" else status.st_ctime_ns


def _is_as_it_was(before: os.stat_result, now: os.stat_result) -> bool:
    if (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
        return False
    # Links, owners and modes are no content, and setting any of them sets the time of change, too.
    is_explained = any(getattr(before, name) != getattr(now, name) for name in _NO_CONTENT)
    return changed_at(before) == changed_at(now) or is_explained


def failure(path: Path, action: str, error: Exception, offset: int | None = None) -> InputOutputError:
    """What the system refuses as an error of this library; one that says so where another program has the file."""
    if isinstance(error, OSError) and files.is_in_use(error):
        return FileInUseError(path, action, "another program has it open", offset)
    return InputOutputError(path, action, getattr(error, "strerror", None) or str(error), offset)
