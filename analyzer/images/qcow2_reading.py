"""A qcow2 image of ours, read back."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.images.codecs import UndecodableError, Zstd, inflate
from analyzer.images.decoding import DecodedImage
from analyzer.images.image import Compression
from analyzer.images.qcow2_format import (
    CLUSTER,
    COMPRESSED,
    COPIED,
    HEADER,
    L2_ENTRIES,
    L2_RANGE,
    SECTOR,
    SECTORS_SHIFT,
    WINDOW_BITS,
)

Table = npt.NDArray[np.uint64]


class Qcow2Image(DecodedImage):
    """The disk of an image: L1 table at once, L2 tables as they are asked for."""

    def __init__(self, path: Path, size: int, compression: Compression) -> None:
        """Open an image that is to hold `size` bytes; raises VerificationError when it does not, InputOutputError."""
        super().__init__(path, size, CLUSTER)
        header = HEADER.parse(self.take(0, HEADER.sizeof()))
        self.require(structure=(header.magic, header.size), expected=(b"QFI\xfb", size))
        self._compression, self._zstd = compression, Zstd()
        self._l1 = self._table(header.l1_table_offset, header.l1_size)
        self._l2 = lru_cache(maxsize=16)(self._read_l2)

    def read_unit(self, number: int) -> bytes | None:
        """See DecodedImage."""
        l2 = self._l2(number // L2_ENTRIES)
        entry = 0 if l2 is None else int(l2[number % L2_ENTRIES])
        if not entry:
            return None
        if not entry & COMPRESSED:
            return self.take(entry & ~COPIED, CLUSTER)
        try:
            return self._unpack(*self._packed(entry & ~COMPRESSED))
        except UndecodableError as error:
            raise self.failure(number) from error

    def extents(self) -> Iterator[tuple[int, int]]:
        """See WrittenImage."""
        for number in np.flatnonzero(self._l1).tolist():
            l2 = self._l2(number)
            for index in np.flatnonzero(l2).tolist() if l2 is not None else ():
                start = number * L2_RANGE + index * CLUSTER
                yield start, min(start + CLUSTER, self.size)

    def _packed(self, descriptor: int) -> tuple[int, int]:
        """Offset and length, to the end of the last sector, of a compressed cluster."""
        place = descriptor & (1 << SECTORS_SHIFT) - 1
        sectors = (descriptor >> SECTORS_SHIFT) + 1
        return place, (place // SECTOR + sectors) * SECTOR - place

    def _unpack(self, place: int, length: int) -> bytes:
        data = self.take(place, length)
        if self._compression is Compression.ZSTD:
            return self._zstd.unpack(data, CLUSTER)
        return inflate(data, -WINDOW_BITS, CLUSTER)

    def _read_l2(self, number: int) -> Table | None:
        entry = int(self._l1[number])
        return self._table(entry & ~COPIED, L2_ENTRIES) if entry else None

    def _table(self, offset: int, entries: int) -> Table:
        return np.frombuffer(self.take(offset, entries * 8), dtype=">u8").astype(np.uint64)
