"""The BAT and the sector bitmaps of one file, scanned into runs ([MS-VHDX] 2.4, 2.5).

Tables are read window by window: memory stays bounded whatever the disk's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from vhdx import compiling, kernels
from vhdx.geometry import Geometry
from vhdx.runs import Kind, RunTable, concatenate, merge_neighbours
from vhdx.sectors import SectorBitmaps
from vhdx.source import ByteSource
from vhdx.table import WINDOW_SLOTS, BlockTable

MOST_RUNS = 1 << 18
"""Runs that one scan gives at most; 40 bytes each."""


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
                taken = table.first(limit - found)
                tables.append(taken)
                found += len(taken)
                position = max(position, taken.end)
                if found == limit:
                    break
        return concatenate(tables)

    def damaged_blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        """The numbers, rising, of the blocks that cannot be read whole, some at a time; no bitmap is read for it."""
        for first in range(0, self.geometry.block_count, WINDOW_SLOTS):
            last = min(first + WINDOW_SLOTS, self.geometry.block_count)
            yield np.union1d(self._misplaced_blocks(first, last), self.table.blocks_without_bitmap(first, last))

    def _misplaced_blocks(self, first: int, last: int) -> npt.NDArray[np.int64]:
        whole, block_size = replace(self, partial=Partial.WHOLE), self.geometry.block_size
        position, end = first * block_size, min(last * block_size, self.geometry.size)
        found = [np.empty(0, dtype=np.int64)]
        while position < end:
            runs = whole.scan(position, end)
            for start, length in zip(*_lost(runs), strict=True):
                found.append(np.arange(start // block_size, -(-(start + length) // block_size), dtype=np.int64))
            position = runs.end
        return np.concatenate(found)

    def _scan_window(self, start: int, end: int, layer: int, limit: int) -> Iterator[RunTable]:
        geometry = self.geometry
        blocks = WINDOW_SLOTS * geometry.chunk_ratio // (geometry.chunk_ratio + 1)
        found = self._scan_blocks(start, min(end, (geometry.block_at(start) + blocks) * geometry.block_size), limit)
        tables = SectorBitmaps(self.table).decide(found, limit) if self._has_bitmaps else iter((found,))
        for table in tables:
            runs = cut_at_file_end(table, self.source.size, geometry.sector_size)
            yield merge_neighbours(replace(runs, layer=np.full_like(runs.layer, layer)))

    @property
    def _has_bitmaps(self) -> bool:
        return self.table.has_parent and self.partial is Partial.BY_BITMAP

    def _scan_blocks(self, start: int, end: int, limit: int) -> RunTable:
        geometry = self.geometry
        first_block, last_block = geometry.block_at(start), geometry.block_at(end - 1)
        first, last = geometry.payload_slot(first_block), geometry.payload_slot(last_block)
        entries = self.table.believed_entries(first, last - first + 1)
        outputs = [np.empty(min(limit, last_block - first_block + 1), dtype=np.int64) for _ in range(5)]
        count, _ = compiling.call(
            kernels.scan_blocks,
            last - first,
            (entries, self.table.forbidden),
            outputs,
            *(first, start, end),
            *(geometry.block_size, geometry.chunk_ratio, self.source.size, int(self._has_bitmaps)),
        )
        return RunTable(*(column[:count].copy() for column in outputs))


def cut_at_file_end(runs: RunTable, file_size: int, sector_size: int) -> RunTable:
    """The runs, those that pass the file's end cut there: whole sectors before it are DATA, what follows is LOST."""
    beyond = (runs.kind == kernels.DATA) & (runs.file_offset + runs.length > file_size)
    if not beyond.any():
        return runs
    known = np.maximum(0, file_size - runs.file_offset) // sector_size * sector_size
    known = np.where(beyond, np.minimum(known, runs.length), runs.length)
    start = np.column_stack((runs.start, runs.start + known)).ravel()
    length = np.column_stack((known, runs.length - known)).ravel()
    kind, layer, offset = (np.repeat(column, 2) for column in (runs.kind, runs.layer, runs.file_offset))
    kind[1::2], offset[1::2] = Kind.LOST, 0
    return RunTable(start, length, kind, layer, offset).select(length > 0)


def _lost(runs: RunTable) -> tuple[list[int], list[int]]:
    lost = runs.of_kind(Kind.LOST)
    return lost.start.tolist(), lost.length.tolist()
