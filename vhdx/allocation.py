"""The BAT and the sector bitmaps of one file, scanned into runs ([MS-VHDX] 2.4, 2.5).

Tables are read window by window: memory stays bounded whatever the disk's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vhdx import compiling, kernels
from vhdx.geometry import Geometry
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, RunTable, concatenate, merge_neighbours, overlay
from vhdx.sectors import SectorBitmaps
from vhdx.source import ByteSource
from vhdx.table import WINDOW_SLOTS, BlockTable

# 10 MiB of columns. Memory is bounded by this, whatever the table: the worst one has a run for every sector. A chain
# divides it among its layers. test_a_chain_of_256_layers_takes_less_than_300_mib holds the bound.
MOST_RUNS = 1 << 18
"""Runs that one scan gives at most; 40 bytes each."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The runs of one file's disk, by its block table."""

    table: BlockTable

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

    def _scan_window(self, start: int, end: int, layer: int, limit: int) -> Iterator[RunTable]:
        geometry = self.geometry
        blocks = WINDOW_SLOTS * geometry.chunk_ratio // (geometry.chunk_ratio + 1)
        found = self._scan_blocks(start, min(end, (geometry.block_at(start) + blocks) * geometry.block_size), limit)
        tables = SectorBitmaps(self.table).decide(found, limit) if self.table.has_parent else iter((found,))
        for table in tables:
            runs = cut_at_file_end(table, self.source.size, geometry.sector_size)
            runs = cut_unreadable(runs, self.table.unreadable, geometry.sector_size)
            yield merge_neighbours(replace(runs, layer=np.full_like(runs.layer, layer)))

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
            *(geometry.block_size, geometry.chunk_ratio, self.source.size, int(self.table.has_parent)),
        )
        return RunTable(*(column[:count].copy() for column in outputs))


def cut_unreadable(runs: RunTable, unreadable: Ranges, sector_size: int) -> RunTable:
    """The runs, LOST in each sector of which the file cannot give all; `unreadable` is in bytes of the file."""
    held = runs.of_kind(Kind.DATA) if len(unreadable) else runs.first(0)
    first = unreadable.end.searchsorted(held.file_offset, "right")
    last = unreadable.start.searchsorted(held.file_offset + held.length)
    touched = np.maximum(0, last - first)
    if not touched.any():
        return runs
    run = np.repeat(np.arange(len(held)), touched)
    place = np.arange(len(run)) - np.repeat(touched.cumsum() - touched, touched) + first[run]
    shift = held.start[run] - held.file_offset[run]
    lower = (unreadable.start[place] + shift) // sector_size * sector_size
    upper = -(-(unreadable.end[place] + shift) // sector_size) * sector_size
    run_end = held.start[run] + held.length[run]
    lost = Ranges.between(np.maximum(lower, held.start[run]), np.minimum(upper, run_end))
    return overlay(RunTable.marking(lost, Range.between(int(runs.start[0]), runs.end), Kind.LOST), runs)


def cut_at_file_end(runs: RunTable, file_size: int, sector_size: int) -> RunTable:
    """The runs, those that pass the file's end cut there: whole sectors before it are DATA, what follows is LOST."""
    beyond = (runs.kind == kernels.DATA) & (runs.file_offset + runs.length > file_size)
    if not beyond.any():
        return runs
    # A truncated block still has its first sectors. Half a sector is not given out: no guest ever wrote half of one.
    known = np.maximum(0, file_size - runs.file_offset) // sector_size * sector_size
    known = np.where(beyond, np.minimum(known, runs.length), runs.length)
    start = np.column_stack((runs.start, runs.start + known)).ravel()
    length = np.column_stack((known, runs.length - known)).ravel()
    kind, layer, offset = (np.repeat(column, 2) for column in (runs.kind, runs.layer, runs.file_offset))
    kind[1::2], offset[1::2] = Kind.LOST, 0
    return RunTable(start, length, kind, layer, offset).select(length > 0)
