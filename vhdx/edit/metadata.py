"""Metadata items and regions of a file that is being changed ([MS-VHDX] 2.2.3, 2.6): staged, to be committed whole."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from vhdx.edit.editor import Editor
from vhdx.edit.log_writer import MOST_IN_ENTRY
from vhdx.edit.session import Order
from vhdx.errors import OutputError, TooMuchMetadataError
from vhdx.ranges import Range, Ranges
from vhdx.source import read_at
from vhdx.structures.constants import (
    LOG_SECTOR_SIZE,
    MAX_ITEM_SIZE,
    MAX_TABLE_ENTRIES,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    MIB,
    PARENT_LOCATOR,
    REGION_TABLE_OFFSETS,
)
from vhdx.structures.locator import ParentLocator, build_locator, parse_locator
from vhdx.structures.metadata import MetadataEntry, MetadataItem, build_metadata, build_metadata_table
from vhdx.structures.region import RegionEntry, build_region_table

Key = tuple[UUID, bool]
"""What distinguishes items: the id, and whether it is a user's."""

# Real files have some hundred bytes of items; the content of all is held in memory when the region has to move.
_MOST_BYTES = 16 * MIB
_SPARE = MOST_IN_ENTRY - 2 * 16 - 1
"""Pages that items may take in an entry that changes both region tables as well."""


def key_of(item: MetadataItem | MetadataEntry) -> Key:
    """The item's key."""
    return item.item_id, bool(item.flags & 1)


def metadata_region(editor: Editor) -> RegionEntry:
    """Where the metadata are."""
    region = editor.regions.current.find(METADATA_REGION)
    if region is None:  # a file without is not opened
        raise OutputError(editor.session.path, "it has no metadata region", "use another copy of the file")
    return region


def content_of(editor: Editor, entry: MetadataEntry) -> bytes:
    """What an item holds now."""
    return read_at(editor.session, metadata_region(editor).file_offset + entry.offset, entry.length)


def stage_items(editor: Editor, changed: Sequence[MetadataItem], dropped: Collection[Key] = ()) -> None:
    """Stage new content of items, further items, and items without which the file is to be.

    They stay in their region where that has room, else a new region gets all items. To be committed whole. Raises
    TooMuchMetadataError, OutputError for a full table.
    """
    entries = _placed(editor, changed, dropped)
    pages = sum(-(-len(item.content) // LOG_SECTOR_SIZE) + 1 for item in changed)
    if entries is None or pages + len(entries) // 127 + 1 > _SPARE:
        _move_region(editor, changed, dropped)
        return
    region, places = metadata_region(editor), {key_of(entry): entry for entry in entries}
    for item in changed:
        editor.session.stage(region.file_offset + places[key_of(item)].offset, item.content, Order.METADATA)
    table = replace(editor.metadata, entry_count=len(entries), entries=tuple(entries))
    editor.session.stage(region.file_offset, build_metadata_table(table), Order.METADATA)
    editor.metadata = table


def _placed(editor: Editor, changed: Sequence[MetadataItem], dropped: Collection[Key]) -> list[MetadataEntry] | None:
    """The entries as they will be, in the region that there is; None where it has no room."""
    region, new = metadata_region(editor), {key_of(item): item for item in changed}
    stays = [
        entry
        for entry in editor.metadata.entries
        if key_of(entry) not in dropped
        and (key_of(entry) not in new or entry.length == len(new[key_of(entry)].content))
    ]
    taken = Ranges.of(Range(entry.offset, entry.length) for entry in editor.metadata.entries)
    free = [*taken.gaps(Range.between(METADATA_TABLE_SIZE, region.length))]
    for key, item in new.items():
        kept = next((entry for entry in stays if key_of(entry) == key), None)
        place = kept.offset if kept else _fitting(free, len(item.content))
        if place is None:
            return None
        entry = MetadataEntry(item.item_id, place, len(item.content), item.flags, 0)
        stays = [entry if one is kept else one for one in stays] if kept else [*stays, entry]
    if len(stays) > MAX_TABLE_ENTRIES:
        raise OutputError(editor.session.path, "its metadata table is full", "merge to a new file instead")
    return stays


def _fitting(free: list[Range], length: int) -> int | None:
    """The first free room for so many bytes, taken out of the list."""
    if not length:
        return 0
    for number, gap in enumerate(free):
        if gap.length >= length and length <= MAX_ITEM_SIZE:
            free[number] = Range.between(gap.start + length, gap.end)
            return gap.start
    return None


def _move_region(editor: Editor, changed: Sequence[MetadataItem], dropped: Collection[Key]) -> None:
    new = {key_of(item): item for item in changed}
    kept = [entry for entry in editor.metadata.entries if key_of(entry) not in dropped and key_of(entry) not in new]
    size = sum(entry.length for entry in kept) + sum(len(item.content) for item in changed)
    if size > _MOST_BYTES or len(kept) + len(new) > MAX_TABLE_ENTRIES:
        raise TooMuchMetadataError(editor.session.path, len(kept) + len(new), size, MAX_TABLE_ENTRIES, _MOST_BYTES)
    items = [MetadataItem(entry.item_id, entry.flags & 7, content_of(editor, entry)) for entry in kept]
    content = build_metadata({}, [*items, *changed])
    place = editor.allocate_zeros(-(-len(content) // MIB) * MIB)
    editor.session.write(place.start, content)
    editor.take_metadata(content[:METADATA_TABLE_SIZE])
    stage_regions(editor, {METADATA_REGION: Range(place.start, place.length)})


def stage_regions(editor: Editor, moved: Mapping[UUID, Range]) -> None:
    """Stage new places of regions in both region tables; the old places are free after that. To be committed whole."""
    table = editor.regions.current
    for entry in table.entries:
        if entry.guid in moved:
            editor.room.give(Range(entry.file_offset, entry.length))
    entries = tuple(
        replace(entry, file_offset=moved[entry.guid].start, length=moved[entry.guid].length)
        if entry.guid in moved
        else entry
        for entry in table.entries
    )
    changed = replace(table, entries=entries)
    for offset in REGION_TABLE_OFFSETS:
        editor.session.stage(offset, build_region_table(changed), Order.METADATA)
    editor.take_regions(changed)


def move_region(editor: Editor, guid: UUID, target: int) -> None:
    """Move a region to free room, durably and at once: a whole copy first, then what leads there."""
    region = next(entry for entry in editor.regions.current.entries if entry.guid == guid)
    editor.commit()
    place = Range(target, region.length)
    editor.session.medium.zero(place)  # what of a table is zeros, most of 512 MiB, is not written
    for part in place.pieces(MIB):
        data = read_at(editor.session, region.file_offset + part.start - target, part.length)
        if data.count(0) < len(data):
            editor.session.write(part.start, data)
    editor.commit()
    stage_regions(editor, {guid: place})
    editor.commit_whole()


def locator_of(editor: Editor) -> ParentLocator | None:
    """Who the parent is, by the file as it is being changed."""
    entry = editor.metadata.find(PARENT_LOCATOR)
    return None if entry is None else parse_locator(content_of(editor, entry))


def stage_locator(editor: Editor, pairs: Iterable[tuple[str, str]]) -> None:
    """Stage a parent locator of these keys and values. To be committed whole."""
    entry = editor.metadata.find(PARENT_LOCATOR)
    content = build_locator(list(pairs))
    if entry is not None and len(content) < entry.length:  # the item keeps its length, and with that its place
        content = content.ljust(entry.length, b"\0")
    stage_items(editor, [MetadataItem(PARENT_LOCATOR, entry.flags if entry else 4, content)])
