"""The chunks of an E01, written as they come."""

from collections.abc import Mapping

from analyzer.convert.cells import Bytes
from analyzer.convert.formats.e01.format import checksum, digest, md5_hash
from analyzer.convert.formats.e01.layout import E01Layout
from analyzer.convert.formats.e01.segment import SegmentWriter
from analyzer.convert.formats.e01.segment_files import SegmentedSink
from analyzer.convert.formats.format import Form, Piece
from analyzer.convert.formats.hashing import DiskDigests
from analyzer.convert.model import Digests
from analyzer.progress import Progress


class E01Writer:
    """Appends chunks as they come, zeros between them, and begins a segment when one is full."""

    def __init__(self, sink: SegmentedSink, layout: E01Layout, progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._layout = sink, layout
        self._running = DiskDigests(progress) if layout.digests is Digests.TAKEN else None
        self._next, self._number = 0, 1
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

    def finish(self) -> Mapping[str, str]:
        """Write the zeros that are left, and the digests; returns these."""
        layout = self._layout
        self._zeros_until(layout.size // layout.chunk)
        if self._next < layout.chunks:
            self._add(layout.pack(bytes(layout.size % layout.chunk)), Form.PACKED)
        if not self._running:
            self._segment.finish([], b"done")
            return {}
        md5, sha1 = self._running.close(layout.size)
        self._segment.finish([(b"digest", digest(md5, sha1)), (b"hash", md5_hash(md5))], b"done")
        return {"md5": md5.hex(), "sha1": sha1.hex()}

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
