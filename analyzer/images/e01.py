"""EWF-E01, what EnCase, FTK, X-Ways, Autopsy and libewf take as evidence: compressed chunks, checksums, MD5 and SHA-1.

The format has no holes: a chunk of zeros is packed once, and written as often as there are such chunks.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from uuid import UUID

from analyzer.cells import CELL, Bytes
from analyzer.images.codecs import Effort, deflate
from analyzer.images.e01_format import (
    DESCRIPTOR,
    MOST_ENTRIES,
    VOLUME_SIZE,
    checksum,
    digest,
    md5_hash,
    volume,
)
from analyzer.images.e01_reading import E01Image
from analyzer.images.e01_segment import ENTRY_COST, TABLES_COST, Sections, SegmentWriter
from analyzer.images.evidence import Digests, Evidence, header2_text, header_text
from analyzer.images.hashing import DiskDigests
from analyzer.images.image import Compression, Form, ImageWriter, Piece, Wanted, WrittenImage, require_compression
from analyzer.images.segments import MOST, SegmentedSink, is_first
from analyzer.progress import Progress
from vhdx.errors import OutputError
from vhdx.sink import Sink

SECTORS_PER_CHUNK = 64
MOST_CHUNKS = 4 << 20
"""Where a disk would have more, its chunks are larger, up to a cell: tables and zeros stay small."""
USUAL_SEGMENT = 1500 << 20
SMALLEST_SEGMENT, LARGEST_SEGMENT = 4 << 20, 2047 << 20
"""Places in a segment have 31 bits."""
_MOST_ADDED = 64
"""To a chunk that does not shrink: its checksum; and to zeros, which take less than this for each KiB."""
_MOST_SECTORS = (1 << 32) - 1
_LEVELS = {Effort.QUICK: 1, Effort.BEST: 2}


@dataclass(frozen=True)
class E01Layout:
    """An E01 to be; sizes are bytes."""

    size: int
    sector_size: int
    data_bytes: int
    segment_size: int
    effort: Effort
    digests: Digests
    evidence: Evidence
    identifier: UUID

    @property
    def chunk(self) -> int:
        """Bytes of a chunk, which never crosses a cell: 64 sectors, or more on large disks."""
        chunk = SECTORS_PER_CHUNK * self.sector_size
        while chunk < CELL and self.size > MOST_CHUNKS * chunk:
            chunk *= 2
        return chunk

    @property
    def chunks(self) -> int:
        """How many the disk has; the last may be shorter."""
        return -(-self.size // self.chunk)

    @cached_property
    def zeros(self) -> bytes:
        """A whole chunk of zeros, packed as tightly as can be: it is packed once."""
        return zlib.compress(bytes(self.chunk), 9)

    @property
    def needed_bytes(self) -> int:
        """Everything, when nothing shrinks."""
        data = self.data_bytes // self.chunk * (self.chunk + _MOST_ADDED)
        chunks = self.chunks * (len(self.zeros) + ENTRY_COST)
        tables = (self.chunks // MOST_ENTRIES + 1) * TABLES_COST
        whole = data + chunks + tables
        return whole + self._segments(whole) * (self._front_bytes + TABLES_COST)

    @property
    def most_segments(self) -> int:
        """How many files it may take."""
        return self._segments(self.needed_bytes)

    def pack(self, data: bytes | memoryview) -> bytes:
        """A chunk, packed; it may come out longer."""
        return deflate(data, zlib.MAX_WBITS, self.effort)

    def front(self, number: int) -> Sections:
        """The sections with which segment `number` begins."""
        told = volume(
            size=self.size,
            sector_size=self.sector_size,
            sectors_per_chunk=self.chunk // self.sector_size,
            level=_LEVELS[self.effort],
            identifier=self.identifier,
        )
        if number > 1:
            return [(b"data", told)]
        unicode = zlib.compress(header2_text(self.evidence, _program()).encode("utf-16"))
        plain = zlib.compress(header_text(self.evidence, _program()).encode("ascii", "replace"))
        return [(b"header2", unicode), (b"header2", unicode), (b"header", plain), (b"volume", told)]

    def writer(self, sink: Sink, progress: Progress, /) -> ImageWriter:
        """See Layout."""
        if not isinstance(sink, SegmentedSink):
            raise TypeError("an E01 may take several files")
        return E01Writer(sink, self, progress)

    def open(self, path: Path) -> WrittenImage:
        """See Layout."""
        return E01Image(path, self)

    @property
    def _front_bytes(self) -> int:
        """What the largest front takes, of all sections and with the room that a chunk may leave at the end."""
        return sum(DESCRIPTOR + len(body) for _, body in self.front(1)) + VOLUME_SIZE + self.chunk + _MOST_ADDED

    def _segments(self, length: int) -> int:
        return -(-length // (self.segment_size - self._front_bytes - TABLES_COST))


def _program() -> str:
    try:
        return f"vhdx {version_of('vhdx')}"
    except PackageNotFoundError:
        return "vhdx"


def plan(wanted: Wanted) -> E01Layout:
    """What is going to be written; raises OutputError."""
    target = wanted.target
    require_compression(target, wanted.compression, {Compression.ZLIB}, "E01")
    segment_size = wanted.segment_size or USUAL_SEGMENT
    layout = E01Layout(
        size=wanted.size,
        sector_size=wanted.sector_size,
        data_bytes=wanted.data_bytes,
        segment_size=segment_size,
        effort=Effort.BEST if wanted.compression is Compression.ZLIB else Effort.QUICK,
        digests=wanted.digests,
        evidence=wanted.evidence,
        identifier=wanted.identities("set_identifier"),
    )
    _require_possible(target, layout)
    return layout


def _require_possible(target: Path, layout: E01Layout) -> None:
    if not is_first(target):
        reason = "an E01 is a set of files, of which the first is called NAME.E01"
        raise OutputError(target, reason, f"name it {target.name}.E01")
    if not SMALLEST_SEGMENT <= layout.segment_size <= LARGEST_SEGMENT:
        reason = f"segments of {layout.segment_size} bytes cannot be written"
        raise OutputError(target, reason, "choose 4M to 2047M")
    if layout.most_segments > MOST:
        reason = f"it may take {layout.most_segments} segments, and there are names for {MOST}"
        raise OutputError(target, reason, "choose larger segments, up to 2047M")


class E01Writer:
    """Appends chunks as they come, zeros between them, and begins a segment when one is full."""

    def __init__(self, sink: SegmentedSink, layout: E01Layout, progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._layout = sink, layout
        self._running = DiskDigests(progress) if layout.digests is Digests.TAKEN else None
        self._next, self._number = 0, 1
        self.digests: dict[str, str] = {}
        """By name, in hex, once all is written."""
        self._segment = SegmentWriter(sink, 1, layout.front(1), layout.segment_size)

    def pack(self, data: Bytes) -> list[Piece]:
        """See ImageWriter."""
        step = self._layout.chunk
        chunks = [
            self._pack(at, data[at : at + step]) for at in range(0, len(data), step) if data[at : at + step].any()
        ]
        return [Piece(0, data.data, Form.SEEN), *chunks] if chunks else []

    def put(self, start: int, piece: Piece) -> None:
        """See ImageWriter."""
        if piece.form is not Form.SEEN:
            self._zeros_until(start // self._layout.chunk)
            self._add(piece.data, piece.form)
        elif self._running:
            self._running.update(start, piece.data)

    def finish(self) -> None:
        """Write the zeros that are left, and the digests."""
        layout = self._layout
        self._zeros_until(layout.size // layout.chunk)
        if self._next < layout.chunks:
            self._add(layout.pack(bytes(layout.size % layout.chunk)), Form.PACKED)
        self._segment.finish(self._ending(), b"done")

    def _pack(self, at: int, chunk: Bytes) -> Piece:
        packed = self._layout.pack(chunk.data)
        if len(packed) < len(chunk):
            return Piece(at, packed, Form.PACKED)
        plain = chunk.tobytes()
        return Piece(at, plain + checksum(plain), Form.STORED)

    def _zeros_until(self, number: int) -> None:
        zeros = self._layout.zeros
        while self._next < number:
            self._make_room(len(zeros))
            times = min(number - self._next, self._segment.room(len(zeros)))
            self._segment.add(zeros, Form.PACKED, times)
            self._next += times

    def _add(self, data: bytes | memoryview, form: Form) -> None:
        self._make_room(len(data))
        self._segment.add(data, form)
        self._next += 1

    def _make_room(self, length: int) -> None:
        if self._segment.room(length):
            return
        self._segment.finish([], b"next")
        self._number += 1
        front = self._layout.front(self._number)
        self._segment = SegmentWriter(self._sink.further(), self._number, front, self._layout.segment_size)

    def _ending(self) -> Sections:
        if not self._running:
            return []
        md5, sha1 = self._running.close(self._layout.size)
        self.digests = {"md5": md5.hex(), "sha1": sha1.hex()}
        return [(b"digest", digest(md5, sha1)), (b"hash", md5_hash(md5))]
