"""Block devices, read by position."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from vhdx.errors import ShortReadError
from vhdx.ranges import Range
from vhdx.source import Closing, failure
from vhdx.system import files


def read_device(path: Path, descriptor: int, lock: threading.Lock, offset: int, buffer: memoryview) -> None:
    """Fill the buffer from `offset` of an open device; raises InputOutputError, ShortReadError."""
    done = 0
    while done < len(buffer):
        try:
            with lock:  # one position for all threads: not every system has `preadv` for devices
                os.lseek(descriptor, offset + done, os.SEEK_SET)
                data = os.read(descriptor, len(buffer) - done)
        except OSError as error:
            raise failure(path, "read", error, offset + done) from error
        if not data:
            raise ShortReadError(path, offset, len(buffer), done)
        buffer[done : done + len(data)] = data
        done += len(data)


class DeviceSource(Closing):
    """A block device, opened read-only. Whether somebody writes to it meanwhile, no system says."""

    def __init__(self, path: Path) -> None:
        """Open the device; raises InputOutputError."""
        self.path, self._lock = path, threading.Lock()
        try:
            self._descriptor = files.open_file(path, files.READ)
            self.size = files.device_size(self._descriptor)
        except OSError as error:
            raise failure(path, "open", error) from error
        self.sector_size = files.device_sector_size(self._descriptor)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource. Whole sectors are read: Windows, and raw devices of macOS, give nothing else."""
        unit, end = self.sector_size, offset + len(buffer)
        if end > self.size:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        first, last = offset // unit * unit, -(-end // unit) * unit
        if (first, last) == (offset, end):
            read_device(self.path, self._descriptor, self._lock, offset, buffer)
            return
        whole = bytearray(last - first)
        read_device(self.path, self._descriptor, self._lock, first, memoryview(whole))
        buffer[:] = memoryview(whole)[offset - first : end - first]

    def require_unchanged(self) -> None:
        """See FileSource: of a device nobody knows."""

    def extents(self, position: int = 0) -> Iterator[Range]:
        """See FileSource: all of it."""
        return iter([Range.between(position, self.size)] if position < self.size else [])

    def close(self) -> None:
        """Close the device; reading afterwards raises InputOutputError."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
