"""A file as it will be: patches laid over a source, which is what a plan is tried on before anything is written."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from analyzer.repair.model import Patch
from vhdx.errors import ShortReadError
from vhdx.ranges import united
from vhdx.source import ByteSource, extents_of


class PatchedView:
    """A source with patches that do not overlap laid over it, `size` bytes long."""

    def __init__(self, below: ByteSource, patches: Sequence[Patch], size: int | None = None) -> None:
        """Lay `patches` over `below`; what is past its end and in no patch reads as zeros."""
        self._below = below
        self._patches = sorted(patches, key=lambda patch: patch.offset)
        self._starts = [patch.offset for patch in self._patches]
        self._size = max(below.size, size or 0, *(patch.end for patch in patches), 0)

    @property
    def path(self) -> Path:
        """The file's path."""
        return self._below.path

    @property
    def size(self) -> int:
        """Bytes that the file will have."""
        return self._size

    def extents(self) -> Iterator[tuple[int, int]]:
        """See `extents_of`."""
        return united([*extents_of(self._below), *((patch.offset, patch.end) for patch in self._patches)])

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        end = offset + len(buffer)
        if end > self.size:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        inside = max(0, min(end, self._below.size) - offset)
        if inside:
            self._below.read_into(offset, buffer[:inside])
        buffer[inside:] = bytes(len(buffer) - inside)
        for patch in self._patches[max(0, bisect_right(self._starts, offset) - 1) :]:
            if patch.offset >= end:
                break
            low, high = max(patch.offset, offset), min(patch.end, end)
            if low < high:
                buffer[low - offset : high - offset] = patch.content(low, high)
