"""The bytes of a file into an open one: what is zeros is left a hole."""

import os
from collections.abc import Iterable, Iterator

from analyzer.guest.filesystems.content import Piece

_GRAIN = 4096


def fill(descriptor: int, size: int, pieces: Iterable[Piece]) -> None:
    """Make an empty file `size` bytes long, with the pieces in it; raises OSError, and what `pieces` raises."""
    os.ftruncate(descriptor, size)
    for piece in pieces:
        for at, data in _not_zero(piece.data):
            _write_all(descriptor, piece.offset + at, data)


def _not_zero(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of a piece, in grains, that are not all zeros; neighbours are one."""
    start = None
    for at in range(0, len(data), _GRAIN):
        grain = data[at : at + _GRAIN]
        if grain.count(0) == len(grain):
            if start is not None:
                yield start, data[start:at]
                start = None
        elif start is None:
            start = at
    if start is not None:
        yield start, data[start:]


def _write_all(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    os.lseek(descriptor, offset, os.SEEK_SET)
    while view:
        view = view[os.write(descriptor, view) :]
