"""Pages of a file's structures as an entry of its log left them, and which ranges of the disk they are about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from analyzer.recover.as_of.tables import places_of
from analyzer.recover.as_of.timeline import Stretch
from vhdx.errors import VhdxError
from vhdx.ranges import Range
from vhdx.replay import Log, PlacedEntry
from vhdx.structures.bat import ENTRY_SIZE
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB
from vhdx.table import BlockTable

PAGE = LOG_SECTOR_SIZE
# Pages that are followed, 4 GiB of them.
# A log of 1 MiB has some 250 pages; only descriptors that clear ranges can name so many.
_MOST_STEPS = 1 << 20


class TooMuchLoggedError(VhdxError):
    """The log writes so much that to follow it would take minutes."""

    path: Path
    text = f"{{path}}: the log writes more than {_MOST_STEPS} pages of its structures; leave --as-of out"


@dataclass(slots=True)
class Pages:
    """Pages by their place in the file, bytes; None for one that became zeros."""

    before: dict[int, bytes | None] = field(default_factory=dict)
    """As the newest entry up to the one that was asked for wrote them."""
    after: dict[int, bytes | None] = field(default_factory=dict)
    """As the oldest entry behind it did: not what they were, but the nearest to it."""

    def content(self) -> dict[int, bytes]:
        """Every page that is not as the file has it now, by its number, as near to what it was as the log tells."""
        known = self.after | self.before
        return {at // PAGE: bytes(PAGE) if data is None else data for at, data in known.items()}

    def is_reached(self, at: int, *, by_file: bool) -> bool:
        """Whether what a page was is certain: written before and not since, or (`by_file`) not written since at all."""
        return at in self.before or (by_file and at not in self.after)


def pages_as_of(log: Log, stretch: Stretch, number: int, ranges: Sequence[Range]) -> Pages:
    """The pages in `ranges` of the file as entry `number` of `stretch` left them; raises TooMuchLoggedError."""
    pages, steps = Pages(), 0
    for placed in map(log.entry, stretch.places):
        written = dict(_written(placed, ranges, _MOST_STEPS - steps))
        steps += len(written)
        if steps >= _MOST_STEPS:
            raise TooMuchLoggedError(log.source.path)
        if placed.header.sequence_number <= number:
            pages.before.update(written)
        else:
            # The oldest later copy wins: it is nearest to the moment that was asked for.
            pages.after = written | pages.after
    return pages


def _written(placed: PlacedEntry, ranges: Sequence[Range], most: int) -> Iterator[tuple[int, bytes | None]]:
    for write in placed.entry.writes():
        for part in ranges:
            first, last = max(part.start, write.file_offset), min(part.end, write.file_offset + write.length)
            if first >= last:
                continue
            for at in range(first // PAGE * PAGE, last, PAGE):
                if (most := most - 1) < 0:
                    return
                yield at, write.data


def later_tables(log: Log, stretch: Stretch, number: int, part: Range) -> Iterator[tuple[int, bytes]]:
    """(place, content) of each page in `part` that entries behind `number` wrote, oldest first."""
    later = (placed for placed in map(log.entry, stretch.places) if placed.header.sequence_number > number)
    for write in chain.from_iterable(placed.entry.writes() for placed in later):
        if write.data is not None and part.start <= write.file_offset < part.end:
            yield write.file_offset, write.data


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
