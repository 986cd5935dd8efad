"""qcow2 version 3 (QEMU, docs/interop/qcow2), written front to back and read back: clusters, compressed where asked.

The file has the header, the L1 table, then clusters of the disk with an L2 table behind those of its range, at
the end refcount blocks and the refcount table. Zeros are not allocated.
"""

from array import array
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.convert.cells import Bytes as CellBytes
from analyzer.convert.formats.codecs import Zstd, deflate, inflate
from analyzer.convert.formats.format import SECTOR, DecodedImage, Form, Piece, units_with_data
from analyzer.convert.formats.qcow2 import format as qcow2
from analyzer.convert.model import Compression
from analyzer.progress import Progress
from vhdx.ranges import Range
from vhdx.sink import Sink

Counts = npt.NDArray[np.uint16]
Table = npt.NDArray[np.uint64]


class Qcow2Writer:
    """Writes clusters as they come, and an L2 table as soon as its range is through."""

    def __init__(self, sink: Sink, layout: qcow2.Qcow2Layout, _progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._layout, self._zstd = sink, layout, Zstd()
        self._l1 = np.zeros(layout.l1_size, dtype=">u8")
        self._l2 = np.zeros(qcow2.L2_ENTRIES, dtype=">u8")
        self._range = 0
        self._refcounts = array("H", [1]) * (layout.first_free >> qcow2.CLUSTER_BITS)
        self._packed_at = self._packed_end = 0

    def pack(self, data: CellBytes) -> list[Piece]:
        """See ImageWriter."""
        return [self._pack(start, cluster) for start, cluster in units_with_data(data, qcow2.CLUSTER)]

    def put(self, start: int, piece: Piece) -> None:
        """See ImageWriter."""
        if start // qcow2.L2_RANGE != self._range:
            self._write_l2()
            self._range = start // qcow2.L2_RANGE
        place = self._place_packed if piece.form is Form.PACKED else self._append_cluster
        self._l2[start // qcow2.CLUSTER % qcow2.L2_ENTRIES] = place(piece.data)

    def finish(self) -> None:
        """Write the tables, and the header last: until then the file is no image at all."""
        self._write_l2()
        self._sink.write_at(qcow2.CLUSTER, self._l1.tobytes())
        table, clusters = self._write_refcounts()
        self._sink.set_size(len(self._refcounts) * qcow2.CLUSTER)
        self._sink.write_at(0, self._layout.header(table, clusters))

    def _pack(self, start: int, cluster: bytes) -> Piece:
        match self._layout.compression:
            case Compression.FORMAT:
                return Piece(start, cluster, Form.STORED)
            case Compression.ZLIB:
                packed = deflate(
                    cluster, -qcow2.WINDOW_BITS
                )  # a raw stream: readers expect neither header nor checksum
            case Compression.ZSTD:
                packed = self._zstd.pack(cluster)
        return Piece(start, packed, Form.PACKED) if len(packed) < qcow2.CLUSTER else Piece(start, cluster, Form.STORED)

    def _take_cluster(self) -> int:
        """The next cluster of the file, with a refcount of one."""
        self._refcounts.append(1)
        return (len(self._refcounts) - 1) * qcow2.CLUSTER

    def _append_cluster(self, data: bytes | memoryview) -> int:
        """Write a cluster at the end; returns the entry that leads to it."""
        place = self._take_cluster()
        self._sink.write_at(place, data)
        return place | qcow2.COPIED

    def _place_packed(self, data: bytes | memoryview) -> int:
        """Put packed bytes behind the last ones, or into a new cluster where other things follow those."""
        if self._packed_at + len(data) > self._packed_end:
            fresh = self._take_cluster()
            self._refcounts[-1] = 0  # it counts those who use it, and they are counted below
            self._packed_at = self._packed_at if fresh == self._packed_end else fresh
            self._packed_end = fresh + qcow2.CLUSTER
        place, last = self._packed_at, self._packed_at + len(data) - 1
        self._packed_at = last + 1
        self._sink.write_at(place, data)
        for cluster in range(place >> qcow2.CLUSTER_BITS, (last >> qcow2.CLUSTER_BITS) + 1):
            self._refcounts[cluster] += 1
        return qcow2.COMPRESSED | (last // SECTOR - place // SECTOR) << qcow2.SECTORS_SHIFT | place

    def _write_l2(self) -> None:
        if self._l2.any():
            self._l1[self._range] = self._append_cluster(self._l2.tobytes())
            self._l2[:] = 0

    def _write_refcounts(self) -> tuple[int, int]:
        """The offset of the refcount table and its length in clusters; both count themselves, too."""
        # They count themselves, so their number is found by asking again until it stays.
        blocks = tables = 0
        while True:
            total = len(self._refcounts) + blocks + tables
            needed = -(-total // qcow2.REFCOUNTS_PER_BLOCK)
            if (blocks, tables) == (needed, -(-needed * 8 // qcow2.CLUSTER)):
                break
            blocks, tables = needed, -(-needed * 8 // qcow2.CLUSTER)
        first = len(self._refcounts) * qcow2.CLUSTER
        self._refcounts.extend([1] * (blocks + tables))
        self._sink.write_at(first, np.array(self._refcounts, dtype=">u2").tobytes())
        table = first + blocks * qcow2.CLUSTER
        self._sink.write_at(table, (first + np.arange(blocks, dtype=np.int64) * qcow2.CLUSTER).astype(">u8").tobytes())
        return table, tables


class Qcow2Image(DecodedImage):
    """The disk of an image: L1 table at once, L2 tables as they are asked for."""

    def __init__(self, path: Path, layout: qcow2.Qcow2Layout) -> None:
        """Open it; raises VerificationError when its header is another than was written, InputOutputError."""
        super().__init__(path, layout.size, qcow2.CLUSTER)
        page = self.take(0, qcow2.HEADER.sizeof())
        self._header = header = qcow2.HEADER.parse(page)
        expected = layout.header(header.refcount_table_offset, header.refcount_table_clusters)
        self.require(structure=page, expected=expected)
        self._compression, self._zstd = layout.compression, Zstd()
        self._l1 = self._table(header.l1_table_offset, header.l1_size)
        self._l2 = lru_cache(maxsize=16)(self._read_l2)

    def read_unit(self, number: int) -> bytes | None:
        """See DecodedImage."""
        l2 = self._l2(number // qcow2.L2_ENTRIES)
        entry = 0 if l2 is None else int(l2[number % qcow2.L2_ENTRIES])
        if not entry:
            return None
        if not entry & qcow2.COMPRESSED:
            return self.take(entry & ~qcow2.COPIED, qcow2.CLUSTER)
        data = self.take(*self._packed(entry & ~qcow2.COMPRESSED))
        if self._compression is Compression.ZSTD:
            return self._zstd.unpack(data, qcow2.CLUSTER)
        return inflate(data, -qcow2.WINDOW_BITS, qcow2.CLUSTER)

    def extents(self) -> Iterator[Range]:
        """See DecodedImage. Once through, the refcounts were compared with what the tables refer to."""
        counts = self._count_structures()
        for number in np.flatnonzero(self._l1).tolist():
            l2 = self._l2(number)
            for index in np.flatnonzero(l2).tolist() if l2 is not None else ():
                start = number * qcow2.L2_RANGE + index * qcow2.CLUSTER
                yield Range(start, min(qcow2.CLUSTER, self.size - start))
            if l2 is not None:
                self._count(counts, l2)
        self.require(structure=self._refcounts(len(counts)), expected=counts.astype(">u2").tobytes())

    def _count_structures(self) -> Counts:
        """By cluster of the file, how many structures refer to it, L2 tables aside."""
        counts = np.zeros(self.file.size // qcow2.CLUSTER, dtype=np.uint16)
        counts[: 1 + -(-len(self._l1) * 8 // qcow2.CLUSTER)] = 1
        table = self._header.refcount_table_offset >> qcow2.CLUSTER_BITS
        blocks = -(-len(counts) // qcow2.REFCOUNTS_PER_BLOCK)
        counts[table - blocks : table + self._header.refcount_table_clusters] = 1
        tables = (self._l1[self._l1 != 0] & np.uint64(qcow2.OFFSET_MASK)) >> np.uint64(qcow2.CLUSTER_BITS)
        self.require(structure=bool((tables < len(counts)).all()), expected=True)
        counts[tables] = 1
        return counts

    def _count(self, counts: Counts, l2: Table) -> None:
        """Add what the entries of an L2 table refer to."""
        for entry in l2[l2 != 0].tolist():
            if entry & qcow2.COMPRESSED:
                place, length = self._packed(entry & ~qcow2.COMPRESSED)
                # packed bytes may cross into the next cluster: each of both is referred to
                counts[place >> qcow2.CLUSTER_BITS : (place + length - 1 >> qcow2.CLUSTER_BITS) + 1] += 1
            else:
                counts[(entry & qcow2.OFFSET_MASK) >> qcow2.CLUSTER_BITS] += 1

    def _refcounts(self, clusters: int) -> bytes:
        """The refcounts of the file's clusters, from its refcount blocks."""
        entries = -(-clusters // qcow2.REFCOUNTS_PER_BLOCK)
        places = self._table(self._header.refcount_table_offset, entries).tolist()
        return b"".join(self.take(place, qcow2.CLUSTER) for place in places)[: clusters * 2]

    def _packed(self, descriptor: int) -> tuple[int, int]:
        """Offset and length, to the end of the last sector, of a compressed cluster."""
        place = descriptor & (1 << qcow2.SECTORS_SHIFT) - 1
        sectors = (descriptor >> qcow2.SECTORS_SHIFT) + 1
        return place, (place // SECTOR + sectors) * SECTOR - place

    def _read_l2(self, number: int) -> Table | None:
        entry = int(self._l1[number])
        return self._table(entry & ~qcow2.COPIED, qcow2.L2_ENTRIES) if entry else None

    def _table(self, offset: int, entries: int) -> Table:
        return np.frombuffer(self.take(offset, entries * 8), dtype=">u8").astype(np.uint64)
