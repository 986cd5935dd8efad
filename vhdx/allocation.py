"""The BAT and the sector bitmaps of one file, scanned into runs ([MS-VHDX] 2.4, 2.5).

Tables are read window by window: memory stays bounded whatever the disk's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from vhdx import kernels
from vhdx.findings import Severity
from vhdx.geometry import Geometry
from vhdx.runs import Kind, RunTable, concatenate
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import SECTOR_BITMAP_SIZE
from vhdx.table import WINDOW_SLOTS, BlockTable

MOST_RUNS = 1 << 18
"""Runs that one scan gives at most; 40 bytes each."""

_NOTHING: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
_WORD_BITS = 64


@dataclass(frozen=True, slots=True)
class _Bits:
    """The part of one chunk's sector bitmap that a scan needs."""

    chunk: int
    first_word: int
    known_bits: int
    words: npt.NDArray[np.int64]


_NO_BITS = _Bits(-1, 0, 0, _NOTHING)


class Partial(Enum):
    """How a scan takes PARTIALLY_PRESENT blocks."""

    BY_BITMAP = "by bitmap"
    """As the sector bitmap says: what is read."""
    WHOLE = "whole"
    """As if they were whole: where they stand, without looking at any bitmap."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The runs of one file's disk, by its block table."""

    table: BlockTable
    partial: Partial = Partial.BY_BITMAP

    @property
    def source(self) -> ByteSource:
        """The file."""
        return self.table.source

    @property
    def geometry(self) -> Geometry:
        """Its blocks, chunks and slots."""
        return self.table.geometry

    def scan(self, start: int, end: int, *, layer: int = 0, limit: int = MOST_RUNS) -> RunTable:
        """Runs of the disk from byte `start` up to `end`, or less far when `limit` runs are reached.

        Both are multiples of the logical sector. The runs are of layer `layer`.
        """
        tables: list[RunTable] = []
        position, found = start, 0
        while position < end and found < limit:
            for table in self._scan_window(position, end, layer, limit - found):
                tables.append(table)
                found += len(table)
                position = table.end
        return concatenate(tables)

    def damaged_blocks(self) -> npt.NDArray[np.int64]:
        """The numbers, rising, of the blocks that cannot be read whole; costs a scan of the BAT, no bitmap is read."""
        return np.union1d(self._misplaced_blocks(), self.table.blocks_without_bitmap())

    def _misplaced_blocks(self) -> npt.NDArray[np.int64]:
        whole, size, block_size = replace(self, partial=Partial.WHOLE), self.geometry.size, self.geometry.block_size
        found, position = [_NOTHING], 0
        while position < size:
            runs = whole.scan(position, size)
            for start, length in zip(*_lost(runs), strict=True):
                found.append(np.arange(start // block_size, -(-(start + length) // block_size), dtype=np.int64))
            position = runs.end
        return np.concatenate(found)

    def _scan_window(self, start: int, end: int, layer: int, limit: int) -> Iterator[RunTable]:
        geometry = self.geometry
        first = geometry.payload_slot(geometry.block_at(start))
        blocks = WINDOW_SLOTS * geometry.chunk_ratio // (geometry.chunk_ratio + 1)
        end = min(end, (geometry.block_at(start) + blocks) * geometry.block_size)
        last = geometry.payload_slot(geometry.block_at(end - 1))
        entries = self.table.believed_entries(first, last - first + 1)
        bits = _NO_BITS
        while start < end and limit > 0:
            upto = min(end, (bits.chunk + 1) * geometry.chunk_size) if bits.chunk >= 0 else end
            table, stopped = self._run_kernel(entries, first, bits, start, upto, layer, limit)
            if len(table):
                yield table
            limit -= len(table)
            start = stopped
            # Stopped short: a block needs the bitmap of its chunk. Else that chunk, or the window, is done.
            bits = self._bits(start, end) if stopped < upto and limit > 0 else _NO_BITS

    def _run_kernel(
        self, entries: npt.NDArray[np.int64], first: int, bits: _Bits, start: int, end: int, layer: int, limit: int
    ) -> tuple[RunTable, int]:
        geometry = self.geometry
        first_block, last_block = geometry.block_at(start), geometry.block_at(end - 1)
        blocks = last_block - first_block + 1
        first_slot = geometry.payload_slot(first_block)
        needed = entries[first_slot - first : geometry.payload_slot(last_block) - first + 1]
        steps = blocks + kernels.steps_of_words(bits.words)
        # A block gives at most two runs, or one for each of its sectors when it has a bitmap.
        capacity = min(limit, 2 * blocks + _WORD_BITS * len(bits.words))
        outputs = [np.empty(capacity, dtype=np.int64) for _ in range(5)]
        count, stopped = kernels.call(
            kernels.scan_blocks,
            steps,
            (needed, bits.words, self.table.forbidden),
            outputs,
            *(first_slot, bits.first_word, bits.known_bits, bits.chunk, start, end),
            *(
                geometry.block_size,
                geometry.sector_size,
                geometry.chunk_ratio,
                self.source.size,
                int(self.table.has_parent and self.partial is Partial.BY_BITMAP),
                layer,
            ),
        )
        return RunTable(*(column[:count].copy() for column in outputs)), int(stopped)

    def _bits(self, start: int, end: int) -> _Bits:
        """The bitmap of the chunk that holds `start`, from there to `end` or the chunk's end."""
        chunk_size, sector = self.geometry.chunk_size, self.geometry.sector_size
        chunk = self.geometry.chunk_at(start)
        first = (start - chunk * chunk_size) // sector // _WORD_BITS
        last = -(-min(chunk_size, end - chunk * chunk_size) // sector // _WORD_BITS) + 1
        known = self._known_bitmap_bytes(chunk)
        wanted = min(last * _WORD_BITS // 8, known) - first * _WORD_BITS // 8
        if wanted <= 0:
            return _Bits(chunk, first, 0, _NOTHING)
        at = self.table.bitmap_entry(chunk).file_offset + first * _WORD_BITS // 8
        raw = read_at(self.source, at, wanted)
        words = np.frombuffer(raw.ljust(-(-wanted // 8) * 8, b"\0"), dtype="<i8").astype(np.int64)
        return _Bits(chunk, first, first * _WORD_BITS + wanted * 8, words)

    def _known_bitmap_bytes(self, chunk: int) -> int:
        """How much of a chunk's bitmap can be believed: all, what a truncated file still has, or nothing."""
        entry = self.table.bitmap_entry(chunk)
        codes = {flaw.code for flaw in self.table.flaws_of_bitmap(chunk) if flaw.severity is Severity.ERROR}
        if codes - {"BAT-04"}:
            return 0
        return max(0, min(SECTOR_BITMAP_SIZE, self.source.size - entry.file_offset))


def _lost(runs: RunTable) -> tuple[list[int], list[int]]:
    lost = runs.of_kind(Kind.LOST)
    return lost.start.tolist(), lost.length.tolist()
