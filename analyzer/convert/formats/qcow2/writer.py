"""qcow2 version 3, written front to back (QEMU, docs/interop/qcow2): clusters of 64 KiB, compressed where asked.

The file has the header, the L1 table, then clusters of the disk with an L2 table behind those of its range, at
the end refcount blocks and the refcount table. Zeros are not allocated.
"""

from array import array
from collections.abc import Mapping

import numpy as np

from analyzer.convert.cells import Bytes as CellBytes
from analyzer.convert.formats.codecs import Zstd, deflate
from analyzer.convert.formats.format import Form, Piece
from analyzer.convert.formats.pipeline import units_with_data
from analyzer.convert.formats.qcow2.format import (
    CLUSTER,
    CLUSTER_BITS,
    COMPRESSED,
    COPIED,
    L2_ENTRIES,
    L2_RANGE,
    REFCOUNTS_PER_BLOCK,
    SECTOR,
    SECTORS_SHIFT,
    WINDOW_BITS,
    Qcow2Layout,
)
from analyzer.convert.model import Compression
from analyzer.progress import Progress
from vhdx.sink import Sink


class Qcow2Writer:
    """Writes clusters as they come, and an L2 table as soon as its range is through."""

    def __init__(self, sink: Sink, layout: Qcow2Layout, _progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._layout, self._zstd = sink, layout, Zstd()
        self._l1 = np.zeros(layout.l1_size, dtype=">u8")
        self._l2 = np.zeros(L2_ENTRIES, dtype=">u8")
        self._range = 0
        self._refcounts = array("H", [1]) * (layout.first_free >> CLUSTER_BITS)
        self._packed_at = self._packed_end = 0

    def pack(self, data: CellBytes) -> list[Piece]:
        """See ImageWriter."""
        return [self._pack(start, cluster) for start, cluster in units_with_data(data, CLUSTER)]

    def put(self, start: int, piece: Piece) -> None:
        """See ImageWriter."""
        self._turn_to(start // L2_RANGE)
        place = self._place_packed if piece.form is Form.PACKED else self._place_stored
        self._l2[start // CLUSTER % L2_ENTRIES] = place(piece.data)

    def finish(self) -> Mapping[str, str]:
        """Write the tables, and the header last: until then the file is no image at all."""
        self._write_l2()
        self._sink.write_at(CLUSTER, self._l1.tobytes())
        table, clusters = self._write_refcounts()
        self._sink.set_size(len(self._refcounts) * CLUSTER)
        self._sink.write_at(0, self._layout.header(table, clusters))
        return {}

    def _pack(self, start: int, cluster: bytes) -> Piece:
        match self._layout.compression:
            case Compression.FORMAT:
                return Piece(start, cluster, Form.STORED)
            case Compression.ZLIB:
                packed = deflate(cluster, -WINDOW_BITS)
            case Compression.ZSTD:
                packed = self._zstd.pack(cluster)
        return Piece(start, packed, Form.PACKED) if len(packed) < CLUSTER else Piece(start, cluster, Form.STORED)

    def _take_cluster(self) -> int:
        """The next cluster of the file, with a refcount of one."""
        self._refcounts.append(1)
        return (len(self._refcounts) - 1) * CLUSTER

    def _place_stored(self, data: bytes | memoryview) -> int:
        place = self._take_cluster()
        self._sink.write_at(place, data)
        return place | COPIED

    def _place_packed(self, data: bytes | memoryview) -> int:
        """Put packed bytes behind the last ones, or into a new cluster where other things follow those."""
        if self._packed_at + len(data) > self._packed_end:
            fresh = self._take_cluster()
            self._refcounts[-1] = 0  # it counts those who use it, and they are counted below
            self._packed_at = self._packed_at if fresh == self._packed_end else fresh
            self._packed_end = fresh + CLUSTER
        place, last = self._packed_at, self._packed_at + len(data) - 1
        self._packed_at = last + 1
        self._sink.write_at(place, data)
        for cluster in range(place >> CLUSTER_BITS, (last >> CLUSTER_BITS) + 1):
            self._refcounts[cluster] += 1
        return COMPRESSED | (last // SECTOR - place // SECTOR) << SECTORS_SHIFT | place

    def _turn_to(self, number: int) -> None:
        if number != self._range:
            self._write_l2()
            self._range = number

    def _write_l2(self) -> None:
        if self._l2.any():
            place = self._take_cluster()
            self._sink.write_at(place, self._l2.tobytes())
            self._l1[self._range] = place | COPIED
            self._l2[:] = 0

    def _write_refcounts(self) -> tuple[int, int]:
        """The offset of the refcount table and its length in clusters; both count themselves, too."""
        blocks = tables = 0
        while True:
            total = len(self._refcounts) + blocks + tables
            needed = -(-total // REFCOUNTS_PER_BLOCK)
            if (blocks, tables) == (needed, -(-needed * 8 // CLUSTER)):
                break
            blocks, tables = needed, -(-needed * 8 // CLUSTER)
        first = len(self._refcounts) * CLUSTER
        self._refcounts.extend([1] * (blocks + tables))
        self._sink.write_at(first, np.array(self._refcounts, dtype=">u2").tobytes())
        table = first + blocks * CLUSTER
        self._sink.write_at(table, (first + np.arange(blocks, dtype=np.int64) * CLUSTER).astype(">u8").tobytes())
        return table, tables
