"""streamOptimized VMDK, one file of compressed grains: what vSphere and OVF take.

VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents" and "Stream-Optimized".
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from analyzer.convert.cells import CELL
from analyzer.convert.cells import Bytes as CellBytes
from analyzer.convert.formats.codecs import UndecodableError, deflate, inflate
from analyzer.convert.formats.format import (
    SECTOR,
    DecodedImage,
    Form,
    Piece,
    require_sectors_of_512,
    units_with_data,
)
from analyzer.convert.model import ImageRequest
from analyzer.progress import Progress
from vhdx.errors import OutputError
from vhdx.ranges import Range
from vhdx.sink import Sink
from vhdx.structures.fields import build

# The grain that VMware writes; readers of streamOptimized files expect it.
GRAIN = 64 << 10
ENTRIES = 512
"""Of a grain table."""
TABLE_RANGE = ENTRIES * GRAIN
"""Bytes of the disk that one grain table maps."""
DESCRIPTOR_SECTORS = 20
OVERHEAD_SECTORS = 128
"""Before the first grain: header, descriptor, and room to the next grain."""
GD_AT_END = 0xFFFFFFFFFFFFFFFF
"""Of the header: the footer, which is a second header, has the place of the grain directory."""
MAX_FILE = 2 << 40
"""Grain tables count sectors in 32 bits."""
FLAGS = 1 | 1 << 16 | 1 << 17
"""The newline test is valid; grains are compressed; there are markers."""

HEADER = Struct(
    "magic_number" / Bytes(4),
    "version" / Int32ul,
    "flags" / Int32ul,
    "capacity" / Int64ul,
    "grain_size" / Int64ul,
    "descriptor_offset" / Int64ul,
    "descriptor_size" / Int64ul,
    "num_gtes_per_gt" / Int32ul,
    "rgd_offset" / Int64ul,
    "gd_offset" / Int64ul,
    "overhead" / Int64ul,
    "unclean_shutdown" / Int8ul,
    "newline_test" / Bytes(4),
    "compress_algorithm" / Int16ul,
    "padding" / Bytes(433),
)
GRAIN_MARKER = Struct("lba" / Int64ul, "size" / Int32ul)
METADATA_MARKER = Struct("num_sectors" / Int64ul, "size" / Int32ul, "type" / Int32ul, "padding" / Bytes(496))
# What a grain takes that does not shrink, with its marker.
_LARGEST_GRAIN = GRAIN + 2 * SECTOR
_TABLE = ENTRIES * 4
# Marker of the footer, footer, end of the stream.
_AFTER_DIRECTORY = 3 * SECTOR

Table = npt.NDArray[np.uint32]


class Marker(IntEnum):
    """What follows a metadata marker."""

    END_OF_STREAM = 0
    GRAIN_TABLE = 1
    GRAIN_DIRECTORY = 2
    FOOTER = 3


def header(size: int, gd_offset: int) -> bytes:
    """The header, or with a `gd_offset` in sectors the footer, of a disk of `size` bytes."""
    return build(
        HEADER,
        magic_number=b"KDMV",
        version=3,
        flags=FLAGS,
        capacity=size // SECTOR,
        grain_size=GRAIN // SECTOR,
        descriptor_offset=1,
        descriptor_size=DESCRIPTOR_SECTORS,
        num_gtes_per_gt=ENTRIES,
        gd_offset=gd_offset,
        overhead=OVERHEAD_SECTORS,
        newline_test=b"\n \r\n",
        compress_algorithm=1,  # deflate
    )


def marker(kind: Marker, length: int) -> bytes:
    """The sector before a structure of `length` bytes."""
    return build(METADATA_MARKER, num_sectors=length // SECTOR, type=kind)


def extent_name(file_name: str) -> str:
    """What the descriptor calls the file itself: some readers look for that name. One that all take, if need be."""
    plain = file_name.isascii() and file_name.isprintable() and not set(file_name) & set('"/\\')
    return file_name if plain else "generated-stream.vmdk"


def descriptor(size: int, content_id: int, extent: str) -> bytes:
    """The text that describes the file ("Text Descriptor"); `extent` names the file itself."""
    heads, sectors = 255, 63
    cylinders = min(65535, size // SECTOR // heads // sectors)
    text = f"""# Disk DescriptorFile
version=1
CID={content_id:08x}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {size // SECTOR} SPARSE "{extent}"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{heads}"
ddb.geometry.sectors = "{sectors}"
ddb.virtualHWVersion = "4"
"""
    return text.encode("ascii").ljust(DESCRIPTOR_SECTORS * SECTOR, b"\0")


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


def plan(request: ImageRequest, data_bytes: int) -> VmdkLayout:
    """What is going to be written; raises OutputError for a disk that the format cannot hold."""
    require_sectors_of_512(request, "VMDK")
    # The two highest values mean that there is no parent, and that a disk was never written.
    content_id = request.options.identities("content_id").int % 0xFFFFFFFE
    layout = VmdkLayout(request.like.size, data_bytes, content_id, extent_name(request.target.name))
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

    def pack(self, data: CellBytes) -> list[Piece]:
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

    def finish(self) -> None:
        """Write the last table, directory, footer, end of the stream; the header last."""
        self._write_table()
        directory = self._append_marked(Marker.GRAIN_DIRECTORY, self._directory.tobytes())
        self._append_marked(Marker.FOOTER, header(self._layout.size, directory))
        self._append(marker(Marker.END_OF_STREAM, 0))
        self._sink.write_at(SECTOR, descriptor(self._layout.size, self._layout.content_id, self._layout.extent))
        self._sink.write_at(0, header(self._layout.size, GD_AT_END))

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
        self.require_at(0, header(layout.size, GD_AT_END))
        self.require_at(SECTOR, descriptor(layout.size, layout.content_id, layout.extent))
        place = self.file.size - _AFTER_DIRECTORY - layout.directory_bytes
        end = marker(Marker.FOOTER, SECTOR) + header(layout.size, place // SECTOR) + marker(Marker.END_OF_STREAM, 0)
        self.require_at(place + layout.directory_bytes, end)
        self._directory = np.frombuffer(self.take(place, layout.directory_bytes), dtype="<u4")
        self._table = lru_cache(maxsize=64)(self._read_table)

    def read_unit(self, number: int) -> bytes | None:
        """See DecodedImage."""
        table = self._table(number // ENTRIES)
        place = 0 if table is None else int(table[number % ENTRIES]) * SECTOR
        if not place:
            return None
        lead = GRAIN_MARKER.parse(self.take(place, GRAIN_MARKER.sizeof()))
        if lead.lba != number * GRAIN // SECTOR or lead.size > _LARGEST_GRAIN:
            raise UndecodableError("another grain is in its place")
        return inflate(self.take(place + GRAIN_MARKER.sizeof(), lead.size), zlib.MAX_WBITS, GRAIN)

    def extents(self) -> Iterator[Range]:
        """See DecodedImage."""
        for number in np.flatnonzero(self._directory).tolist():
            table = self._table(number)
            for index in np.flatnonzero(table).tolist() if table is not None else ():
                start = number * TABLE_RANGE + index * GRAIN
                yield Range(start, min(GRAIN, self.size - start))

    def _read_table(self, number: int) -> Table | None:
        sector = int(self._directory[number])
        if not sector:
            return None
        self.require_at((sector - 1) * SECTOR, marker(Marker.GRAIN_TABLE, _TABLE))
        return np.frombuffer(self.take(sector * SECTOR, _TABLE), dtype="<u4").astype(np.uint32)
