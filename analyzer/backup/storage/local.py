"""A folder of this machine, or one that is mounted there."""

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from analyzer.backup.errors import MissingObjectError, PlaceError, UnreadableObjectError
from analyzer.backup.storage.storage import UNFINISHED, Data, Entry
from vhdx.system import files

# Files that repay flushing all of a file system: that costs as much as some hundred, whoever else is writing there.
_WORTH_ALL = 64


class LocalPlace:
    """A folder. An object is written beside its name, flushed, and renamed."""

    def __init__(self, folder: Path) -> None:
        """The place at `folder`, which need not be there yet."""
        self.folder, self.url = folder, str(folder)
        self._made: set[Path] = set()

    def read(self, name: str) -> bytearray:
        """A whole object; raises MissingObjectError, PlaceError. One of 160 MiB need not be copied to be changed."""
        with self._doing("read", name):
            try:
                with self._path(name).open("rb", buffering=0) as file:
                    data = bytearray(os.fstat(file.fileno()).st_size)
                    view = memoryview(data)
                    while view and (got := file.readinto(view)):
                        view = view[got:]
            except FileNotFoundError:
                raise MissingObjectError(self.url, name) from None
        return data

    def write(self, name: str, data: Data) -> None:
        """Make or replace an object, whole or not at all; durable when it returns."""
        self._put(name, data, "write", files.rename)

    def create(self, name: str, data: Data) -> bool:
        """Make an object unless it is there: False then."""
        return bool(self._put(name, data, "create", files.name_new))

    def _put(self, name: str, data: Data, action: str, give_name: Callable[[Path, Path], bool | None]) -> bool | None:
        part = self.begin(name, data)
        try:
            with self._doing(action, name):
                self._flush([part])
                named = give_name(part, self._path(name))
        finally:
            files.remove(part)  # where it has its name it is there no more
        files.flush_folder(part.parent)
        return named

    def size(self, name: str) -> int | None:
        """Bytes of an object; None when it is not there."""
        with self._doing("look at", name), contextlib.suppress(FileNotFoundError):
            return self._path(name).stat().st_size
        return None

    def list(self, folder: str) -> Iterator[Entry]:
        """All objects below a folder, in no order; none when it is not there. "" is the whole place.

        Unfinished files are no objects; links are not followed.
        """
        return (entry for entry in self._walk(folder) if not entry.name.endswith(UNFINISHED))

    def unfinished(self) -> Iterator[Entry]:
        """What is there of objects that were not written to their end, or are being written; `delete` takes them."""
        return (entry for entry in self._walk("") if entry.name.endswith(UNFINISHED))

    def _walk(self, folder: str) -> Iterator[Entry]:
        found, path = list[os.DirEntry[str]](), self._path(folder) if folder else self.folder
        absent = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with self._doing("list", folder), absent, os.scandir(path) as entries:
            found = list(entries)
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            # A link, or a junction, could lead out of the repository, or round in a circle.
            if entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    if not files.leads_elsewhere(entry.stat(follow_symlinks=False)):
                        yield from self._walk(name)
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):  # it went away meanwhile
                    status = entry.stat(follow_symlinks=False)
                    yield Entry(name, status.st_size, status.st_mtime)

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self._doing("delete", name):
            files.remove(self._path(name))

    def close(self) -> None:
        """Nothing: no connection has to be let go of."""

    def name_all(self, written: Sequence[tuple[str, Path]]) -> None:
        """Give files that were begun their names, once they are durable; the names are durable on return."""
        with self._doing("write", written[0][0]):
            # Durable before named, and the names durable after: a crash between leaves no name without its bytes.
            self._flush([part for _, part in written])
            for name, part in written:
                files.rename(part, self._path(name))
            self._flush(list({self._path(name).parent for name, _ in written}))

    def _flush(self, paths: Sequence[Path]) -> None:
        """Make files or folders durable: many by one flush of their file system, which has to write others' too."""
        if len(paths) >= _WORTH_ALL and flush_file_system(self.folder):
            return
        for path in paths:
            if path.is_dir():
                files.flush_folder(path)
            else:
                with path.open("r+b", buffering=0) as file:
                    files.flush(file.fileno())

    def begin(self, name: str, data: Data) -> Path:
        """Write a file beside its place; returns it, not flushed yet."""
        path = self._path(name)
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{UNFINISHED}")
        with self._doing("write", name):
            self._make_folder(path.parent)
            try:
                with part.open("xb", buffering=0) as file:
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
            except OSError:
                files.remove(part)
                raise
        return part

    def _make_folder(self, folder: Path) -> None:
        """Make a folder that is not there, and make its name durable."""
        if folder in self._made:
            return
        if not folder.is_dir():
            if folder != self.folder:
                self._make_folder(folder.parent)
            folder.mkdir(parents=True, exist_ok=True)
            files.flush_folder(folder.parent)
        self._made.add(folder)

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("/"))

    @contextlib.contextmanager
    def _doing(self, action: str, name: str) -> Iterator[None]:
        """What the system refuses as an error of the place, which says what was to be done."""
        try:
            yield
        except OSError as error:
            reason = f"cannot {action} {name or 'the folder'}: {error.strerror or error}"
            raise (UnreadableObjectError if error.errno == errno.EIO else PlaceError)(self.url, reason) from error


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
