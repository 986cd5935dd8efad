"""Where a repository is: objects with names, read and written whole. A folder of this machine is one such place."""

import contextlib
import os
import secrets
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from analyzer.backup.errors import MissingObjectError, PlaceError

Data = bytes | bytearray | memoryview
_COLLECTED = 8 << 20
"""Bytes that are collected for a place that takes whole objects; more of them would be more memory."""
_BATCHED, _MOST_BATCHED = 256 << 20, 1024
"""Bytes and files of a local batch, which an interrupted run has to write anew."""
_WORTH_ALL = 64
"""Files that repay flushing all of a file system."""
UNFINISHED = ".part"
"""How the name of a file ends that was not written to its end; no object is called so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a listing has it: its name, its bytes, and when it was written, seconds since 1970."""

    name: str
    size: int
    modified: float

    def is_before(self, limit: float) -> bool:
        """Whether it was last written until a time; False where the place tells no times."""
        return bool(self.modified) and self.modified <= limit


class Place(Protocol):
    """Objects by name; `/` stands between folders. Whatever fails raises PlaceError. All calls from any thread."""

    @property
    def url(self) -> str:
        """What to call the place in a message: no password in it."""
        ...

    def read(self, name: str) -> bytes:
        """A whole object; raises MissingObjectError."""
        ...

    def write(self, name: str, data: Data) -> None:
        """Make or replace an object, whole or not at all; durable when it returns."""
        ...

    def write_all(self, objects: Sequence[tuple[str, Data]]) -> None:
        """Make or replace several objects, each whole or not at all; all are durable when it returns."""
        ...

    def create(self, name: str, data: Data) -> bool:
        """Make an object unless it is there: False then. Atomic where the place can do that."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of an object; None when it is not there."""
        ...

    def list(self, folder: str) -> Iterator[Entry]:
        """All objects below a folder, in no order; none when it is not there. "" is the whole place."""
        ...

    def unfinished(self) -> Iterator[Entry]:
        """What is there of objects that were not written to their end, or are being written; `delete` takes them."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def close(self) -> None:
        """Let go of connections; using the place again makes new ones."""
        ...


class Batch(Protocol):
    """Objects that are made together: nothing is there for sure before `commit`. All calls from any thread."""

    def add(self, name: str, data: Data) -> None:
        """Take one more; the data may be used again afterwards."""
        ...

    def commit(self) -> None:
        """Have all that were added there, each whole, and durable."""
        ...

    def discard(self) -> None:
        """Forget what was added and not committed."""
        ...


class CollectedBatch:
    """The batch of a place that writes what it is given: it collects some, and hands them over."""

    def __init__(self, place: Place) -> None:
        """A batch for `place`."""
        self._place, self._lock, self._waiting = place, threading.Lock(), list[tuple[str, Data]]()
        self._bytes = 0

    def add(self, name: str, data: Data) -> None:
        """See Batch."""
        with self._lock:
            self._waiting.append((name, data))
            self._bytes += len(data)
            full = self._bytes >= _COLLECTED
        if full:
            self.commit()

    def commit(self) -> None:
        """See Batch."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        self._place.write_all(waiting)

    def discard(self) -> None:
        """See Batch."""
        self._waiting = []


class LocalBatch:
    """The batch of a folder: files are written at once, and get their names when the file system was flushed.

    One flush for hundreds of files: a flush for each, and one for its folder, would take longer than all the rest.
    """

    def __init__(self, place: "LocalPlace") -> None:
        """A batch for `place`."""
        self._place, self._lock, self._waiting = place, threading.Lock(), list[tuple[str, Path]]()
        self._bytes = 0

    def add(self, name: str, data: Data) -> None:
        """See Batch."""
        part, descriptor = self._place.begin(name, data)
        os.close(descriptor)
        with self._lock:
            self._waiting.append((name, part))
            self._bytes += len(data)
            full = self._bytes >= _BATCHED or len(self._waiting) >= _MOST_BATCHED
        if full:
            self.commit()

    def commit(self) -> None:
        """See Batch."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        if waiting:
            self._place.name_all(waiting)

    def discard(self) -> None:
        """See Batch."""
        for _, part in self._waiting:
            part.unlink(missing_ok=True)
        self._waiting = []


def batch_for(place: Place) -> Batch:
    """The batch that suits a place best."""
    return LocalBatch(place) if isinstance(place, LocalPlace) else CollectedBatch(place)


class LocalPlace:
    """A folder. An object is written beside its name, flushed, and renamed."""

    def __init__(self, folder: Path) -> None:
        """The place at `folder`, which need not be there yet."""
        self.folder = folder
        self._made: set[Path] = set()

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.folder)

    def read(self, name: str) -> bytes:
        """See Place."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            raise MissingObjectError(self.url, name) from None
        except OSError as error:
            raise self._failure("read", name, error) from error

    def read_writable(self, name: str) -> bytearray:
        """A whole object, to be changed in memory: one of 160 MiB need not be copied for that; raises as `read`."""
        size = self.size(name)
        if size is None:
            raise MissingObjectError(self.url, name)
        data = bytearray(size)
        try:
            with self._path(name).open("rb", buffering=0) as file:
                view = memoryview(data)
                while view and (got := file.readinto(view)):
                    view = view[got:]
        except OSError as error:
            raise self._failure("read", name, error) from error
        return data

    def write(self, name: str, data: Data) -> None:
        """See Place."""
        self.write_all([(name, data)])

    def write_all(self, objects: Sequence[tuple[str, Data]]) -> None:
        """See Place: all files are begun before the first is flushed, so that the system writes them together."""
        unfinished: list[tuple[str, Path, int]] = []
        try:
            for name, data in objects:
                unfinished.append((name, *self.begin(name, data)))
            while unfinished:
                name, part, descriptor = unfinished[0]
                self._finish(name, part, descriptor)
                unfinished.pop(0)
        finally:
            for _, part, descriptor in unfinished:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
                part.unlink(missing_ok=True)
        for folder in {self._path(name).parent for name, _ in objects}:
            _flush_folder(folder)

    def create(self, name: str, data: Data) -> bool:
        """See Place: a hard link is made or not, and never replaces; where there are none, an exclusive file."""
        part, descriptor = self.begin(name, data)
        try:
            os.fsync(descriptor)
            os.link(part, self._path(name))
        except FileExistsError:
            return False
        except OSError as error:
            raise self._failure("create", name, error) from error
        finally:
            os.close(descriptor)
            part.unlink(missing_ok=True)
        _flush_folder(part.parent)
        return True

    def size(self, name: str) -> int | None:
        """See Place."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure("look at", name, error) from error

    def list(self, folder: str) -> Iterator[Entry]:
        """See Place. Unfinished files are no objects; links are not followed."""
        return (entry for entry in self._walk(folder) if not entry.name.endswith(UNFINISHED))

    def unfinished(self) -> Iterator[Entry]:
        """See Place."""
        return (entry for entry in self._walk("") if entry.name.endswith(UNFINISHED))

    def _walk(self, folder: str) -> Iterator[Entry]:
        try:
            with os.scandir(self._path(folder) if folder else self.folder) as entries:
                found = list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._failure("list", folder, error) from error
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(name)
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):  # it went away meanwhile
                    status = entry.stat(follow_symlinks=False)
                    yield Entry(name, status.st_size, status.st_mtime)

    def delete(self, name: str) -> None:
        """See Place."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failure("delete", name, error) from error

    def close(self) -> None:
        """See Place: there is nothing to let go of."""

    def name_all(self, written: Sequence[tuple[str, Path]]) -> None:
        """Give files that were begun their names, once they are durable; the names are durable on return."""
        try:
            self._flush([part for _, part in written])
            for name, part in written:
                part.replace(self._path(name))
            self._flush(list({self._path(name).parent for name, _ in written}))
        except OSError as error:
            raise self._failure("write", written[0][0], error) from error

    def _flush(self, paths: Sequence[Path]) -> None:
        """Make files or folders durable: many by one flush of their file system, which has to write others' too."""
        if len(paths) >= _WORTH_ALL and flush_file_system(self.folder):
            return
        for path in paths:
            if path.is_dir():
                _flush_folder(path)
            else:
                descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def begin(self, name: str, data: Data) -> tuple[Path, int]:
        """Write a file beside its place; returns it, open and not flushed yet."""
        path = self._path(name)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
        try:
            self._make_folder(path.parent)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise self._failure("write", name, error) from error
        try:
            _write_whole(descriptor, memoryview(data))
        except OSError as error:
            os.close(descriptor)
            part.unlink(missing_ok=True)
            raise self._failure("write", name, error) from error
        return part, descriptor

    def _finish(self, name: str, part: Path, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
            os.close(descriptor)
            part.replace(self._path(name))
        except OSError as error:
            raise self._failure("write", name, error) from error

    def _make_folder(self, folder: Path) -> None:
        """Make a folder that is not there, and make its name durable."""
        if folder in self._made:
            return
        if not folder.is_dir():
            if folder != self.folder:
                self._make_folder(folder.parent)
            folder.mkdir(parents=True, exist_ok=True)
            _flush_folder(folder.parent)
        self._made.add(folder)

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("/"))

    def _failure(self, action: str, name: str, error: OSError) -> PlaceError:
        return PlaceError(self.url, action, name or "the folder", error.strerror or str(error))


def _write_whole(descriptor: int, data: memoryview) -> None:
    done = 0
    while done < len(data):
        done += os.write(descriptor, data[done:])


def flush_file_system(folder: Path) -> bool:
    """Make everything durable on the file system of a folder; False where the system cannot do that for one alone."""
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if call(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)
    return True


def _flush_folder(folder: Path) -> None:
    """Make new names durable. Windows cannot open folders and needs no such step."""
    if os.name != "nt":
        with contextlib.suppress(OSError):  # some network file systems refuse; the files themselves are durable
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
