"""A disk as a file object, for file-system libraries and for everything else that wants to seek and read."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from vhdx.reader import Reader, RunSource

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Bytes of an answer whose memory is used again.
_MOST_KEPT = 4 << 20


class ChainStream(io.RawIOBase):
    """The flat disk, read-only and seekable. Reads raise as `Reader.read_into` does."""

    def __init__(self, disk: RunSource) -> None:
        """A stream of its own position over `disk`, at byte 0."""
        super().__init__()
        self._reader, self._size, self._position = Reader(disk), disk.size, 0
        self._kept = io.BytesIO(), io.BytesIO()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position, bytes from the disk's start."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move, as io.RawIOBase.seek does; raises ValueError for a place before the start."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}.get(whence)
        if origin is None:
            raise ValueError(f"whence is {whence}; it must be 0, 1 or 2")
        if origin + offset < 0:
            raise ValueError(f"cannot seek to byte {origin + offset}, before the start of the disk")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer as far as the disk goes; returns how many bytes."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._position))
        self._reader.read_into(self._position, view[:length])
        self._position += length
        return length

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that follow when it is negative or None; less only at the disk's end."""
        left = max(0, self._size - self._position)
        length = left if size is None or size < 0 else min(size, left)
        data = self._reader.read(self._position, length) if length > _MOST_KEPT else self._read_in_turn(length)
        self._position += length
        return data

    def _read_in_turn(self, length: int) -> bytes:
        # What a BytesIO holds and nobody else does can be filled in place: neither a second copy, nor zeros first.
        # A caller lets go of what it got last while it takes the next, so that two of them serve it in turn; of what
        # it does not let go, `getbuffer` makes a copy.
        self._kept = self._kept[1], self._kept[0]
        if len(self._kept[0].getvalue()) != length:
            self._kept = io.BytesIO(bytes(length)), self._kept[1]
        with self._kept[0].getbuffer() as buffer:
            self._reader.read_into(self._position, buffer)
        return self._kept[0].getvalue()

    def readall(self) -> bytes:
        """All that follows the position, in one piece."""
        return self.read()
