"""What of a disk the pages of its block table and of its sector bitmaps are about."""

from collections.abc import Iterator

import numpy as np

from analyzer.recover.as_of.pages import PAGE
from analyzer.recover.as_of.reallocated import places_of
from vhdx.ranges import Range
from vhdx.structures.bat import ENTRY_SIZE
from vhdx.structures.constants import MIB
from vhdx.table import BlockTable


def end_of_table(table: BlockTable) -> int:
    """The byte of the file where the pages of the table end that the disk needs."""
    needed = -(-table.slots_needed * ENTRY_SIZE // PAGE) * PAGE
    return table.bat_offset + min(needed, table.bat_length)


def range_of_entries(table: BlockTable, at: int) -> Range:
    """The range of the disk that a page of the table is about; a bitmap's entry is about its whole chunk."""
    geometry, slots = table.geometry, PAGE // ENTRY_SIZE
    period = geometry.chunk_ratio + 1
    first = (at - table.bat_offset) // ENTRY_SIZE
    start, end = (slot - slot // period for slot in (first, first + slots))
    if table.has_parent:
        for slot in range(first, first + slots):
            if (slot + 1) % period == 0:
                start = min(start, slot // period * geometry.chunk_ratio)
    return Range.between(start * geometry.block_size, end * geometry.block_size)


def range_of_bits(table: BlockTable, chunk: int, step: int) -> Range:
    """The range of the disk that a page of a sector bitmap, `step` bytes from its start, is about."""
    start = chunk * table.geometry.chunk_size + step * 8 * table.geometry.sector_size
    return Range(start, PAGE * 8 * table.geometry.sector_size)


def bitmaps_of(table: BlockTable) -> Iterator[tuple[int, int]]:
    """(chunk, byte of the file) of the sector bitmaps that a child has."""
    if not table.has_parent:
        return
    period = table.geometry.chunk_ratio + 1
    for first, entries in table.all_entries():
        slots = np.arange(first, first + len(entries), dtype=np.int64)
        places = np.where((slots + 1) % period == 0, places_of(entries), 0)
        for index in np.flatnonzero(places).tolist():
            yield (first + index) // period, int(places[index]) * MIB
