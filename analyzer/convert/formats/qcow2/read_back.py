"""A qcow2 image of ours, read back."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.convert.formats.codecs import UndecodableError, Zstd, inflate
from analyzer.convert.formats.qcow2.format import (
    CLUSTER,
    CLUSTER_BITS,
    COMPRESSED,
    COPIED,
    HEADER,
    L2_ENTRIES,
    L2_RANGE,
    OFFSET_MASK,
    REFCOUNTS_PER_BLOCK,
    SECTOR,
    SECTORS_SHIFT,
    WINDOW_BITS,
    Qcow2Layout,
)
from analyzer.convert.formats.read_back import DecodedImage
from analyzer.convert.model import Compression
from vhdx.ranges import Range

Counts = npt.NDArray[np.uint16]
Table = npt.NDArray[np.uint64]


class Qcow2Image(DecodedImage):
    """The disk of an image: L1 table at once, L2 tables as they are asked for."""

    def __init__(self, path: Path, layout: Qcow2Layout) -> None:
        """Open it; raises VerificationError when its header is another than was written, InputOutputError."""
        super().__init__(path, layout.size, CLUSTER)
        page = self.take(0, HEADER.sizeof())
        self._header = header = HEADER.parse(page)
        expected = layout.header(header.refcount_table_offset, header.refcount_table_clusters)
        self.require(structure=page, expected=expected)
        self._compression, self._zstd = layout.compression, Zstd()
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

    def extents(self) -> Iterator[Range]:
        """See WrittenImage. Once through, the refcounts were compared with what the tables refer to."""
        counts = self._count_structures()
        for number in np.flatnonzero(self._l1).tolist():
            l2 = self._l2(number)
            for index in np.flatnonzero(l2).tolist() if l2 is not None else ():
                start = number * L2_RANGE + index * CLUSTER
                yield Range(start, min(CLUSTER, self.size - start))
            if l2 is not None:
                self._count(counts, l2)
        self.require(structure=self._refcounts(len(counts)), expected=counts.astype(">u2").tobytes())

    def _count_structures(self) -> Counts:
        """By cluster of the file, how many structures refer to it, L2 tables aside."""
        counts = np.zeros(self.file.size // CLUSTER, dtype=np.uint16)
        counts[: 1 + -(-len(self._l1) * 8 // CLUSTER)] = 1
        table = self._header.refcount_table_offset >> CLUSTER_BITS
        blocks = -(-len(counts) // REFCOUNTS_PER_BLOCK)
        counts[table - blocks : table + self._header.refcount_table_clusters] = 1
        tables = (self._l1[self._l1 != 0] & np.uint64(OFFSET_MASK)) >> np.uint64(CLUSTER_BITS)
        self.require(structure=bool((tables < len(counts)).all()), expected=True)
        counts[tables] = 1
        return counts

    def _count(self, counts: Counts, l2: Table) -> None:
        """Add what the entries of an L2 table refer to."""
        for entry in l2[l2 != 0].tolist():
            if entry & COMPRESSED:
                place, length = self._packed(entry & ~COMPRESSED)
                counts[place >> CLUSTER_BITS : (place + length - 1 >> CLUSTER_BITS) + 1] += 1
            else:
                counts[(entry & OFFSET_MASK) >> CLUSTER_BITS] += 1

    def _refcounts(self, clusters: int) -> bytes:
        """The refcounts of the file's clusters, from its refcount blocks."""
        entries = -(-clusters // REFCOUNTS_PER_BLOCK)
        places = self._table(self._header.refcount_table_offset, entries).tolist()
        return b"".join(self.take(place, CLUSTER) for place in places)[: clusters * 2]

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
