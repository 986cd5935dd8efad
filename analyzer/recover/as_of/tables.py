"""Block tables of an earlier time: the pages of them that the log has, and places that were reallocated since."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.recover.as_of.timeline import Stretch
from vhdx.claims import Owners
from vhdx.errors import VhdxError
from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Range, Ranges, union
from vhdx.replay import Log
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, RESERVED_MASK, RESERVED_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB
from vhdx.structures.log import LogEntry
from vhdx.table import BlockTable

Entries = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
# An invalid state reads as LOST, whoever reads it.
_GIVEN = BlockState.INVALID_5.value
_PLACE = (1 << 44) - 1
PAGE = LOG_SECTOR_SIZE
# Pages that are followed, 4 GiB of them.
# A log of 1 MiB has some 250 pages; only descriptors that clear ranges can name so many.
_MOST_STEPS = 1 << 20


def places_of(entries: Entries) -> Entries:
    """Where the blocks of entries stand, or are kept, in MiB of the file; 0 for those that have no place."""
    state = entries & STATE_MASK
    has_place = (state >= BlockState.FULLY_PRESENT) | (state == BlockState.UNMAPPED) | (state == BlockState.UNDEFINED)
    sound = entries & (RESERVED_MASK << RESERVED_SHIFT) == 0
    return np.where(has_place & sound, entries >> OFFSET_SHIFT & _PLACE, 0)


@dataclass(frozen=True)
class TableAsOf(BlockTable):
    """The table of an earlier time over the file of today. `given` has 1 for each MiB that something else was given.

    A block, or a sector bitmap, whose place was given away reads as lost; a place that an absent block kept is let go.
    """

    given: Owners

    def entries(self, first: int, count: int) -> Entries:
        """See BlockTable."""
        entries = super().entries(first, count)
        gone = np.zeros(len(entries), dtype=np.bool_)
        for inside, mib in _each_mib(self.given, places_of(entries), self.claims.lengths(first + np.arange(count))):
            gone[inside] |= self.given[mib] != 0
        # An absent block has no data to lose, so it stays absent; only the old place that it kept is not offered any
        # more.
        absent = gone & (entries & STATE_MASK < BlockState.FULLY_PRESENT)
        return np.where(absent, entries & STATE_MASK, np.where(gone, _GIVEN, entries))


def _each_mib(owners: Owners, places: Entries, sizes: Entries) -> Iterator[tuple[Mask, Entries]]:
    """For each MiB of the longest: which of the places reach that far inside the file, and which MiB it is of each."""
    for step in range(int(sizes.max(initial=0))):
        inside = (places > 0) & (step < sizes) & (places + step < len(owners))
        yield inside, (places + step)[inside]


def take(given: Owners, places: Entries, sizes: Entries) -> None:
    """Note that these places were given to something else."""
    for _, mib in _each_mib(given, places, sizes):
        given[mib] = 1


def columns_of(table: BlockTable) -> dict[str, Any]:
    """What a table over another one takes from it."""
    return {one.name: getattr(table, one.name) for one in fields(BlockTable)}


@dataclass(frozen=True)
class AnchoredTable(BlockTable):
    """The table `below`, in which UNMAPPED and UNDEFINED blocks have the old data whose places they keep.

    A place that another entry claims or keeps as well is not taken, nor one upon a structure or past the file's end.
    """

    below: BlockTable
    owners: Owners
    """For each MiB of the file 2 where several entries claim it or keep it."""

    def entries(self, first: int, count: int) -> Entries:
        """See BlockTable."""
        entries = self.below.entries(first, count)
        return np.where(self.brings_back(first, entries), entries | BlockState.FULLY_PRESENT, entries)

    def brings_back(self, first: int, entries: Entries) -> Mask:
        """Which of the entries that the table below has from slot `first` on have old data that is brought back."""
        state, at = entries & STATE_MASK, places_of(entries) * MIB
        is_block = ~self.geometry.is_bitmap(first + np.arange(len(entries)))
        # A place has room for a block inside the file, and upon no structure.
        found: Mask = is_block & (state < BlockState.FULLY_PRESENT) & (at > 0) & (at < self.source.size)
        limits = np.append(self.forbidden[::2], np.iinfo(np.int64).max)
        found &= at + self.geometry.block_size <= limits[np.searchsorted(self.forbidden[1::2], at, side="right")]
        if found.any():
            claimed = np.where(found, entries | BlockState.FULLY_PRESENT, entries)
            found[self.claims.contested(first, claimed, self.owners) - first] = False
        return found


def with_anchored(image: Image) -> Image:
    """The image with the old data of its absent blocks; the image itself where no entry keeps a place."""
    table = image.table
    states = (entries[places_of(entries) > 0] & STATE_MASK for _, entries in table.all_entries())
    if not any((state < BlockState.FULLY_PRESENT).any() for state in states):
        return image
    owners, _ = table.claims.owners(table.all_places())
    anchored = AnchoredTable(**columns_of(table), below=table, owners=owners)
    return replace(image, table=anchored)


def ranges_brought_back(image: Image) -> Ranges:
    """The ranges of the disk that have old data in an image that `with_anchored` gave."""
    table = image.table
    if not isinstance(table, AnchoredTable):
        return NO_RANGES
    back = (
        table.ranges_of_slots(first + np.flatnonzero(table.brings_back(first, entries)))
        for first, entries in table.below.all_entries()
    )
    return union(back).within(Range(0, table.geometry.size))


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


def _written(placed: LogEntry, ranges: Sequence[Range], most: int) -> Iterator[tuple[int, bytes | None]]:
    for write in placed.writes():
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
    for write in chain.from_iterable(placed.writes() for placed in later):
        if write.data is not None and part.start <= write.file_offset < part.end:
            yield write.file_offset, write.data


def end_of_table(table: BlockTable) -> int:
    """The byte of the file where the pages of the table end that the disk needs."""
    needed = -(-table.slots_needed * ENTRY_SIZE // PAGE) * PAGE
    return table.bat_offset + min(needed, table.bat_length)


def range_of_entries(table: BlockTable, at: int) -> Range:
    """The range of the disk that a page of the table is about; a bitmap's entry is about its whole chunk."""
    geometry, slots = table.geometry, PAGE // ENTRY_SIZE
    first = (at - table.bat_offset) // ENTRY_SIZE
    start, end = geometry.blocks_before(first), geometry.blocks_before(first + slots)
    if table.has_parent and geometry.is_bitmap(first + np.arange(slots)).any():
        start = min(start, geometry.chunk_and_block(first)[0] * geometry.chunk_ratio)
    return Range.between(start * geometry.block_size, end * geometry.block_size)


def range_of_bits(table: BlockTable, chunk: int, step: int) -> Range:
    """The range of the disk that a page of a sector bitmap, `step` bytes from its start, is about."""
    start = chunk * table.geometry.chunk_size + step * 8 * table.geometry.sector_size
    return Range(start, PAGE * 8 * table.geometry.sector_size)


def bitmaps_of(table: BlockTable) -> Iterator[tuple[int, int]]:
    """(chunk, byte of the file) of the sector bitmaps that a child has."""
    if not table.has_parent:
        return
    for first, entries in table.all_entries():
        places = np.where(table.geometry.is_bitmap(first + np.arange(len(entries))), places_of(entries), 0)
        for index in np.flatnonzero(places).tolist():
            yield table.geometry.chunk_and_block(first + index)[0], int(places[index]) * MIB
