"""The folder that files are written to. No link in it is ever followed, and nothing is written outside of it."""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from analyzer.guest.extract.model import Kept
from analyzer.guest.extract.names import Names
from analyzer.guest.filesystems.content import Piece
from analyzer.guest.filesystems.record import Times
from vhdx.errors import FileSystemFullError, OutputError
from vhdx.sink import Existing
from vhdx.source import file_identity
from vhdx.system import files
from vhdx.targets import make_folder

Parts = tuple[str, ...]
"""Names from the target down, each a safe one."""
Pieces = Callable[[], Iterator[Piece]]
_BY_DESCRIPTOR = {os.open, os.mkdir, os.rename, os.stat, os.unlink, os.utime} <= os.supports_dir_fd
# O_NOFOLLOW at every step: a link that somebody puts into DIR meanwhile must not lead out of it.
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# Times beyond it overflow the calls that set them; a record may hold any 64 bits.
_MOST_TIME = 1 << 62
_BY_NAME: dict[str, Any] = {"follow_symlinks": False} if _BY_DESCRIPTOR else {}
_REFUSALS = (OSError, OverflowError, ValueError)  # of a system, and of Python for a name that no system takes


class Destination(Protocol):
    """Where files are written to."""

    attributes_refused: list[str]
    """Extended attributes that could not be written, with the reason, until somebody takes them."""

    @property
    def keeping(self) -> "KeepingDestination | None":
        """Itself, where it takes what a file system of Unix keeps: links, modes, owners, extended attributes."""
        ...

    names: type[Names]
    """The names of one folder."""

    def make_folder(self, parts: Parts, kept: Kept) -> None:
        """Make a folder, and those above it."""
        ...

    def finish_folder(self, parts: Parts, kept: Kept) -> None:
        """Give a folder what it is to have when everything is in it."""
        ...

    def write(self, parts: Parts, size: int, pieces: Pieces, kept: Kept) -> None:
        """Write a file; `pieces` gives what it holds, each time that it is called."""
        ...


class KeepingDestination(Destination, Protocol):
    """Where files are written to that are more than names, times and content."""

    def make_link(self, parts: Parts, kept: Kept) -> bool:
        """Make a symbolic link; False where it is not made."""
        ...

    def make_special(self, parts: Parts, kept: Kept) -> bool:
        """Make a device or a pipe; False where it is not made."""
        ...

    def make_hard_link(self, parts: Parts, earlier: Parts, kept: Kept) -> None:
        """Give a file that was written a further name."""
        ...


class ExistsError(OutputError):
    """A file has its name already."""


class Target:
    """A folder, and the one below it that is being filled. Use it in a `with` statement."""

    names: type[Names] = Names
    """Safe on every system."""

    def __init__(self, root: Path, existing: Existing, sources: Sequence[Path] = ()) -> None:
        """Make the folder where there is none; `sources` are never replaced. Raises OutputError, InputOutputError."""
        self._sources = {file_identity(source) for source in sources}
        self.root, self._existing = root, existing
        make_folder(root)
        self._open: tuple[Parts, int] | None = None
        self._mark, self._numbers = secrets.token_hex(8), count()
        self.attributes_refused = list[str]()

    def __enter__(self) -> Self:
        """The target itself."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """Let go of the folder that was being filled."""
        self._leave()

    @property
    def keeping(self) -> KeepingDestination | None:
        """See Destination: a link could lead anywhere."""
        return None

    def make_folder(self, parts: Parts, kept: Kept) -> None:  # noqa: ARG002 - see Destination
        """Make a folder, and those above it; raises OutputError where a link or a file is in the way."""
        self._enter(parts)

    def write(self, parts: Parts, size: int, pieces: Pieces, kept: Kept) -> None:
        """Write a file: a hole where there is no piece. It has its name when all of it is there.

        Raises ExistsError, FileSystemFullError, OutputError, and what `pieces` raises; then nothing is left of it.
        """
        folder = self._enter(parts[:-1])
        self._refuse(folder, parts)
        at, part = self._dir(folder), self._at(folder, parts, f".vhdx-{self._mark}-{next(self._numbers)}.part")
        descriptor, action = -1, "write"
        try:
            descriptor = os.open(part, _FILE, 0o666, dir_fd=at)
            fill(descriptor, size, pieces())
            self._dress(descriptor, kept)
            whole, descriptor = descriptor, -1
            os.close(whole)  # some network file systems say only now that they are full
            action = "name"
            set_times(part, kept.record.times, **_BY_NAME, dir_fd=at)
            os.replace(part, self._at(folder, parts, parts[-1]), src_dir_fd=at, dst_dir_fd=at)
        except BaseException as error:
            if descriptor >= 0:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=at)
            if isinstance(error, _REFUSALS):
                raise self._complaint(parts, action, error) from error
            raise

    def finish_folder(self, parts: Parts, kept: Kept) -> None:
        """Give a folder its times, when everything is in it."""
        with contextlib.suppress(OutputError):
            folder = self._enter(parts)
            place = folder if _BY_DESCRIPTOR else files.may_be_long(self.root.joinpath(*parts))
            with self._complaining(parts, "finish"):
                self._dress(folder, kept)
            set_times(place, kept.record.times)

    def _dress(self, descriptor: int, kept: Kept) -> None:
        """Give an open file or folder what else is kept of it; nothing here."""

    def _refuse(self, folder: int, parts: Parts) -> None:
        """Raise where the name is taken by what may not be replaced."""
        try:
            found = os.lstat(self._at(folder, parts, parts[-1]), dir_fd=self._dir(folder))
        except FileNotFoundError:
            return
        path = self.root.joinpath(*parts)
        if (found.st_dev, found.st_ino) in self._sources:
            raise OutputError(path, "it is a source, which is never written to", "name another target")
        if stat.S_ISDIR(found.st_mode):
            raise OutputError(path, "a folder has its name", "name another target")
        if self._existing is Existing.REFUSE:
            raise ExistsError(path, "it exists already", "name another target, or replace it with --force")

    def _enter(self, parts: Parts) -> int:
        """The folder, opened, and made where it was not there; -1 where the system has no descriptors of folders."""
        if self._open and self._open[0] == parts:
            return self._open[1]
        self._leave()
        with self._complaining(parts, "open the folder"):
            handle = self._descend(parts) if _BY_DESCRIPTOR else self._descend_by_path(parts)
        self._open = parts, handle
        return handle

    def _descend(self, parts: Parts) -> int:
        handle = os.open(self.root, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))
        try:
            for part in parts:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=handle)
                below = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = below
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _descend_by_path(self, parts: Parts) -> int:
        place = self.root
        for part in parts:
            place /= part
            here = files.may_be_long(place)
            here.mkdir(exist_ok=True)
            if files.leads_elsewhere(here.lstat()):
                raise NotADirectoryError
        return -1

    def _leave(self) -> None:
        if self._open and self._open[1] >= 0:
            os.close(self._open[1])
        self._open = None

    @staticmethod
    def _dir(folder: int) -> int | None:
        return folder if folder >= 0 else None

    def _at(self, folder: int, parts: Parts, name: str) -> str:
        return name if folder >= 0 else str(files.may_be_long(self.root.joinpath(*parts[:-1], name)))

    @contextlib.contextmanager
    def _complaining(self, parts: Parts, action: str) -> Iterator[None]:
        try:
            yield
        except _REFUSALS as error:
            raise self._complaint(parts, action, error) from error

    def _complaint(self, parts: Parts, action: str, error: Exception) -> OutputError:
        """The error that is to be told of a refusal."""
        path = self.root.joinpath(*parts)
        if isinstance(error, NotADirectoryError | FileExistsError):
            reason = "a link, or a file, is in its place or in that of a folder above it"
            return OutputError(path, reason, "name another target: links in it are not followed")
        if isinstance(error, OSError) and files.is_full(error):
            return FileSystemFullError(path)
        reason = f"cannot {action}: {getattr(error, 'strerror', None) or error}"
        return OutputError(path, reason, "make room, or name another target")


def set_times(place: int | str | Path, times: Times, **how: Any) -> None:  # noqa: ANN401 - of os.utime
    """Set when it was accessed and modified, where that is known, and the file system can have it."""
    modified = times.modified
    if modified is not None:
        accessed = modified if times.accessed is None else times.accessed
        try:
            os.utime(place, ns=(_bounded(accessed), _bounded(modified)), **how)
        except (OSError, OverflowError):
            return


def _bounded(moment: int) -> int:
    return max(-_MOST_TIME, min(_MOST_TIME, moment))


_GRAIN = 4096  # the block of most file systems: a shorter hole saves nothing
# A grain of zeros has so many, and hardly anything else; they are sought as fast as memory is read.
_SOME_ZEROS = bytes(64)


def fill(descriptor: int, size: int, pieces: Iterable[Piece]) -> None:
    """Make an empty file `size` bytes long, with the pieces in it; raises OSError, and what `pieces` raises."""
    files.make_sparse(descriptor)
    end = 0
    for piece in pieces:
        for at, data in not_zero(piece.data):
            if piece.offset + at != end:
                os.lseek(descriptor, piece.offset + at, os.SEEK_SET)
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, memoryview(data)[written:])
            end = piece.offset + at + len(data)
    if end != size:
        files.set_size(descriptor, size)


def not_zero(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of a piece, in grains, that are not all zeros; neighbours are one."""
    if len(data) >= _GRAIN and _SOME_ZEROS not in data:
        yield 0, data
        return
    grains = range(0, len(data), _GRAIN)
    for is_zero, some in groupby(grains, lambda at: data.count(0, at, at + _GRAIN) == min(_GRAIN, len(data) - at)):
        if not is_zero:
            places = list(some)
            yield places[0], data[places[0] : places[-1] + _GRAIN]
