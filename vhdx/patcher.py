"""Changing a file in its place: the only module that opens for writing a file which is there already."""

import os
import threading
from pathlib import Path
from typing import Self

from vhdx.errors import InputOutputError, OutputError, SourceChangedError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# No O_CREAT: what is to be changed has to be there.
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Patcher:
    """One existing file, opened for writing by position. Nothing is durable before `flush`."""

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        """Open the file that has this volume and number; raises SourceChangedError, OutputError, InputOutputError."""
        self.path, self._lock = path, threading.Lock()
        try:
            self._descriptor = os.open(path, _FLAGS)
        except OSError as error:
            raise InputOutputError(path, "open for writing", error.strerror or str(error)) from error
        status = os.fstat(self._descriptor)
        if (status.st_dev, status.st_ino) != identity:
            self.close()
            raise SourceChangedError(path)
        if not self._locked():
            self.close()
            raise OutputError(path, "another program has locked it", "stop what uses it and run again")

    def _locked(self) -> bool:
        if fcntl is not None:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:  # a file system that has no locks
                return True
        return True

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`; raises InputOutputError."""
        view, done = memoryview(data), 0
        while done < len(view):
            try:
                done += self._write_some(offset + done, view[done:])
            except OSError as error:
                raise self._failure("write", error, offset + done) from error

    if hasattr(os, "pwrite"):

        def _write_some(self, offset: int, data: memoryview) -> int:
            return os.pwrite(self._descriptor, data, offset)

    else:  # Windows has no positional write in `os`; a lock makes seek and write one step.

        def _write_some(self, offset: int, data: memoryview) -> int:
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.write(self._descriptor, data)

    def set_size(self, size: int) -> None:
        """Make the file `size` bytes long; what is new reads as zeros; raises InputOutputError."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise self._failure("resize", error, size) from error

    def flush(self) -> None:
        """Make everything written durable; raises InputOutputError."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failure("flush", error) from error

    def close(self) -> None:
        """Give the file back to the system."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """The patcher itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; what was written stays."""
        self.close()

    def _failure(self, action: str, error: OSError, offset: int | None = None) -> InputOutputError:
        return InputOutputError(self.path, action, error.strerror or str(error), offset)
