"""Both region tables lost: the metadata by its signature, the block table by its shape, both on whole MiB."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from analyzer.check.diagnosis.logged_entries import readable_pages
from analyzer.recover.rebuild.bat_shape import Fit, Wanted, fit_at, outermost, places_to_look, whole_first
from analyzer.recover.rebuild.workspace import Certainty, RebuildWorkspace
from analyzer.repair.structures import fix_region_tables
from vhdx.errors import VhdxError
from vhdx.geometry import Geometry
from vhdx.parsed import Parsed
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, holds_something, read_at
from vhdx.structures.constants import (
    LOG_SECTOR_SIZE,
    METADATA_TABLE_SIZE,
    MIB,
    PARENT_LOCATOR,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.disk import DiskParameters, build_disk_parameters, check_disk_parameters, parse_disk_parameters
from vhdx.structures.metadata import ITEM_SIZES, SIGNATURE, build_metadata, check_metadata_table, parse_metadata_table
from vhdx.structures.region import RegionEntry, build_regions

# Room for the zeros of a block table: of 60 TiB in blocks of 2 MiB, of any disk in larger ones.
# An empty disk of 64 TiB in blocks of 1 MiB has a table of 512 MiB, but writers make blocks of 2 MiB or more.
# MiB that the file of an empty disk may have.
_MOST_OF_EMPTY = 256
# Metadata regions that are tried: a guest may hold disk images of its own.
_MOST_CANDIDATES = 16
Found = tuple[int, DiskParameters]
"""A metadata region's place and what it says."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A metadata region and the block table that fits it."""

    metadata: int
    bat: Fit

    def holds(self, other: "Layout") -> bool:
        """Whether the other one stands in blocks of this one, or shares its metadata."""
        same = other.metadata == self.metadata or self.bat.holds(other.metadata)
        return same and self.bat.holds(other.bat.offset)


def region_of(work: RebuildWorkspace, guid: UUID) -> RegionEntry | None:
    """The entry of a region in a table that can be believed; None where there is none."""
    return work.structures.region(guid) if work.structures.regions.is_sound else None


def has_metadata(work: RebuildWorkspace) -> bool:
    """Whether the region of the metadata is known and what it holds can be believed."""
    held = work.structures
    return held.regions.is_sound and held.metadata.is_sound and held.parameters.is_sound


def rebuild_regions(work: RebuildWorkspace) -> None:
    """Region tables that serve: fixed by a flip, else written anew for what is found on MiB boundaries."""
    if work.structures.regions.get().current_copy is None:
        fix_region_tables(work)
    if work.structures.regions.is_sound:
        return
    if _from_log(work):
        return
    places = list(places_to_look(work.view))
    layouts = [
        Layout(metadata, fit)
        for metadata, parameters in metadata_in(work.view, places)
        for at in places
        if (fit := fit_at(work.view, at, wanted_of(parameters, Ranges.of([Range(metadata, MIB)]))))
    ]
    layouts = whole_first(layouts, lambda layout: layout.bat.past_end)
    best = outermost(layouts, Layout.holds)
    if best is None and not layouts and _of_empty_disk(work, places):
        return
    if best is None:
        many = f"{len(layouts)} block tables fit equally" if layouts else "no block table fits what is left"
        work.lost.append(f"the region tables: {many}, so that the blocks cannot be placed")
        return
    write_regions(work, best.metadata, best.bat.offset, best.bat.length)
    _note(work, best)


def _from_log(work: RebuildWorkspace) -> bool:
    """The log's newest copies of a region table, when they name regions that are there."""
    log = work.structures.log.get()
    for start in REGION_TABLE_OFFSETS:
        pages = readable_pages(log, start, start + REGION_TABLE_SIZE)
        places = range(start, start + REGION_TABLE_SIZE, LOG_SECTOR_SIZE)
        page = b"".join(pages[at].content if at in pages else bytes(LOG_SECTOR_SIZE) for at in places)
        trial = RebuildWorkspace(work.view)
        trial.patch(*((offset, page) for offset in REGION_TABLE_OFFSETS))
        if pages and trial.structures.regions.is_sound:
            work.view = trial.view
            newest = max(image.sequence_number for image in pages.values())
            how = f"both come back from the log's copy of the table at byte {start}"
            evidence = f"log entry {newest} wrote this copy", "its checksum matches and its regions are there"
            work.doubt_all()
            work.note("region tables", how, Certainty.LIKELY, *evidence)
            return True
    return False


def _of_empty_disk(work: RebuildWorkspace, places: list[int]) -> bool:
    """A file that holds nothing but one metadata region and a log: its table is zeros, wherever it stands."""
    header = work.structures.headers.get().current
    found = list(metadata_in(work.view, places))
    if len(found) != 1 or found[0][1].has_parent or len(places) > _MOST_OF_EMPTY:
        return False
    metadata, parameters = found[0]
    known = Ranges.of([Range(metadata, MIB), Range(header.log_offset, header.log_length)])
    free = [at for at in places if not known.touches(Range(at, 1))]
    wanted = wanted_of(parameters, known)
    holds = (holds_something(work.view, at, MIB, unreadable=True) for at in free)
    if len(free) * MIB < wanted.length or any(holds):
        return False
    at = work.behind
    work.patch((at, bytes(wanted.length)))
    write_regions(work, metadata, at, wanted.length)
    evidence = "the file holds nothing but metadata and a log, so that every entry of the block table is zero"
    work.note("region tables", "both are written anew, with an empty block table", Certainty.CERTAIN, evidence)
    return True


def write_regions(work: RebuildWorkspace, metadata: int, bat: int, bat_length: int) -> None:
    """Lay both region tables over the file, for these places."""
    page = build_regions(Range(bat, bat_length), Range(metadata, MIB))
    work.patch(*((offset, page) for offset in REGION_TABLE_OFFSETS))


def write_metadata(work: RebuildWorkspace, at: int, disk: DiskParameters, locator: bytes = b"") -> None:
    """Lay a metadata region of 1 MiB, with these parameters and this locator, over byte `at` of the file."""
    items = build_disk_parameters(disk) | ({PARENT_LOCATOR: locator} if locator else {})
    work.patch((at, build_metadata(items).ljust(MIB, b"\0")))


def _note(work: RebuildWorkspace, layout: Layout) -> None:
    bat = layout.bat
    if bat.used <= 1:
        work.doubt_all()
    work.note(
        "region tables",
        f"both are written anew: metadata at byte {layout.metadata}, BAT at byte {bat.offset}",
        # One entry fits many places by chance; two have to be apart, inside the file and on no structure at the same
        # time.
        Certainty.CERTAIN if bat.used > 1 else Certainty.LIKELY,
        f"the metadata's signature, table and items stand whole at byte {layout.metadata}",
        f"all entries at byte {bat.offset} are valid for this disk, {bat.used} of them with blocks, which stand "
        f"{bat.where} and upon nothing else; every other place that fits stands inside one of these blocks",
    )


def wanted_of(parameters: DiskParameters, taken: Ranges) -> Wanted:
    """The table that a disk needs."""
    geometry = Geometry(parameters.size, parameters.block_size, parameters.logical_sector_size)
    return Wanted(geometry, parameters.has_parent, taken)


def metadata_in(source: ByteSource, places: Iterable[int]) -> Iterator[Found]:
    """The metadata regions that stand whole at one of these places."""
    tried = 0
    for at in places:
        if tried < _MOST_CANDIDATES and at + MIB <= source.size and read_at(source, at, 8) == SIGNATURE:
            tried += 1
            parameters = parameters_at(source, at)
            if parameters:
                yield at, parameters


def parameters_at(source: ByteSource, at: int, length: int = MIB) -> DiskParameters | None:
    """What the metadata region at byte `at` says of the disk; None when it cannot be believed."""
    try:
        table = parse_metadata_table(read_at(source, at, METADATA_TABLE_SIZE))
        if not Parsed(table, tuple(check_metadata_table(table, at, length))).is_sound:
            return None
        found = (table.find(item) for item in ITEM_SIZES)
        return sound_disk({one.item_id: read_at(source, at + one.offset, one.length) for one in found if one})
    except VhdxError:
        return None


def sound_disk(items: Mapping[UUID, bytes]) -> DiskParameters | None:
    """The disk that the content of the five items tells; None where it cannot be one."""
    disk = parse_disk_parameters(items)
    return disk if Parsed(disk, tuple(check_disk_parameters(disk, dict.fromkeys(ITEM_SIZES, 0)))).is_sound else None
