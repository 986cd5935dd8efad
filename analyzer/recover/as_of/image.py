"""A file as it was once an entry of its log had been applied: its tables, as far as the log reaches.

Only structures are logged: region tables, metadata, block table, sector bitmaps. What blocks hold is written in place,
so that of data no more is known than where it stood then. Each page of a structure is either reached (an entry up to
that moment wrote it and the log tells of all since, or nothing wrote it afterwards) or in doubt: then its nearest copy
is taken, and what it decides is called so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from analyzer.recover.as_of.tables import (
    PAGE,
    Pages,
    TableAsOf,
    bitmaps_of,
    columns_of,
    end_of_table,
    later_tables,
    pages_as_of,
    places_of,
    range_of_bits,
    range_of_entries,
    take,
)
from analyzer.recover.as_of.timeline import Moment, Stretch, find_moment, timeline_of
from vhdx.claims import MOST_MIB, Entries, Owners
from vhdx.contents import Structures
from vhdx.image import Image, image_from
from vhdx.patched import OverlaySource, Patch
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource
from vhdx.structures.bat import ENTRY_SIZE
from vhdx.structures.constants import (
    BAT_REGION,
    HEADER_OFFSETS,
    METADATA_REGION,
    MIB,
    NIL,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
    SECTOR_BITMAP_SIZE,
)
from vhdx.structures.header import build_header
from vhdx.table import BlockTable


@dataclass(frozen=True, slots=True)
class AsOf:
    """An image as it was, and what of it is in doubt."""

    image: Image
    number: int
    session: UUID
    doubts: Ranges
    """Ranges of the disk that pages decide which the log does not reach."""
    is_last: bool
    """No entry was written after those whose numbers go on from this one."""


def image_as_of(image: Image, moment: Moment) -> AsOf:
    """The file of `image` as of a moment of its log; `image` stays open, and owns the source.

    Raises NotLoggedError, TooMuchLoggedError; CorruptFileError where the structures of then cannot be read.
    """
    timeline = timeline_of(image)
    stretch, number = find_moment(image, timeline, moment)
    past = _Past(image, stretch, number, by_file=stretch is timeline.last)
    regions, regions_reached = past.regions()
    structures = past.pages(regions)
    then = image_from(past.view(structures))
    maps = (Range(start, SECTOR_BITMAP_SIZE) for _, start in bitmaps_of(then.table))
    bitmaps = past.pages([*regions, *maps])
    then = image_from(past.view(bitmaps))
    region = then.regions.current.find(METADATA_REGION)
    metadata = Range(region.file_offset, region.length) if region else Range(0, 0)
    # What was moved away may have been written over, unlogged.
    kept = then.table.structures == image.table.structures
    sure = regions_reached and kept and past.is_sure(bitmaps, metadata)
    doubts = past.doubts(bitmaps, then.table) if sure else Ranges.of([Range(0, then.size)])
    table = TableAsOf(**columns_of(then.table), given=past.given(then.table))
    found = replace(then, table=table, file=image.file)
    session = image.log.headers[stretch.places[number - stretch.first]].log_guid
    return AsOf(found, number, session, doubts, stretch is timeline.last)


@dataclass(frozen=True)
class _Past:
    """The evidence: a file, and the entries of its log up to and behind a number."""

    image: Image
    stretch: Stretch
    number: int
    by_file: bool
    """What these entries did not write since is as the file has it."""

    def pages(self, ranges: Sequence[Range]) -> Pages:
        return pages_as_of(self.image.log, self.stretch, self.number, ranges)

    def view(self, pages: Pages) -> ByteSource:
        """The file with these pages as they were, and a log that is closed."""
        closed = build_header(replace(self.image.header, log_guid=NIL))
        laid = [Patch(number * PAGE, PAGE, content) for number, content in pages.content().items()]
        laid += [Patch(offset, PAGE, closed) for offset in HEADER_OFFSETS]
        return OverlaySource(self.image.source, laid)

    def regions(self) -> tuple[list[Range], bool]:
        """The region tables, the block table and the metadata of then; and whether where they stood is certain."""
        tables = [Range(offset, REGION_TABLE_SIZE) for offset in REGION_TABLE_OFFSETS]
        pages = self.pages(tables)
        current = Structures(self.view(pages)).regions.get().current
        found = (current.find(guid) for guid in (BAT_REGION, METADATA_REGION))
        places = [Range(region.file_offset, region.length) for region in found if region]
        return tables + places, all(self.is_sure(pages, Range(table.start, PAGE)) for table in tables)

    def is_sure(self, pages: Pages, part: Range) -> bool:
        """Whether every page of a range is certain."""
        if self.by_file:
            return not any(part.start <= at < part.end and at not in pages.before for at in pages.after)
        return all(at in pages.before for at in range(part.start, part.end, PAGE))

    def doubts(self, pages: Pages, table: BlockTable) -> Ranges:
        """Ranges of the disk that pages decide which are not certain."""
        of_table = ((range_of_entries(table, at), at) for at in range(table.bat_offset, end_of_table(table), PAGE))
        ranges = [part for part, at in of_table if not pages.is_reached(at, by_file=self.by_file)]
        for chunk, start in bitmaps_of(table):
            steps = range(0, SECTOR_BITMAP_SIZE, PAGE)
            unreached = (step for step in steps if not pages.is_reached(start + step, by_file=self.by_file))
            ranges += [range_of_bits(table, chunk, step) for step in unreached]
        return Ranges.of(ranges).within(Range(0, table.geometry.size))

    def given(self, table: BlockTable) -> Owners:
        """For each MiB of the file 1 when something was given it since: by the table of now, or by one in between."""
        given = np.zeros(min(self.image.source.size // MIB + 1, MOST_MIB), dtype=np.uint8)
        now = self.image.table
        known = {(one.start, one.length) for one in table.structures}
        for one in now.structures:
            if (one.start, one.length) not in known:
                given[one.start // MIB : -(-one.end // MIB)] = 1
        for first, entries in now.all_entries():
            _take_moved(given, table, first, entries)
        part = Range.between(table.bat_offset, end_of_table(table))
        for at, page in later_tables(self.image.log, self.stretch, self.number, part):
            first = (at - table.bat_offset) // ENTRY_SIZE
            _take_moved(given, table, first, np.frombuffer(page, "<i8").astype(np.int64))
        return given


def _take_moved(given: Owners, then: BlockTable, first: int, entries: Entries) -> None:
    """Note the places that slots from `first` on have in `entries` and did not have then."""
    entries = entries[: max(0, then.slots_needed - first)]
    places = places_of(entries)
    moved = np.where(places != places_of(then.entries(first, len(entries))), places, 0)
    if moved.any():
        take(given, moved, then.claims.lengths(first + np.arange(len(entries))))
