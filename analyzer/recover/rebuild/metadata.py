"""The metadata lost: from the log's copies, else from items that still stand there, else from the disk itself."""

from itertools import accumulate

from analyzer.check.diagnosis.logged_entries import readable_pages
from analyzer.recover.rebuild.bat_shape import (
    MOST_TABLE,
    Wanted,
    entries_of,
    fit_at,
    is_noise,
    places_to_look,
    tables_in,
)
from analyzer.recover.rebuild.geometry import Decision, decide, discover
from analyzer.recover.rebuild.geometry_candidates import NOTHING, SurvivingItems, read_surviving_items
from analyzer.recover.rebuild.regions import (
    has_metadata,
    parameters_at,
    region_of,
    sound_disk,
    wanted_of,
    write_metadata,
)
from analyzer.recover.rebuild.workspace import Certainty, RebuildWorkspace
from analyzer.text import plural
from vhdx.parsed import Parsed
from vhdx.patched import OverlaySource, Patch
from vhdx.ranges import Range, Ranges
from vhdx.source import read_if_possible
from vhdx.structures.bat import ENTRY_SIZE
from vhdx.structures.constants import (
    BAT_REGION,
    LOG_SECTOR_SIZE,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    MIB,
    VHDX_LOCATOR_TYPE,
)
from vhdx.structures.disk import DiskParameters
from vhdx.structures.locator import check_locator, parse_locator
from vhdx.structures.metadata import ITEM_SIZES, SIGNATURE
from vhdx.structures.region import RegionEntry

METADATA_LOST = "the metadata:"
"""How a sentence on lost metadata begins; it goes where a later step finds them."""
# The length of a locator is lost with its entry: this is more than its texts, of 16 bits each, take in practice.
_LOCATOR_SIZE = 64 * 1024
_SECTOR = 512


def metadata_from_log(work: RebuildWorkspace) -> None:
    """Lay the log's newest copies of metadata pages over a metadata region that cannot be read without them."""
    known = region_of(work, METADATA_REGION)
    if has_metadata(work):
        return
    pages = readable_pages(work.structures.log.get())
    begins = (at for at, page in pages.items() if at % MIB == 0 and page.content.startswith(SIGNATURE))
    places = [known.file_offset] if known else list(begins)
    for at in places:
        inside = [(page, image) for page, image in sorted(pages.items()) if at <= page < at + MIB]
        view = OverlaySource(work.view, [Patch(page, len(image.content), image.content) for page, image in inside])
        if not parameters_at(work.view, at) and inside and parameters_at(view, at):
            work.view, newest = view, max(image.sequence_number for _, image in inside)
            how = f"from the log's newest copies: {plural(len(inside), 'page')} at byte {at}"
            work.note("metadata", how, Certainty.CERTAIN, f"log entry {newest} wrote them; with them all is whole")


def rebuild_metadata(work: RebuildWorkspace) -> None:
    """Metadata that serves, with the region tables where those are known; nothing when nothing tells the disk."""
    region, bat = region_of(work, METADATA_REGION), region_of(work, BAT_REGION)
    if region is None or bat is None or has_metadata(work):
        return
    left = read_surviving_items(work.structures)
    disk = left.whole()
    # Items lost that nothing depends on: the physical sector size, the disk's id, the locator.
    if disk and _table_of(disk, region).slots * ENTRY_SIZE <= bat.length:
        write_metadata(work, region.file_offset, disk, left.locator if disk.has_parent else b"")
        evidence = "the items that tell blocks, sectors, size and parent stand whole under their table"
        work.note("metadata", "made anew with the items that are left", Certainty.CERTAIN, evidence)
    elif not _from_items(work, region, bat):
        decision = decide(work, Range(bat.file_offset, min(bat.length, MOST_TABLE)), region.file_offset, left)
        if decision is None:
            work.lost.append(f"{METADATA_LOST} nothing tells the block size of the disk for certain")
        else:
            _take(work, decision, left)


def _from_items(work: RebuildWorkspace, region: RegionEntry, bat: RegionEntry) -> bool:
    """The table lost and the items still there, in the usual order."""
    # In the order in which Hyper-V and QEMU store the items, without gaps.
    place, sizes = region.file_offset + METADATA_TABLE_SIZE, ITEM_SIZES.items()
    raw, ends = read_if_possible(work.view, place, sum(ITEM_SIZES.values())), accumulate(ITEM_SIZES.values())
    disk = (
        sound_disk({item: raw[end - size : end] for (item, size), end in zip(sizes, ends, strict=True)})
        if raw
        else None
    )
    if disk is None:
        return False
    wanted = _table_of(disk, region)
    if wanted.slots * ENTRY_SIZE > bat.length or not fit_at(work.view, bat.file_offset, wanted):
        return False
    locator = _locator(work, region) if disk.has_parent else b""
    write_metadata(work, region.file_offset, disk, locator)
    work.note(
        "metadata",
        "the table is made anew for the items that still stand behind it",
        Certainty.CERTAIN,
        f"at byte {place} stand five items in the usual order, with sound values",
        "the block table fits the disk that they describe",
    )
    if disk.has_parent and not locator:
        work.lost.append("the parent locator: name the parent with --parent")
    return True


def _table_of(disk: DiskParameters, region: RegionEntry) -> Wanted:
    return wanted_of(disk, Ranges.of([Range(region.file_offset, region.length)]))


def _locator(work: RebuildWorkspace, region: RegionEntry) -> bytes:
    """A parent locator that stands in the region, by its type; b"" when there is none that is sound."""
    body = work.read(region.file_offset, min(region.length, MIB))
    at = body.find(VHDX_LOCATOR_TYPE.bytes_le, METADATA_TABLE_SIZE)
    item = body[at : at + _LOCATOR_SIZE] if at >= 0 else b""
    found = parse_locator(item) if item else None
    is_sound = found and Parsed(found, tuple(check_locator(found, at, len(item)))).is_sound
    return item.rstrip(b"\0") + b"\0" if is_sound else b""


def rebuild_both(work: RebuildWorkspace) -> None:
    """Region tables and metadata lost: block tables are looked for by shape alone, on MiB boundaries."""
    if work.structures.regions.is_sound:
        return
    decision = discover(work, tables_in(work.view, places_to_look(work.view)))
    if decision is None:
        return
    work.lost[:] = [text for text in work.lost if not text.startswith("the region tables")]
    fit = decision.candidate.fit
    work.note(
        "region tables",
        f"both are written anew, for a BAT at byte {fit.offset}",
        decision.certainty,
        f"all entries at byte {fit.offset} are valid for one disk, {fit.used} of them with blocks",
    )
    _take(work, decision)


def _take(work: RebuildWorkspace, decision: Decision, left: SurvivingItems = NOTHING) -> None:
    work.view = decision.view
    disk = decision.candidate.parameters
    work.parent_is_open = decision.parent_is_open
    if decision.certainty is Certainty.LIKELY:
        work.doubt_all()
    what = "differencing" if disk.has_parent else "without a parent"
    how = f"a disk of {disk.size} bytes in blocks of {disk.block_size}, {what}, at byte {decision.metadata}"
    work.note("metadata", how, decision.certainty, *decision.evidence)
    if left is NOTHING:
        work.lost.append("the virtual disk id and the physical sector size, which nothing else tells")
    if disk.has_parent and not left.locator:
        work.lost.append("the parent locator: name the parent with --parent")
    if decision.parent_is_open:
        work.lost.append("whether the disk has a parent; blocks that the table leaves out are not known")


def metadata_by_logged_table(work: RebuildWorkspace) -> None:
    """Metadata that serves, found with the log's newest copies over sectors of the table that are zeros or noise.

    The table itself stays as it is: once the disk is known, it tells better what in it is damaged.
    """
    bat, region = region_of(work, BAT_REGION), region_of(work, METADATA_REGION)
    if bat is None or region is None or has_metadata(work):
        return
    trial = RebuildWorkspace(work.view)
    pages = readable_pages(work.structures.log.get(), bat.file_offset, bat.end)
    trial.patch(*((at, _fixed(work.read(at, LOG_SECTOR_SIZE), page.content)) for at, page in sorted(pages.items())))
    rebuild_metadata(trial)
    if not has_metadata(trial):
        return
    work.patch((region.file_offset, trial.read(region.file_offset, region.length)))
    work.rebuilt += trial.rebuilt
    work.lost[:] = [text for text in work.lost if not text.startswith(METADATA_LOST)] + trial.lost
    work.doubted += trial.doubted
    work.parent_is_open = trial.parent_is_open


def _fixed(page: bytes, copy: bytes) -> bytes:
    """The page with the log's copy of sectors that are zeros or noise."""
    fixed = bytearray()
    for at in range(0, len(page), _SECTOR):
        now, logged = page[at : at + _SECTOR], copy[at : at + _SECTOR]
        # Zeros may be right, and the logged copy older: this is a trial to find the disk's size, and is discarded.
        is_lost = now.count(0) == len(now) or is_noise(entries_of(now))
        fixed += logged if is_lost and not is_noise(entries_of(logged)) else now
    return bytes(fixed)
