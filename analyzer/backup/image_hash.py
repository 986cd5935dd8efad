"""The hashes of a whole image, zeros included."""

import hashlib
from contextlib import closing
from enum import Enum

import numpy as np
import numpy.typing as npt

from analyzer.backup.repository.chunks import ChunkStore
from analyzer.backup.repository.index import Index
from analyzer.convert.formats.pipeline import in_order

Bytes = npt.NDArray[np.uint8]
_ZEROS = bytes(1 << 20)


class Sums(Enum):
    """Which hashes are taken of an image."""

    SHA256 = "sha256"
    BOTH = "both"
    """SHA-512/256 too, which `casync digest` gives: it takes longer than all else that a backup does."""


class ImageHash:
    """The hashes of a whole image, fed in the order of the disk; what is left out is zeros."""

    def __init__(self, size: int, sums: Sums) -> None:
        self._size, self._position = size, 0
        self._sums = [hashlib.sha256()]
        if sums is Sums.BOTH and "sha512_256" in hashlib.algorithms_available:
            self._sums.append(hashlib.new("sha512_256"))

    def update(self, start: int, data: Bytes) -> None:
        """Take the bytes at `start`."""
        if start >= self._size:
            return
        self._pad(start)
        for one in self._sums:
            one.update(data[: self._size - start].data)
        self._position = min(self._size, start + len(data))

    def digests(self) -> tuple[str, str | None]:
        """SHA-256, and SHA-512/256 where it was asked for and this Python has it."""
        self._pad(self._size)
        first, *others = (one.hexdigest() for one in self._sums)
        return first, others[0] if others else None

    def _pad(self, until: int) -> None:
        while self._position < until:
            step = min(len(_ZEROS), until - self._position)
            for one in self._sums:
                one.update(_ZEROS[:step])
            self._position += step


def hashes_of(store: ChunkStore, index: Index) -> tuple[str, str | None]:
    """The hashes of a disk whose chunks are stored: all are read back, but for zeros. Raises as `ChunkStore.get`."""
    zero = np.frombuffer(store.codec.id_of(bytes(index.chunk_size)), np.uint8)
    numbers = np.flatnonzero((index.ids != zero).any(axis=1)).tolist()
    image = ImageHash(index.size, Sums.BOTH)
    with closing(in_order(lambda number: (number, store.get(index.id_of(number))), numbers)) as contents:
        for number, content in contents:
            image.update(number * index.chunk_size, np.frombuffer(content, np.uint8))
    return image.digests()
