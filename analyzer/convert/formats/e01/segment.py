"""One segment file of an E01, being written: front matter, then chunks with the tables of their places."""

from collections.abc import Sequence

import numpy as np

from analyzer.convert.formats.e01.format import (
    COMPRESSED,
    DESCRIPTOR,
    END_SIZE,
    MOST_ENTRIES,
    TABLE_LEAD,
    descriptor,
    file_header,
    last_section,
    section,
    table,
)
from analyzer.convert.formats.format import Form
from vhdx.sink import Sink

_BUFFER = 1 << 20
# Of chunks that are together, whatever their number: the section's descriptor and two tables.
_FIXED_COST = DESCRIPTOR + 2 * (DESCRIPTOR + TABLE_LEAD + 4)
ENTRY_COST = 2 * 4
"""Of a chunk, beside itself."""
TABLES_COST = _FIXED_COST
Sections = Sequence[tuple[bytes, bytes]]
"""Kind and body of each."""


class SegmentWriter:
    """Appends chunks to a new segment file of at most `limit` bytes. Writes are gathered to some 1 MiB each."""

    def __init__(self, sink: Sink, number: int, front: Sections, limit: int) -> None:
        """Begin segment `number`, 1 for the first, with these sections."""
        self._sink, self._limit = sink, limit
        self._buffer, self._written = bytearray(file_header(number)), 0
        self._places, self._count, self._base = np.empty(MOST_ENTRIES, dtype="<u4"), 0, 0
        self._append_sections(front)

    def room(self, length: int) -> int:
        """How many chunks of `length` bytes can be added at once."""
        left = self._limit - self._end - END_SIZE - self._count * ENTRY_COST - _FIXED_COST
        return max(0, min(left // (length + ENTRY_COST), MOST_ENTRIES - self._count))

    def add(self, data: bytes | memoryview, form: Form, times: int = 1) -> None:
        """Append a chunk, `times` over; there must be room for it."""
        if not self._count:
            self._base = self._end
            self._append(bytes(DESCRIPTOR))  # its size is known when the last chunk is there
        first = self._end - self._base | (COMPRESSED if form is Form.PACKED else 0)
        places = np.arange(times, dtype=np.int64) * len(data) + first
        self._places[self._count : self._count + times] = places
        self._count += times
        self._append_often(data, times)
        if self._count == MOST_ENTRIES:
            self._close_tables()

    def finish(self, ending: Sections, last: bytes) -> None:
        """Write the tables, these sections, and the last one, which has the type `last`."""
        self._close_tables()
        self._append_sections(ending)
        self._append(last_section(last, self._end))
        self._write()

    @property
    def _end(self) -> int:
        return self._written + len(self._buffer)

    def _append_often(self, data: bytes | memoryview, times: int) -> None:
        step = max(1, _BUFFER // len(data))
        for done in range(0, times, step):
            self._append(data if times == 1 else bytes(data) * min(step, times - done))

    def _append(self, data: bytes | memoryview) -> None:
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            self._write()

    def _append_sections(self, sections: Sections) -> None:
        for kind, body in sections:
            self._append(section(kind, self._end, body))

    def _close_tables(self) -> None:
        if not self._count:
            return
        entries = self._places[: self._count].tobytes()
        length = self._end - self._base
        self._write()
        self._sink.write_at(self._base, descriptor(b"sectors", self._base, length))
        self._append_sections([(kind, table(entries, self._base)) for kind in (b"table", b"table2")])
        self._count = 0

    def _write(self) -> None:
        if self._buffer:
            self._sink.write_at(self._written, memoryview(self._buffer))
            self._written, self._buffer = self._end, bytearray()
