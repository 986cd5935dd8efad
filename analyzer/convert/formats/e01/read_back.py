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
from analyzer.convert.formats.e01.format import (
    COMPRESSED,
    DESCRIPTOR,
    MD5_SIZE,
    SECTION,
    SHA1_SIZE,
    TABLE_HEADER,
    TABLE_LEAD,
    checksum,
    descriptor,
    digest,
    file_header,
    last_section,
    md5_hash,
    section,
    table,
)
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
            try:
                return inflate(data, zlib.MAX_WBITS, length)
            except UndecodableError as error:
                raise self.failure(number) from error
        if len(data) != length + 4 or checksum(data[:-4]) != data[-4:]:
            raise self.failure(number)
        return data[:-4]

    def extents(self) -> Iterator[Range]:
        """See WrittenImage; all but the chunks that are the one that zeros have."""
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
        number, more = 1, True
        while more:
            self._turn_to(number)
            at = self._read_front(number)
            kind, size = self._section(at)
            while kind == b"sectors":
                yield self._read_tables(number, at, at + size)
                at += size + 2 * self._section(at + size)[1]
                kind, size = self._section(at)
            more = kind == b"next"
            self._read_end(at, more=more)
            number += 1

    def _read_front(self, number: int) -> int:
        """Check what a segment begins with; returns where its chunks begin."""
        expected = file_header(number)
        for kind, body in self._layout.front(number):
            expected += section(kind, len(expected), body)
        self.require(structure=self.take(0, len(expected)), expected=expected)
        return len(expected)

    def _section(self, at: int) -> tuple[bytes, int]:
        """Type and size of the section at byte `at`, its descriptor checked."""
        found = self.take(at, DESCRIPTOR)
        parsed = SECTION.parse(found)
        kind = parsed.type.rstrip(b"\0")
        ends = kind in {b"next", b"done"}
        expected = last_section(kind, at) if ends else descriptor(kind, at, parsed.size)
        self.require(structure=found, expected=expected)
        return kind, parsed.size

    def _read_tables(self, segment: int, base: int, at: int) -> _Table:
        """Check both tables behind the chunks that end at byte `at`."""
        count = TABLE_HEADER.parse(self.take(at + DESCRIPTOR, TABLE_LEAD)).entries
        entries = self.take(at + DESCRIPTOR + TABLE_LEAD, count * 4)
        first = section(b"table", at, table(entries, base))
        expected = first + section(b"table2", at + len(first), table(entries, base))
        self.require(structure=self.take(at, len(expected)), expected=expected)
        return _Table(segment, base, at, count)

    def _read_end(self, at: int, *, more: bool) -> None:
        """Check digests, where there are to be any, and that the file ends with its last section."""
        expected = b""
        if not more and self._layout.digests is Digests.TAKEN:
            found = self.take(at + DESCRIPTOR, MD5_SIZE + SHA1_SIZE)
            md5, sha1 = found[:MD5_SIZE], found[MD5_SIZE:]
            expected = section(b"digest", at, digest(md5, sha1))
            expected += section(b"hash", at + len(expected), md5_hash(md5))
        expected += last_section(b"next" if more else b"done", at + len(expected))
        self.require(structure=self.take(at, self.file.size - at), expected=expected)

    def _read_places(self, which: int) -> _Places:
        segment, base, at, count = self._tables[which]
        self._turn_to(segment)
        entries = np.frombuffer(self.take(at + DESCRIPTOR + TABLE_LEAD, count * 4), dtype="<u4").astype(np.int64)
        start = base + (entries & COMPRESSED - 1)
        return _Places(start, np.append(start[1:], at), entries >= COMPRESSED)

    def _turn_to(self, segment: int) -> None:
        """Have this segment's file open, and no other."""
        if segment != self._segment:
            self.file.close()
            self.file, self._segment = FileSource(sibling(self.path, segment)), segment
