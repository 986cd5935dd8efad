"""A raw image in seekable zstd: a frame for each MiB that holds data, frames of any length for zeros, a seek table.

Any zstd unpacks it (RFC 8878); readers of the seekable format (facebook/zstd, contrib/seekable_format) find any MiB
without unpacking what is before it. Zeros cost 4 bytes for each 128 KiB: no block of zstd is longer.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from construct import Bytes, Int8ul, Int32ul, Struct

from analyzer.convert.cells import CELL
from analyzer.convert.cells import Bytes as CellBytes
from analyzer.convert.formats.codecs import UndecodableError, Zstd, require_zstd
from analyzer.convert.formats.format import DecodedImage, Form, Piece
from analyzer.convert.model import ImageRequest
from analyzer.progress import Progress
from vhdx.ranges import Range
from vhdx.sink import Sink
from vhdx.structures.fields import build

LONGEST = 1 << 30
"""Of a frame: readers of the seekable format take no longer ones."""
# The largest block that RFC 8878 allows: zeros take 4 bytes for each.
_BLOCK = 128 << 10
_RLE = 1 << 1
_LAST = 1
_CONTENT_SIZE_OF_4_BYTES = 2 << 6
_WINDOW_OF_A_BLOCK = 7 << 3
# To a frame that does not shrink.
_MOST_ADDED = 64

FRAME_HEADER = Struct(
    "magic_number" / Bytes(4), "descriptor" / Int8ul, "window_descriptor" / Int8ul, "content_size" / Int32ul
)
SKIPPABLE_HEADER = Struct("magic_number" / Int32ul, "frame_size" / Int32ul)
SEEK_TABLE_FOOTER = Struct("number_of_frames" / Int32ul, "descriptor" / Int8ul, "seekable_magic_number" / Int32ul)
_SKIPPABLE, _SEEKABLE = 0x184D2A5E, 0x8F92EAB1
_ENTRY = 8


@lru_cache(maxsize=4)
def zeros_frame(length: int) -> bytes:
    """A frame of `length` zeros, 1 to LONGEST (RFC 8878, 3.1.1): blocks that repeat one byte."""
    magic, flags = bytes.fromhex("28b52ffd"), _CONTENT_SIZE_OF_4_BYTES
    header = build(
        FRAME_HEADER, magic_number=magic, descriptor=flags, window_descriptor=_WINDOW_OF_A_BLOCK, content_size=length
    )
    whole, rest = divmod(length - 1, _BLOCK)
    return header + _zeros_block(_BLOCK, 0) * whole + _zeros_block(rest + 1, _LAST)


def _zeros_block(length: int, last: int) -> bytes:
    return (length << 3 | _RLE | last).to_bytes(3, "little") + b"\0"


def seek_table(frames: int, entries: bytes) -> bytes:
    """The seek table, a frame that readers of plain zstd skip."""
    footer = build(SEEK_TABLE_FOOTER, number_of_frames=frames, seekable_magic_number=_SEEKABLE)
    return build(SKIPPABLE_HEADER, magic_number=_SKIPPABLE, frame_size=len(entries) + len(footer)) + entries + footer


@dataclass(frozen=True, slots=True)
class ZstLayout:
    """A seekable raw.zst to be; sizes are bytes."""

    size: int
    data_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Everything, when nothing shrinks."""
        added = 2 * (self.data_bytes // CELL) * (_MOST_ADDED + _ENTRY)
        return self.data_bytes + added + len(zeros_frame(LONGEST)) * (self.size // LONGEST + 1)


def plan(request: ImageRequest, data_bytes: int) -> ZstLayout:
    """What is going to be written; raises OutputError when zstd is not installed."""
    require_zstd(request.target)
    return ZstLayout(request.like.size, data_bytes)


class ZstWriter:
    """Writes frames one after another, zeros where no cell came."""

    def __init__(self, sink: Sink, layout: ZstLayout, _progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._size, self._zstd = sink, layout.size, Zstd()
        self._position = self._end = 0
        self._entries = array("I")

    def pack(self, data: CellBytes) -> list[Piece]:
        """See ImageWriter."""
        return [Piece(0, self._zstd.pack(data.tobytes()), Form.PACKED)] if data.any() else []

    def put(self, start: int, piece: Piece) -> None:
        """See ImageWriter."""
        self._skip_to(start)
        self._append(piece.data, min(CELL, self._size - start))  # the last cell of a disk may be short

    def finish(self) -> None:
        """Write what zeros are left, and the seek table."""
        self._skip_to(self._size)
        entries = np.array(self._entries, dtype="<u4").tobytes()
        self._sink.write_at(self._end, seek_table(len(entries) // _ENTRY, entries))

    def _skip_to(self, position: int) -> None:
        while self._position < position:
            length = min(LONGEST, position - self._position)
            self._append(zeros_frame(length), length)

    def _append(self, frame: bytes | memoryview, length: int) -> None:
        """Write a frame of `length` bytes of the disk."""
        self._sink.write_at(self._end, frame)
        self._entries.extend((len(frame), length))
        self._end += len(frame)
        self._position += length


class ZstImage(DecodedImage):
    """A seekable raw.zst of ours, read back by its seek table."""

    def __init__(self, path: Path, layout: ZstLayout) -> None:
        """Open it; raises VerificationError when the seek table is not that of a disk of the layout's size."""
        super().__init__(path, layout.size, CELL)
        self._zstd = Zstd()
        tail = SEEK_TABLE_FOOTER.sizeof()
        frames = SEEK_TABLE_FOOTER.parse(self.take(self.file.size - tail, tail)).number_of_frames
        entries = self.take(self.file.size - tail - frames * _ENTRY, frames * _ENTRY)
        table = np.frombuffer(entries, dtype="<u4").astype(np.int64).reshape(-1, 2)
        # Every frame has a place in the file and a place on the disk: the sums of the lengths before it.
        self._places, self._starts = (np.concatenate(([0], np.cumsum(table[:, column]))) for column in (0, 1))
        self.require(structure=int(self._starts[-1]), expected=layout.size)
        written = self.take(int(self._places[-1]), self.file.size - int(self._places[-1]))
        self.require(structure=written, expected=seek_table(frames, entries))

    def read_unit(self, number: int) -> bytes:
        """See DecodedImage; only frames of one cell hold data."""
        frame = int(self._starts.searchsorted(number * CELL, "right")) - 1
        length = int(self._starts[frame + 1] - self._starts[frame])
        if length > CELL:
            raise UndecodableError("its frame is longer than a cell")
        return self._zstd.unpack(self._frame(frame), length)

    def extents(self) -> Iterator[Range]:
        """See DecodedImage; every frame that is not the one that zeros have."""
        for frame, (start, end) in enumerate(zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True)):
            if end - start > LONGEST or self._frame(frame) != zeros_frame(end - start):
                yield Range.between(start, end)

    def _frame(self, frame: int) -> bytes:
        place = int(self._places[frame])
        return self.take(place, int(self._places[frame + 1]) - place)
