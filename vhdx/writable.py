"""Writing by position: what a new file, one that is changed in its place and a device have in common."""

import os
import threading
from pathlib import Path

from vhdx.errors import VhdxError
from vhdx.source import Closing, failure
from vhdx.system import files


class WritableFile(Closing):
    """An open file that takes bytes at any position. Nothing is durable before `flush`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Write by `descriptor`, which is open for that and is closed with this."""
        self.path, self._descriptor, self._lock = path, descriptor, threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether it still takes bytes."""
        return self._descriptor >= 0

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; raises InputOutputError, a new file OutputError where there is no room."""
        view, done = memoryview(data), 0
        while done < len(view):
            try:
                done += self._write_some(offset + done, view[done:] if done else view)
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
        """Make the file `size` bytes long, what is new as zeros; raises as `write_at` does."""
        try:
            files.set_size(self._descriptor, size)
        except OSError as error:
            raise self._failure("resize", error, size) from error

    def flush(self) -> None:
        """Make everything written durable; raises InputOutputError."""
        try:
            files.flush(self._descriptor)
        except OSError as error:
            raise self._failure("flush", error) from error

    def close(self) -> None:
        """Close the file; what was written stays."""
        if self.is_open:
            os.close(self._descriptor)
            self._descriptor = -1

    def _failure(self, action: str, error: OSError, offset: int | None = None) -> VhdxError:
        return failure(self.path, action, error, offset)
