"""Writing what is there already: the only module that opens an existing file, or a block device, for writing."""

import errno
import os
import stat
from pathlib import Path

from vhdx.device import read_device
from vhdx.errors import (
    FileSystemFullError,
    InputOutputError,
    OutputError,
    SourceChangedError,
    VhdxError,
)
from vhdx.ranges import Range
from vhdx.source import FileSource, failure, file_identity
from vhdx.system import files
from vhdx.writable import WritableFile

# Zeros that are written at once where a hole cannot be made.
_PIECE = 1 << 20
# Writes are begun to be written out together that are so near one another, and until they are so many bytes: blocks are
# changed in pieces, in order.
_NEAR, _MOST_FRESH = 1 << 20, 4 << 20


class Patcher(WritableFile):
    """One existing file, changed by position."""

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        """Open the file that has this volume and number; raises SourceChangedError, OutputError, InputOutputError."""
        try:
            super().__init__(path, files.open_file(path, files.CHANGE))
        except OSError as error:
            raise failure(path, "open for writing", error) from error
        status = os.fstat(self._descriptor)
        if (status.st_dev, status.st_ino) != identity:
            self.close()
            raise SourceChangedError(path)
        if files.is_used_elsewhere(self._descriptor) or not files.lock(self._descriptor):
            self.close()
            raise OutputError(path, "another program uses it", "stop what has it open or attached, and run again")


class EditedFile(Patcher):
    """One existing file, read and changed by position (see Medium): what a session of changes works on."""

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        """As Patcher does."""
        self._reading = FileSource(path)
        self._fresh = Range(0, 0)
        self._may_have_holes = not files.is_read_by_windows(path.parent)
        try:
            super().__init__(path, identity)
        except BaseException:
            self._reading.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of the file now."""
        return os.fstat(self._descriptor).st_size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        self._reading.read_into(offset, buffer)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """See Medium. What is complete begins to reach the medium, so that a flush has little to wait for."""
        is_near = self._fresh.start <= offset <= self._fresh.end + _NEAR
        if not is_near or self._fresh.length >= _MOST_FRESH:
            files.start_writing(self._descriptor, *self._fresh)
            self._fresh = Range(offset, 0)
        super().write_at(offset, data)
        self._fresh = Range.between(self._fresh.start, max(self._fresh.end, offset + len(data)))

    def zero(self, part: Range) -> None:
        """See Medium: by a hole where the system can, and Windows will not read the file, else by writing."""
        if part.length and not (self._may_have_holes and files.zero(self._descriptor, *part)):
            for piece in part.pieces(_PIECE):
                self.write_at(piece.start, bytes(piece.length))

    def release(self, part: Range) -> None:
        """See Medium."""
        files.zero(self._descriptor, *part)

    def close(self) -> None:
        """See WritableFile."""
        self._reading.close()
        super().close()

    def _failure(self, action: str, error: OSError, offset: int | None = None) -> VhdxError:
        return FileSystemFullError(self.path) if files.is_full(error) else super()._failure(action, error, offset)


def open_edited(path: Path) -> EditedFile:
    """A file to be changed in its place, locked; raises OutputError, InputOutputError."""
    identity = file_identity(path)
    if identity is None:
        raise InputOutputError(path, "open for writing", "it is not there")
    return EditedFile(path, identity)


def is_block_device(path: Path) -> bool:
    """Whether a path leads to a block device. Windows knows none by path: there it never does."""
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except OSError:
        return False


class BlockDevice(WritableFile):
    """A device, read and written by position (see ByteSource and Sink)."""

    def __init__(self, path: Path, needed: int) -> None:
        """Open a device that has room for `needed` bytes; raises OutputError, InputOutputError. Nothing is written."""
        if not path.exists():
            raise OutputError(path, "it is not there", files.device_advice())
        if not is_block_device(path):
            raise OutputError(path, "it is no block device", "for a file leave out --onto-device")
        try:
            # With O_EXCL Linux refuses a device that is mounted, or that anything else holds.
            super().__init__(path, os.open(path, files.CHANGE | os.O_EXCL))
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise OutputError(path, "the system uses it", "unmount what is on it first") from error
            raise failure(path, "open for writing", error) from error
        self.size = files.device_size(self._descriptor)
        if self.size < needed:
            self.close()
            raise OutputError(path, f"it has {self.size} bytes and the disk {needed}", "name a larger device")

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        read_device(self.path, self._descriptor, self._lock, offset, buffer)

    def flush(self) -> None:
        """Make what was written durable, and have it read back from the device from now on; raises InputOutputError."""
        super().flush()
        try:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise self._failure("flush", error) from error
