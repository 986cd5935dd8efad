"""The BAT and the sector bitmaps of one file, scanned into runs ([MS-VHDX] 2.4, 2.5).

Tables are read window by window: memory stays bounded whatever the disk's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vhdx import compiling, kernels
from vhdx.findings import Severity
from vhdx.kernels import DATA, HOLE
from vhdx.ranges import Range, Ranges, repeated
from vhdx.runs import Kind, RunTable, choose, concatenate, cut_alike, merge_neighbours, with_lost
from vhdx.source import read_known
from vhdx.structures.bat import edges_of_bits
from vhdx.structures.constants import SECTOR_BITMAP_SIZE
from vhdx.table import BlockTable

# 10 MiB of columns. Memory is bounded by this, whatever the table: the worst one has a run for every sector. A chain
# divides it among its layers. test_a_chain_of_256_layers_takes_less_than_300_mib holds the bound.
MOST_RUNS = 1 << 18
"""Runs that one scan gives at most; 40 bytes each."""
# In the column `layer` of a run of blocks whose sector bitmap decides what is here and what is the parent's.
_BY_BITMAP = 1
_WORD_BITS, _WORD_SIZE = 64, 8


def scan(table: BlockTable, start: int, end: int, *, layer: int = 0, limit: int = MOST_RUNS) -> RunTable:
    """Runs of the disk from byte `start` up to `end`, or less far when `limit` runs are reached.

    Both are multiples of the logical sector. The runs are of layer `layer`.
    """
    found: list[RunTable] = []
    position, left = start, limit
    while position < end and left:
        for runs in _scan_window(table, position, end, layer, left):
            found.append(runs.first(left))
            left -= len(found[-1])
            position = max(position, found[-1].end)
            if not left:
                break
    return concatenate(found)


def _scan_window(table: BlockTable, start: int, end: int, layer: int, limit: int) -> Iterator[RunTable]:
    geometry = table.geometry
    _, last, is_blank = next(table.stretches(geometry.block_at(start), geometry.block_at(end - 1) + 1))
    end = min(end, last * geometry.block_size)
    if is_blank:
        yield RunTable.filled(start, end, Kind.HOLE, layer)
        return
    blocks = _scan_blocks(table, start, end, limit)
    for some in _SectorBitmaps(table).decide(blocks, limit) if table.has_parent else (blocks,):
        runs = cut_at_file_end(some, table.source.size, geometry.sector_size)
        runs = cut_unreadable(runs, table.unreadable, geometry.sector_size)
        yield merge_neighbours(replace(runs, layer=np.full_like(runs.layer, layer)))


def _scan_blocks(table: BlockTable, start: int, end: int, limit: int) -> RunTable:
    geometry = table.geometry
    first_block, last_block = geometry.block_at(start), geometry.block_at(end - 1)
    first, last = geometry.payload_slot(first_block), geometry.payload_slot(last_block)
    inputs = table.believed_entries(first, last - first + 1), table.forbidden
    outputs = tuple(np.empty(min(limit, last_block - first_block + 1), dtype=np.int64) for _ in range(5))
    numbers = first, start, end, table.claims.sizes
    # Most entries of most tables go on from the one before: what does not is work, and in Python four times as much as
    # what `call` counts in.
    steps = np.diff(inputs[0])
    work = 4 * int(np.count_nonzero((steps != 0) & (steps != geometry.block_size)))
    count, _ = compiling.call(kernels.scan_blocks, work, inputs, outputs, *numbers)
    return RunTable(*(column[:count].copy() for column in outputs))


@dataclass(frozen=True, slots=True)
class _SectorBitmaps:
    """The sector bitmaps of one file, read as they are needed."""

    table: BlockTable

    def decide(self, blocks: RunTable, most: int) -> Iterator[RunTable]:
        """Tables that follow one another over the range of `blocks`, with HOLE where a bitmap gives to the parent.

        Neighbours in them may be mergeable.
        It is LOST where the bitmap cannot be known. About `most` edges of bits are taken at a time.
        """
        position = blocks.start[0] if len(blocks) else 0
        for chunk, first, last in self._chunks(blocks.select(blocks.layer == _BY_BITMAP)):
            yield blocks.clip(position, first)
            position = first
            while position < last:
                bits = self._bits(chunk, position, last, most)
                part, bits = cut_alike(blocks.clip(position, bits.end), bits)
                yield choose((part.layer == _BY_BITMAP) & (bits.kind != DATA), bits, part)
                position = bits.end
        yield blocks.clip(position, blocks.end)

    def _chunks(self, asked: RunTable) -> Iterator[tuple[int, int, int]]:
        """The chunks whose bitmaps are needed, each with the first and the last byte of the disk that need it."""
        size = self.table.geometry.chunk_size
        first, last = (asked.start // size).tolist(), ((asked.start + asked.length - 1) // size).tolist()
        for chunk in dict.fromkeys(
            chunk for pair in zip(first, last, strict=True) for chunk in range(pair[0], pair[1] + 1)
        ):
            within = asked.clip(chunk * size, (chunk + 1) * size)
            yield chunk, int(within.start[0]), within.end

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
        return with_lost(bits, lost)

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


def cut_unreadable(runs: RunTable, unreadable: Ranges, sector_size: int) -> RunTable:
    """The runs, LOST in each sector of which the file cannot give all; `unreadable` is in bytes of the file."""
    if not len(unreadable):
        return runs
    held = runs.of_kind(Kind.DATA)
    first = unreadable.end.searchsorted(held.file_offset, "right")
    last = unreadable.start.searchsorted(held.file_offset + held.length)
    touched = np.maximum(0, last - first)
    if not touched.any():
        return runs
    run, step = repeated(touched)
    place = first[run] + step
    shift = held.start[run] - held.file_offset[run]
    lower = (unreadable.start[place] + shift) // sector_size * sector_size
    upper = -(-(unreadable.end[place] + shift) // sector_size) * sector_size
    run_end = held.start[run] + held.length[run]
    lost = Ranges.between(np.maximum(lower, held.start[run]), np.minimum(upper, run_end))
    return with_lost(runs, lost)


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
