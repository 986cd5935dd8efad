"""streamOptimized VMDK, one file of compressed grains: what vSphere and OVF take."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.convert.cells import CELL, Bytes
from analyzer.convert.formats.codecs import UndecodableError, deflate, inflate
from analyzer.convert.formats.format import DecodedImage, Form, ImageRequest, Piece, require_compression
from analyzer.convert.formats.pipeline import units_with_data
from analyzer.convert.formats.vmdk.format import (
    ENTRIES,
    GD_AT_END,
    GRAIN,
    GRAIN_MARKER,
    MAX_FILE,
    OVERHEAD_SECTORS,
    SECTOR,
    TABLE_RANGE,
    Marker,
    descriptor,
    extent_name,
    header,
    marker,
)
from analyzer.convert.model import Compression
from analyzer.progress import Progress
from vhdx.errors import OutputError
from vhdx.ranges import Range
from vhdx.sink import Sink

# What a grain takes that does not shrink, with its marker.
_LARGEST_GRAIN = GRAIN + 2 * SECTOR
_TABLE = ENTRIES * 4
# Marker of the footer, footer, end of the stream.
_AFTER_DIRECTORY = 3 * SECTOR

Table = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class VmdkLayout:
    """A streamOptimized image to be; sizes are bytes."""

    size: int
    data_bytes: int
    content_id: int
    extent: str
    """The name that the file will have, as far as its descriptor can hold it."""

    @property
    def tables(self) -> int:
        """Grain tables that the grain directory has room for."""
        return -(-self.size // TABLE_RANGE)

    @property
    def directory_bytes(self) -> int:
        """The grain directory, in whole sectors."""
        return -(-self.tables * 4 // SECTOR) * SECTOR

    @property
    def needed_bytes(self) -> int:
        """Everything, when nothing shrinks."""
        grains = self.data_bytes // GRAIN * _LARGEST_GRAIN
        tables = min(self.tables, self.data_bytes // CELL) * (_TABLE + SECTOR)
        return OVERHEAD_SECTORS * SECTOR + grains + tables + SECTOR + self.directory_bytes + _AFTER_DIRECTORY


def plan(request: ImageRequest) -> VmdkLayout:
    """What is going to be written; raises OutputError for a disk that the format cannot hold."""
    require_compression(request.target, request.options.compression, {Compression.ZLIB}, "streamOptimized VMDK")
    if request.sector_size != SECTOR:
        reason = f"a VMDK has sectors of 512 bytes, the disk of {request.sector_size}"
        raise OutputError(request.target, reason, "write a VHDX, which has both")
    # The two highest values mean that there is no parent, and that a disk was never written.
    content_id = request.options.identities("content_id").int % 0xFFFFFFFE
    layout = VmdkLayout(request.size, request.data_bytes, content_id, extent_name(request.target.name))
    if layout.needed_bytes > MAX_FILE:
        reason = f"a streamOptimized VMDK has 2 TiB at most, and this one may take {layout.needed_bytes} bytes"
        raise OutputError(request.target, reason, "write a VHDX or a qcow2")
    return layout


class VmdkWriter:
    """Writes grains as they come, and a grain table as soon as its range is through: never back, but for the header."""

    def __init__(self, sink: Sink, layout: VmdkLayout, _progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._layout, self._end = sink, layout, OVERHEAD_SECTORS * SECTOR
        self._directory = np.zeros(layout.directory_bytes // 4, dtype="<u4")
        self._table = np.zeros(ENTRIES, dtype="<u4")
        self._range = 0

    def pack(self, data: Bytes) -> list[Piece]:
        """See ImageWriter."""
        return [
            Piece(start, deflate(grain, zlib.MAX_WBITS), Form.PACKED) for start, grain in units_with_data(data, GRAIN)
        ]

    def put(self, start: int, piece: Piece) -> None:
        """See ImageWriter."""
        if start // TABLE_RANGE != self._range:
            self._write_table()
            self._range = start // TABLE_RANGE
        # readers of a stream find grains by these alone
        lead = GRAIN_MARKER.build({"lba": start // SECTOR, "size": len(piece.data)})
        self._table[start // GRAIN % ENTRIES] = self._append(lead + bytes(piece.data))

    def finish(self) -> Mapping[str, str]:
        """Write the last table, directory, footer, end of the stream; the header last."""
        self._write_table()
        directory = self._append_marked(Marker.GRAIN_DIRECTORY, self._directory.tobytes())
        self._append_marked(Marker.FOOTER, header(self._layout.size, directory))
        self._append(marker(Marker.END_OF_STREAM, 0))
        self._sink.write_at(SECTOR, descriptor(self._layout.size, self._layout.content_id, self._layout.extent))
        self._sink.write_at(0, header(self._layout.size, GD_AT_END))
        return {}

    def _write_table(self) -> None:
        if self._table.any():
            self._directory[self._range] = self._append_marked(Marker.GRAIN_TABLE, self._table.tobytes())
            self._table[:] = 0

    def _append_marked(self, kind: Marker, data: bytes) -> int:
        """Write a marker and what it marks; returns the sector of the latter."""
        return self._append(marker(kind, len(data)) + data) + 1

    def _append(self, data: bytes) -> int:
        """Write whole sectors at the end of the file; returns the first."""
        place = self._end
        self._sink.write_at(place, data + bytes(-len(data) % SECTOR))
        self._end += -(-len(data) // SECTOR) * SECTOR
        return place // SECTOR


class VmdkImage(DecodedImage):
    """A streamOptimized image, read back."""

    def __init__(self, path: Path, layout: VmdkLayout) -> None:
        """Open it; raises VerificationError when a structure is another than was written, InputOutputError."""
        super().__init__(path, layout.size, GRAIN)
        self.require(structure=self.take(0, SECTOR), expected=header(layout.size, GD_AT_END))
        text = descriptor(layout.size, layout.content_id, layout.extent)
        self.require(structure=self.take(SECTOR, len(text)), expected=text)
        place = self.file.size - _AFTER_DIRECTORY - layout.directory_bytes
        end = marker(Marker.FOOTER, SECTOR) + header(layout.size, place // SECTOR) + marker(Marker.END_OF_STREAM, 0)
        self.require(structure=self.take(place + layout.directory_bytes, _AFTER_DIRECTORY), expected=end)
        self._directory = np.frombuffer(self.take(place, layout.directory_bytes), dtype="<u4")
        self._table = lru_cache(maxsize=64)(self._read_table)

    def read_unit(self, number: int) -> bytes | None:
        """See DecodedImage."""
        table = self._table(number // ENTRIES)
        sector = 0 if table is None else int(table[number % ENTRIES])
        return self._read_grain(number, sector * SECTOR) if sector else None

    def extents(self) -> Iterator[Range]:
        """See WrittenImage."""
        for number in np.flatnonzero(self._directory).tolist():
            table = self._table(number)
            for index in np.flatnonzero(table).tolist() if table is not None else ():
                start = number * TABLE_RANGE + index * GRAIN
                yield Range(start, min(GRAIN, self.size - start))

    def _read_grain(self, number: int, place: int) -> bytes:
        lead = GRAIN_MARKER.parse(self.take(place, GRAIN_MARKER.sizeof()))
        if lead.lba != number * GRAIN // SECTOR or lead.size > _LARGEST_GRAIN:
            raise self.failure(number)
        try:
            return inflate(self.take(place + GRAIN_MARKER.sizeof(), lead.size), zlib.MAX_WBITS, GRAIN)
        except UndecodableError as error:
            raise self.failure(number) from error

    def _read_table(self, number: int) -> Table | None:
        sector = int(self._directory[number])
        if not sector:
            return None
        expected = marker(Marker.GRAIN_TABLE, _TABLE)
        self.require(structure=self.take((sector - 1) * SECTOR, SECTOR), expected=expected)
        return np.frombuffer(self.take(sector * SECTOR, _TABLE), dtype="<u4").astype(np.uint32)
