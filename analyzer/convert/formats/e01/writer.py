"""The chunks of an E01, written as they come, in segment files, with tables of the places of chunks."""

import hashlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from analyzer.convert.cells import Bytes, InOrder
from analyzer.convert.formats.e01 import format as ewf
from analyzer.convert.formats.e01.layout import E01Layout
from analyzer.convert.formats.e01.segment_files import SegmentedSink
from analyzer.convert.formats.format import Form, Piece
from analyzer.convert.model import Digests
from analyzer.progress import Progress
from vhdx.sink import Sink

_BUFFER = 1 << 20
# Pieces that a digest may be behind: what bounds the memory.
_WAITING = 8


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
        parts = ((at, data[at : at + step]) for at in range(0, len(data), step))
        chunks = [self._pack(at, part) for at, part in parts if part.any()]
        # the cell as it is goes first: digests are of the disk, and want zeros too
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
        self._segment.finish(ewf.digests(md5, sha1), b"done")
        return {"md5": md5.hex(), "sha1": sha1.hex()}

    def _pack(self, at: int, chunk: Bytes) -> Piece:
        packed = self._layout.pack(chunk.data)
        if len(packed) < len(chunk):
            return Piece(at, packed, Form.PACKED)
        plain = chunk.tobytes()
        # a packed chunk has zlib's own checksum, one that is stored needs this
        return Piece(at, plain + ewf.checksum(plain), Form.STORED)

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


class SegmentWriter:
    """Appends chunks to a new segment file of at most `limit` bytes. Writes are gathered to some 1 MiB each."""

    def __init__(self, sink: Sink, number: int, front: ewf.Sections, limit: int) -> None:
        """Begin segment `number`, 1 for the first, with these sections."""
        self._sink, self._limit = sink, limit
        self._buffer, self._written = bytearray(ewf.file_header(number)), 0
        self._places, self._count, self._base = np.empty(ewf.MOST_ENTRIES, dtype="<u4"), 0, 0
        self._append(ewf.build_sections(self._end, front))

    def room(self, length: int) -> int:
        """How many chunks of `length` bytes can be added at once."""
        left = self._limit - self._end - ewf.END_SIZE - self._count * ewf.ENTRY_COST - ewf.TABLES_COST
        return max(0, min(left // (length + ewf.ENTRY_COST), ewf.MOST_ENTRIES - self._count))

    def add(self, data: bytes | memoryview, form: Form, times: int = 1) -> None:
        """Append a chunk, `times` over; there must be room for it."""
        if not self._count:
            self._base = self._end
            self._append(bytes(ewf.DESCRIPTOR))  # its size is known when the last chunk is there
        first = self._end - self._base | (ewf.COMPRESSED if form is Form.PACKED else 0)
        self._places[self._count : self._count + times] = np.arange(times, dtype=np.int64) * len(data) + first
        self._count += times
        step = max(1, _BUFFER // len(data))
        for done in range(0, times, step):
            self._append(data if times == 1 else bytes(data) * min(step, times - done))
        if self._count == ewf.MOST_ENTRIES:
            self._close_tables()

    def finish(self, ending: ewf.Sections, last: bytes) -> None:
        """Write the tables, these sections, and the last one, which has the type `last`."""
        self._close_tables()
        self._append(ewf.build_sections(self._end, ending))
        self._append(ewf.last_section(last, self._end))
        self._write()

    @property
    def _end(self) -> int:
        return self._written + len(self._buffer)

    def _append(self, data: bytes | memoryview) -> None:
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            self._write()

    def _close_tables(self) -> None:
        if not self._count:
            return
        entries = self._places[: self._count].tobytes()
        length = self._end - self._base
        self._write()
        self._sink.write_at(self._base, ewf.descriptor(b"sectors", self._base, length))
        self._append(ewf.build_sections(self._end, ewf.tables(entries, self._base)))
        self._count = 0

    def _write(self) -> None:
        if self._buffer:
            self._sink.write_at(self._written, memoryview(self._buffer))
            self._written, self._buffer = self._end, bytearray()


class DiskDigests:
    """The digests of a disk whose data come in ascending order; between them are zeros."""

    def __init__(self, progress: Progress) -> None:
        """Begin at the disk's first byte; `progress` counts zeros alone."""
        self._bytes = InOrder(self._take, progress)
        # Not for security: these two are what the format has. One thread for each: hashlib lets go of the GIL, but a
        # digest takes its bytes in order.
        states = [hashlib.new(name, usedforsecurity=False) for name in ("md5", "sha1")]
        self._digests = [(state, ThreadPoolExecutor(1)) for state in states]
        self._waiting = deque[list[Future[None]]]()

    def update(self, start: int, data: bytes | memoryview) -> None:
        """Bytes of the disk at `start`; they must not change until `close`."""
        self._bytes.put(start, data)

    def close(self, size: int) -> tuple[bytes, bytes]:
        """MD5 and SHA-1 of the disk of `size` bytes."""
        self._bytes.zeros_until(size)
        self._wait(0)
        for _, thread in self._digests:
            thread.shutdown()
        md5, sha1 = (state.digest() for state, _ in self._digests)
        return md5, sha1

    def _take(self, data: bytes | memoryview) -> None:
        """Queue bytes for both threads; waits while they are too far behind."""
        self._waiting.append([thread.submit(state.update, data) for state, thread in self._digests])
        self._wait(_WAITING)

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            for future in self._waiting.popleft():
                future.result()
