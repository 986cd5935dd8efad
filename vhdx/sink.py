"""Writing: a new file beside its target, made durable, then renamed. The only module that opens files for writing."""

import contextlib
import errno
import os
import sys
from enum import Enum
from pathlib import Path

from vhdx.errors import FileSystemFullError, InputOutputError, OutputError, VhdxError
from vhdx.writable import WritableFile, lock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Linux's request to share all blocks of one file with another, on btrfs, XFS and the like.
_FICLONE = 0x40049409
PART_SUFFIX = ".part"
# O_EXCL: of two runs that choose one name, one is refused by the system itself.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


class Existing(Enum):
    """What to do with a target that is there already."""

    REFUSE = "refuse"
    REPLACE = "replace"
    RESUME = "resume"
    """Refuse the target, but go on with what an interrupted run left beside it, and leave it there when interrupted."""


def is_full(error: OSError) -> bool:
    """Whether the system says that there is no more room, on the medium or for this user."""
    return error.errno in _FULL


def part_of(target: Path) -> Path:
    """Where the target is written until it is whole."""
    return target.with_name(target.name + PART_SUFFIX)


def refuse_left_over(part: Path) -> None:
    """Raise OutputError for the unfinished output that is there already."""
    if part.exists() and not part.is_file():
        raise OutputError(part, "it is not a regular file", "name a new file")
    advice = "when no other run is writing it, replace it with --force"
    raise OutputError(part, "an interrupted run left it, or another one is writing it", advice)


class Sink(WritableFile):
    """A sparse new file: what is never written reads as zeros. A `with` statement discards it unless committed."""

    def __init__(self, target: Path, *, existing: Existing = Existing.REFUSE) -> None:
        """Create `target`.part; raises OutputError when it exists and must not be replaced, InputOutputError."""
        super().__init__(part_of(target), -1)
        self.target, self._existing = target, existing
        self._size, self._kept = 0, False
        if existing is Existing.REPLACE:
            _remove_left_over(self.path, target)
        flags = _FLAGS & ~os.O_EXCL if existing is Existing.RESUME else _FLAGS
        try:
            self._descriptor = os.open(self.path, flags, 0o666)
        except FileExistsError:
            refuse_left_over(self.path)
        except OSError as error:
            raise self._failure("create", error) from error
        if not lock(self._descriptor) and existing is Existing.RESUME:
            self.close()
            raise OutputError(target, "another run is writing it now", "wait for that run, or name another target")

    @property
    def size(self) -> int:
        """Bytes of the file so far."""
        return self._size

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """See WritableFile."""
        super().write_at(offset, data)
        self._size = max(self._size, offset + len(data))

    def clone(self, descriptor: int, size: int) -> bool:
        """Share the `size` bytes of an open file without copying them; False where the file system cannot do that."""
        if sys.platform != "linux":
            return False
        try:
            fcntl.ioctl(self._descriptor, _FICLONE, descriptor)
        except OSError:
            return False
        self._size = size
        return True

    def set_size(self, size: int) -> None:
        """See WritableFile."""
        super().set_size(size)
        self._size = size

    def settle(self) -> None:
        """Make the file durable: it waits for its name, locked where the system can rename what is open."""
        self.flush()
        if fcntl is None:
            self.close()

    def seal(self) -> None:
        """Make the file durable and let go of it, and of its lock: one of thousands, which the first one's guards."""
        self.flush()
        self.close()

    def commit(self) -> None:
        """Make the file durable and give it its name; raises OutputError when the target has appeared meanwhile.

        The lock is held until it has the name: without it, another run could take the file in between.
        """
        if self.is_open:
            self.settle()
        self.keep()
        if self._existing is not Existing.REPLACE and self.target.exists():
            raise OutputError(self.target, "it appeared while the output was written", f"the output is in {self.path}")
        try:
            self.path.replace(self.target)
        except OSError as error:
            raise self._failure("rename", error) from error
        finally:
            self.close()
        flush_folder(self.target.parent)

    def keep(self) -> None:
        """From now on it is not discarded, even when it gets no name: all of it is there."""
        self._kept = True

    def remove_older(self) -> None:
        """Remove what has the target's name now, where it may be replaced; raises InputOutputError."""
        if self._existing is not Existing.REPLACE:
            return
        try:
            self.target.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure("remove", error) from error
        flush_folder(self.target.parent)

    def discard(self) -> None:
        """Close and remove what was written, unless it may be resumed; nothing happens after `commit`."""
        self.close()
        if not self._kept and self._existing is not Existing.RESUME:
            self.path.unlink(missing_ok=True)
        self._kept = True

    def __exit__(self, *_: object) -> None:
        """Discard it, unless it was committed."""
        self.discard()

    def _failure(self, action: str, error: OSError, offset: int | None = None) -> VhdxError:
        if is_full(error):
            return FileSystemFullError(self.target)
        if error.errno == errno.EFBIG:
            advice = "name a target on a file system that takes large files"
            return OutputError(self.target, "the file system takes no file of that size", advice)
        return super()._failure(action, error, offset)


def _remove_left_over(part: Path, target: Path) -> None:
    """Remove what an interrupted run left; raises OutputError when the run is still going on.

    What is removed is what was locked: another run may have removed it meanwhile, and begun its own under the name.
    """
    try:
        descriptor = os.open(part, os.O_RDWR)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputOutputError(part, "replace", error.strerror or str(error)) from error
    try:
        if not lock(descriptor) or os.fstat(descriptor).st_ino != part.stat().st_ino:
            raise OutputError(target, "another run is writing it now", "wait for that run, or name another target")
        if fcntl is not None:
            part.unlink()
    except FileNotFoundError:
        pass  # the other run has given it its name
    finally:
        os.close(descriptor)
    if fcntl is None:  # Windows removes nothing that is open, and lets no other run open it, either
        part.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make a new name durable. Windows cannot open folders and needs no such step."""
    if os.name != "nt":
        with contextlib.suppress(OSError):  # some network file systems refuse; the file itself is durable
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
