"""What the sector bitmaps of one file say, as runs ([MS-VHDX] 2.4)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vhdx.findings import Severity
from vhdx.kernels import DATA, HOLE
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, RunTable, choose, cut_alike, overlay
from vhdx.source import read_known
from vhdx.structures.bitmap import edges_of_bits
from vhdx.structures.constants import SECTOR_BITMAP_SIZE
from vhdx.table import BlockTable

BY_BITMAP = 1
"""Stands in the column `layer` of a run of blocks whose sector bitmap decides what is here and what is the parent's."""
_WORD_BITS, _WORD_SIZE = 64, 8


@dataclass(frozen=True, slots=True)
class SectorBitmaps:
    """The sector bitmaps of one file, read as they are needed."""

    table: BlockTable

    def decide(self, blocks: RunTable, most: int) -> Iterator[RunTable]:
        """Tables that follow one another over the range of `blocks`, with HOLE where a bitmap gives to the parent.

        Neighbours in them may be mergeable.
        LOST stands where the bitmap cannot be known. About `most` edges of bits are taken at a time.
        """
        position = blocks.start[0] if len(blocks) else 0
        for chunk, first, last in self._chunks(blocks.select(blocks.layer == BY_BITMAP)):
            yield blocks.clip(position, first)
            position = first
            while position < last:
                bits = self._bits(chunk, position, last, most)
                yield _decided(blocks.clip(position, bits.end), bits)
                position = bits.end
        yield blocks.clip(position, blocks.end)

    def _chunks(self, asked: RunTable) -> Iterator[tuple[int, int, int]]:
        """The chunks whose bitmaps are needed, each with the first and the last byte of the disk that need it."""
        size, after = self.table.geometry.chunk_size, -1
        for run in asked:
            for chunk in range(max(run.start // size, after + 1), (run.end - 1) // size + 1):
                within = asked.clip(chunk * size, (chunk + 1) * size)
                yield chunk, int(within.start[0]), within.end
                after = chunk

    def _bits(self, chunk: int, start: int, end: int, most: int) -> RunTable:
        """Runs from `start` up to `end` of one chunk: DATA where the sector is here, HOLE, or LOST."""
        geometry = self.table.geometry
        sector, origin = geometry.sector_size, chunk * geometry.chunk_size
        first, last = (start - origin) // sector, -(-(end - origin) // sector)
        last = min(last, self._known_bytes(chunk) * 8)
        if last <= first:
            return RunTable.filled(start, end, Kind.LOST, 0)
        skipped = first // _WORD_BITS
        # Edges, not bits: a bitmap is a megabyte of mostly equal bits, and runs begin where one differs from the one
        # before.
        edges, looked = edges_of_bits(self._words(chunk, skipped, -(-last // _WORD_BITS)), most)
        edges, last = edges + skipped * _WORD_BITS, min(last, looked + skipped * _WORD_BITS)
        passed, upto = edges.searchsorted(first, "right"), edges.searchsorted(last)
        places = np.concatenate(([first], edges[passed:upto], [last])) * sector + origin
        places[-1] = min(int(places[-1]), end)
        kind = np.full(len(places) - 1, HOLE)
        kind[(passed + 1) % 2 :: 2] = DATA  # a bit is set when an odd number of edges are passed
        nothing = np.zeros(len(kind), dtype=np.int64)
        return self._without_unreadable(chunk, RunTable(places[:-1], np.diff(places), kind, nothing, nothing))

    def _without_unreadable(self, chunk: int, bits: RunTable) -> RunTable:
        """The runs, LOST where the byte of the bitmap that decides is known to be unreadable."""
        place, geometry = self.table.bitmap_entry(chunk).file_offset, self.table.geometry
        unreadable = self.table.unreadable.within(Range(place, SECTOR_BITMAP_SIZE))
        if not len(unreadable):
            return bits
        decides, origin = 8 * geometry.sector_size, chunk * geometry.chunk_size
        lost = Ranges.of_columns(origin + (unreadable.start - place) * decides, unreadable.length * decides)
        return overlay(RunTable.marking(lost, Range.between(int(bits.start[0]), bits.end), Kind.LOST), bits)

    def _words(self, chunk: int, first: int, last: int) -> npt.NDArray[np.uint64]:
        """Words of the chunk's bitmap; bits that are not known are clear."""
        length = min(last * _WORD_SIZE, self._known_bytes(chunk)) - first * _WORD_SIZE
        words = np.zeros(last - first, dtype="<u8")
        at = self.table.bitmap_entry(chunk).file_offset + first * _WORD_SIZE
        read_known(self.table.source, at, words.view(np.uint8).data[:length])
        return words.astype(np.uint64, copy=False)

    def _known_bytes(self, chunk: int) -> int:
        """How much of a chunk's bitmap can be believed: all, what a truncated file still has, or nothing."""
        entry = self.table.bitmap_entry(chunk)
        codes = {flaw.code for flaw in self.table.flaws_of_bitmap(chunk) if flaw.severity is Severity.ERROR}
        if codes - {"BAT-04"}:
            return 0
        return max(0, min(SECTOR_BITMAP_SIZE, self.table.source.size - entry.file_offset))


def _decided(blocks: RunTable, bits: RunTable) -> RunTable:
    blocks, bits = cut_alike(blocks, bits)
    absent = (blocks.layer == BY_BITMAP) & (bits.kind != DATA)
    return choose(absent, bits, blocks)
