"""Writing: a new file beside its target, made durable, then renamed. The only module that opens files for writing."""

import errno
import os
from enum import Enum
from pathlib import Path

from vhdx.errors import FileSystemFullError, OutputError, VhdxError
from vhdx.source import failure
from vhdx.system import files
from vhdx.writable import WritableFile

PART_SUFFIX = ".part"


class Existing(Enum):
    """What to do with a target that is there already."""

    REFUSE = "refuse"
    REPLACE = "replace"
    RESUME = "resume"
    """Refuse the target, but go on with what an interrupted run left beside it, and leave it there when interrupted."""


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
    """A new file: what is never written reads as zeros. A `with` statement discards it unless committed."""

    def __init__(self, target: Path, *, existing: Existing = Existing.REFUSE) -> None:
        """Create `target`.part; raises OutputError when it exists and must not be replaced, InputOutputError."""
        super().__init__(part_of(target), -1)
        self.target, self.existing = target, existing
        self._size, self._kept = 0, False
        if existing is Existing.REPLACE:
            _remove_left_over(self.path, target)
        elif existing is Existing.RESUME and self.path.is_symlink():
            raise OutputError(self.path, "it is a symbolic link", "remove it, or name another target")
        try:
            self._descriptor = files.open_file(self.path, files.RESUME if existing is Existing.RESUME else files.NEW)
        except FileExistsError:
            refuse_left_over(self.path)
        except OSError as error:
            raise _other_run(target) if files.is_in_use(error) else self._failure("create", error) from error
        if not files.lock(self._descriptor) and existing is Existing.RESUME:
            self.close()
            raise _other_run(target)

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
        is_done = files.clone(self._descriptor, descriptor)
        self._size = size if is_done else self._size
        return is_done

    def share(self, offset: int, descriptor: int, source_offset: int, length: int) -> bool:
        """Share whole blocks of an open file without copying them; False where the file system cannot do that.

        Raises OutputError where there is no room for what says so.
        """
        try:
            files.clone_range(self._descriptor, offset, descriptor, source_offset, length)
        except OSError as error:
            if files.is_full(error):
                raise self._failure("write", error, offset) from error
            return False
        self._size = max(self._size, offset + length)
        return True

    def can_share(self, descriptor: int, unit: int) -> bool:
        """Whether blocks of an open file can be shared with this one, which is empty and is so afterwards."""
        is_possible = self.share(0, descriptor, 0, unit)
        if is_possible:
            self.set_size(0)
        return is_possible

    def make_sparse(self) -> None:
        """Keep no room for what is never written, where the file system can do that only when it is asked."""
        files.make_sparse(self._descriptor)

    def fill_holes(self) -> None:
        """Have room for all of the file's bytes; raises OutputError where there is not so much, InputOutputError."""
        try:
            files.fill_holes(self._descriptor, self._size)
        except OSError as error:
            raise self._failure("make room in", error) from error

    def set_size(self, size: int) -> None:
        """See WritableFile."""
        super().set_size(size)
        self._size = size

    def seal(self) -> None:
        """Make the file durable and let go of it, and of its lock: one of thousands, which the first one's guards."""
        self.flush()
        self.close()

    def commit(self) -> None:
        """Make the file durable and give it its name; raises OutputError when the target has appeared meanwhile.

        The lock is held until it has the name: without it, another run could take the file in between.
        """
        if self.is_open:
            self.flush()
        self.keep()
        if self.existing is not Existing.REPLACE and self.target.exists():
            raise OutputError(self.target, "it appeared while the output was written", f"the output is in {self.path}")
        try:
            files.rename(self.path, self.target)
        except OSError as error:
            if reason := files.why_not_replaceable(self.target):
                raise OutputError(self.target, reason, f"the output is in {self.path}") from error
            raise self._failure("rename", error) from error
        finally:
            self.close()
        files.flush_folder(self.target.parent)

    def keep(self) -> None:
        """From now on it is not discarded, even when it gets no name: all of it is there."""
        self._kept = True

    def remove_older(self) -> None:
        """Remove what has the target's name now, where it may be replaced; raises InputOutputError."""
        if self.existing is not Existing.REPLACE:
            return
        try:
            files.remove(self.target)
        except OSError as error:
            raise self._failure("remove", error) from error
        files.flush_folder(self.target.parent)

    def discard(self) -> None:
        """Close and remove what was written, unless it may be resumed; nothing happens after `commit`."""
        self.close()
        if not self._kept and self.existing is not Existing.RESUME:
            files.remove(self.path)
        self._kept = True

    def __exit__(self, *_: object) -> None:
        """Discard it, unless it was committed."""
        self.discard()

    def _failure(self, action: str, error: OSError, offset: int | None = None) -> VhdxError:
        if files.is_full(error):
            return FileSystemFullError(self.target)
        if error.errno == errno.EFBIG:
            advice = "name a target on a file system that takes large files"
            return OutputError(self.target, "the file system takes no file of that size", advice)
        return super()._failure(action, error, offset)


def _other_run(target: Path) -> OutputError:
    return OutputError(target, "another run is writing it now", "wait for that run, or name another target")


def _remove_left_over(part: Path, target: Path) -> None:
    """Remove what an interrupted run left; raises OutputError when the run is still going on.

    What is removed is what was locked: another run may have removed it meanwhile, and begun its own under the name.
    """
    try:
        descriptor = files.open_file(part, files.CHANGE)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _other_run(target) if files.is_in_use(error) else failure(part, "replace", error) from error
    try:
        if not files.lock(descriptor) or os.fstat(descriptor).st_ino != part.stat().st_ino:
            raise _other_run(target)
        part.unlink()
    except FileNotFoundError:
        pass  # the other run has given it its name
    finally:
        os.close(descriptor)
