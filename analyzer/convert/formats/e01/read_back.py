"""An E01 of ours, read back: all sections of all segments at once, chunks as they are asked for."""

import zlib
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.convert.formats.codecs import UndecodableError, inflate
from analyzer.convert.formats.e01 import format as ewf
from analyzer.convert.formats.e01.layout import E01Layout
from analyzer.convert.formats.e01.segment_files import sibling
from analyzer.convert.formats.format import DecodedImage
from analyzer.convert.model import Digests
from vhdx.ranges import Range, Ranges
from vhdx.source import FileSource

_STEP = 1 << 20


class _Table(NamedTuple):
    """Where the places of some chunks are: file, base of the places, the table's first entry, and what ends them."""

    segment: int
    base: int
    at: int
    entries: int


class _Places(NamedTuple):
    """The chunks of a table: begin and end in the file, and whether they are packed."""

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    packed: npt.NDArray[np.bool_]


class E01Image(DecodedImage):
    """The disk of an image; of its segments one is open at a time."""

    def __init__(self, path: Path, layout: E01Layout) -> None:
        """Open it; raises VerificationError when a section is not as it has to be, InputOutputError."""
        super().__init__(path, layout.size, layout.chunk)
        self._layout, self._segment = layout, 1
        self._tables = list(self._read_segments())
        counts = [each.entries for each in self._tables]
        self._firsts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).tolist()
        self.require(structure=self._firsts[-1], expected=layout.chunks)
        self._places = lru_cache(maxsize=4)(self._read_places)

    def read_unit(self, number: int) -> bytes:
        """See DecodedImage."""
        which = bisect_right(self._firsts, number) - 1
        places, index = self._places(which), number - self._firsts[which]
        self._turn_to(self._tables[which].segment)
        start, end = int(places.start[index]), int(places.end[index])
        data = self.take(start, end - start)
        length = min(self.unit, self.size - number * self.unit)
        if places.packed[index]:
            return inflate(data, zlib.MAX_WBITS, length)
        if len(data) != length + 4 or ewf.checksum(data[:-4]) != data[-4:]:
            raise UndecodableError("its checksum does not match")
        return data[:-4]

    def extents(self) -> Iterator[Range]:
        """See DecodedImage; all but the chunks that are the one that zeros have."""
        for which, first in enumerate(self._firsts[:-1]):
            for part in self._others(which):
                end = min((first + part.end) * self.unit, self.size)
                yield Range.between((first + part.start) * self.unit, end)

    def _others(self, which: int) -> Iterator[Range]:
        """Ranges of a table's entries that are not that chunk."""
        places, zeros = self._places(which), self._layout.zeros
        alike = places.packed & (places.end - places.start == len(zeros))
        step = _STEP // len(zeros)
        for part, is_alike in Ranges.where(alike).split(Range(0, len(alike))):
            if not is_alike:
                yield part
                continue
            for at in range(part.start, part.end, step):
                until = min(at + step, part.end)
                self._turn_to(self._tables[which].segment)
                start, end = int(places.start[at]), int(places.end[until - 1])
                if self.take(start, end - start) != zeros * (until - at):
                    yield Range.between(at, until)

    def _read_segments(self) -> Iterator[_Table]:
        number, kind = 0, b"next"
        while kind == b"next":
            number += 1
            self._turn_to(number)
            lead = ewf.file_header(number)
            at = self.require_at(0, lead + ewf.build_sections(len(lead), self._layout.front(number)))
            kind, size = self._section(at)
            while kind == b"sectors":
                count = ewf.TABLE_HEADER.parse(self.take(at + size + ewf.DESCRIPTOR, ewf.TABLE_LEAD)).entries
                table = _Table(number, at, at + size, count)
                both = ewf.tables(self._entries(table), table.base)
                at = self.require_at(table.at, ewf.build_sections(table.at, both))
                yield table
                kind, size = self._section(at)
            self._require_end(at, b"next" if kind == b"next" else b"done")

    def _section(self, at: int) -> tuple[bytes, int]:
        """Type and size of the section at byte `at`, its descriptor checked."""
        found = self.take(at, ewf.DESCRIPTOR)
        parsed = ewf.SECTION.parse(found)
        kind = parsed.type.rstrip(b"\0")
        ends = kind in {b"next", b"done"}
        expected = ewf.last_section(kind, at) if ends else ewf.descriptor(kind, at, parsed.size)
        self.require(structure=found, expected=expected)
        return kind, parsed.size

    def _require_end(self, at: int, last: bytes) -> None:
        """Check digests, where there are to be any, and that the file ends with its last section."""
        expected = b""
        if last == b"done" and self._layout.digests is Digests.TAKEN:
            found = self.take(at + ewf.DESCRIPTOR, ewf.MD5_SIZE + ewf.SHA1_SIZE)
            expected = ewf.build_sections(at, ewf.digests(found[: ewf.MD5_SIZE], found[ewf.MD5_SIZE :]))
        expected += ewf.last_section(last, at + len(expected))
        self.require(structure=self.take(at, self.file.size - at), expected=expected)

    def _entries(self, table: _Table) -> bytes:
        return self.take(table.at + ewf.DESCRIPTOR + ewf.TABLE_LEAD, table.entries * 4)

    def _read_places(self, which: int) -> _Places:
        table = self._tables[which]
        self._turn_to(table.segment)
        entries = np.frombuffer(self._entries(table), dtype="<u4").astype(np.int64)
        start = table.base + (entries & ewf.COMPRESSED - 1)
        return _Places(start, np.append(start[1:], table.at), entries >= ewf.COMPRESSED)

    def _turn_to(self, segment: int) -> None:
        """Have this segment's file open, and no other."""
        if segment != self._segment:
            self.file.close()
            self.file, self._segment = FileSource(sibling(self.path, segment)), segment
