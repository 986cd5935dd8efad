"""A block device that is written in its place, on purpose: the only module that opens one for writing."""

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Self

from vhdx.errors import InputOutputError, OutputError, ShortReadError

# With O_EXCL Linux refuses a device that is mounted, or that anything else holds.
_FLAGS = os.O_RDWR | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


def is_block_device(path: Path) -> bool:
    """Whether a path leads to a block device."""
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except OSError:
        return False


class BlockDevice:
    """A device, read and written by position (see ByteSource and Sink). Nothing is durable before `flush`."""

    def __init__(self, path: Path, needed: int) -> None:
        """Open a device that has room for `needed` bytes; raises OutputError, InputOutputError. Nothing is written."""
        if not path.exists():
            raise OutputError(path, "it is not there", "name a block device, such as /dev/sdx")
        if not is_block_device(path):
            raise OutputError(path, "it is no block device", "for a file leave out --onto-device")
        self.path, self._lock = path, threading.Lock()
        try:
            self._descriptor = os.open(path, _FLAGS)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise OutputError(path, "the system uses it", "unmount what is on it first") from error
            raise InputOutputError(path, "open for writing", error.strerror or str(error)) from error
        self.size = os.lseek(self._descriptor, 0, os.SEEK_END)
        if self.size < needed:
            self.close()
            raise OutputError(path, f"it has {self.size} bytes and the disk {needed}", "name a larger device")

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        done = 0
        while done < len(buffer):
            try:
                data = self._read_some(offset + done, len(buffer) - done)
            except OSError as error:
                raise self._failure("read", error, offset + done) from error
            if not data:
                raise ShortReadError(self.path, offset, len(buffer), done)
            buffer[done : done + len(data)] = data
            done += len(data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; raises InputOutputError."""
        view, done = memoryview(data), 0
        while done < len(view):
            try:
                done += self._write_some(offset + done, view[done:])
            except OSError as error:
                raise self._failure("write", error, offset + done) from error

    def flush(self) -> None:
        """Make what was written durable, and have it read back from the device from now on; raises InputOutputError."""
        try:
            os.fsync(self._descriptor)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise self._failure("flush", error, 0) from error

    def close(self) -> None:
        """Let go of the device."""
        os.close(self._descriptor)

    # Windows knows no block devices by path, and has no calls by position: there `is_block_device` is never true.
    def _read_some(self, offset: int, length: int) -> bytes:
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, length)

    def _write_some(self, offset: int, data: memoryview) -> int:
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.write(self._descriptor, data)

    def _failure(self, what: str, error: OSError, offset: int) -> InputOutputError:
        return InputOutputError(self.path, what, error.strerror or str(error), offset)

    def __enter__(self) -> Self:
        """The device itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self.close()
