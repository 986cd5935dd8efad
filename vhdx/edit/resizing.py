"""Another size for the disk of a file: entries for its new blocks, a larger table where one is needed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vhdx.edit.editor import Editor
from vhdx.edit.metadata import stage_items, stage_regions
from vhdx.edit.session import Order
from vhdx.geometry import Geometry, bat_region_size
from vhdx.ranges import Range, Ranges
from vhdx.source import read_at
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, BlockState
from vhdx.structures.constants import BAT_REGION, MIB, VIRTUAL_DISK_SIZE
from vhdx.structures.disk import build_disk_parameters
from vhdx.structures.metadata import ITEM_FLAGS, MetadataItem
from vhdx.table import WINDOW_SLOTS

Entries = npt.NDArray[np.int64]
# Staged pages are held in memory until a commit: 1 MiB of entries.
_AT_ONCE = 1 << 17


def grow(editor: Editor, size: int, *, zeros_until: int = 0) -> None:
    """Make the disk `size` bytes, more than it has, durably and at once; what is new reads as zeros.

    `zeros_until` is where the disk below ends, of a differencing file: up to there what is new has to hide it. A fixed
    file gets all its blocks. Raises what the medium raises.
    """
    old, new = editor.geometry, replace(editor.geometry, size=size)
    _clear_behind_end(editor, min(new.size, old.block_count * old.block_size), zeros_until)
    editor.commit()
    slots = needed_slots(new, has_parent=editor.table.has_parent)
    is_too_small = slots * ENTRY_SIZE > editor.table.bat_length
    windows = _new_entries(editor, new, min(size, zeros_until))
    if is_too_small:
        place = _copied_table(editor, bat_region_size(slots))
        for slot, entries in windows:
            if not entries.any():  # as the new place is: 512 MiB of them take no room on the host
                continue
            editor.session.write(place.start + slot * ENTRY_SIZE, entries.astype("<i8").tobytes())
        editor.commit()
        stage_regions(editor, {BAT_REGION: place})
    else:
        for slot, entries in windows:
            at = editor.table.bat_offset + slot * ENTRY_SIZE
            editor.session.stage(at, entries.astype("<i8").tobytes(), Order.TABLE)
            editor.commit()
    set_size_item(editor, size)


def shrink(editor: Editor, size: int) -> None:
    """Make the disk `size` bytes, fewer than it has, durably and at once; then let its further blocks go."""
    old = editor.geometry
    set_size_item(editor, size)
    end = replace(old, size=size).block_count
    freed = replace(editor.table, geometry=old)
    for first, last, is_blank in freed.stretches(end, old.block_count):
        for block in () if is_blank else range(first, last):
            entry = freed.payload_entry(block)
            if entry.state or entry.offset_mib:
                editor.clear_slot(old.payload_slot(block), Range(entry.file_offset, old.block_size))
            if editor.session.staged >= _AT_ONCE * ENTRY_SIZE // 4096:
                editor.commit()
    editor.commit()


def set_size_item(editor: Editor, size: int) -> None:
    """Commit what is staged, then the size alone."""
    editor.commit_before()
    parameters = replace(editor.parameters, size=size)
    content = build_disk_parameters(parameters)[VIRTUAL_DISK_SIZE]
    stage_items(editor, [MetadataItem(VIRTUAL_DISK_SIZE, ITEM_FLAGS[VIRTUAL_DISK_SIZE], content)])
    editor.commit_whole()
    editor.take_parameters(parameters)


def _clear_behind_end(editor: Editor, upto: int, zeros_until: int) -> None:
    """Have the last block read as zeros behind the end of the disk, where nobody looks yet."""
    geometry = editor.geometry
    block, part = geometry.block_count - 1, Range.between(geometry.size, upto)
    if part.length <= 0:
        return
    entry = editor.entry(block)
    if entry.state.holds_data:
        editor.session.grow(entry.file_offset + geometry.block_size)
        place = entry.file_offset + part.start - block * geometry.block_size
        editor.session.medium.zero(Range(place, part.length))
        if entry.state is BlockState.PARTIALLY_PRESENT and editor.table.has_parent:
            editor.claim(block, Ranges.of([part]))
    elif entry.state is BlockState.NOT_PRESENT and geometry.size < zeros_until:
        new = editor.allocate_zeros(geometry.block_size)
        editor.claim_all(block, Ranges.of([part]))
        editor.set_block(block, BlockState.PARTIALLY_PRESENT, new.start)


def _new_entries(editor: Editor, new: Geometry, zeros_until: int) -> Iterator[tuple[int, Entries]]:
    """Windows of the table behind its last block, as they are to be, each with its first slot."""
    table, old = editor.table, editor.geometry
    known = table.slots_needed
    for first, last in _windows(old.block_count, new.block_count):
        blocks = np.arange(first, last, dtype=np.int64)
        slots = blocks + blocks // new.chunk_ratio
        end = needed_slots(new, has_parent=table.has_parent) if last == new.block_count else int(slots[-1]) + 1
        entries = np.zeros(end - int(slots[0]), dtype=np.int64)
        if slots[0] < known:  # bitmaps of a chunk that is there stay; of what is behind them nothing is known
            held = table.entries(int(slots[0]), min(known - int(slots[0]), len(entries)))
            entries[: len(held)] = held
        entries[slots - slots[0]] = _states(editor, blocks, zeros_until)
        yield int(slots[0]), entries


def needed_slots(geometry: Geometry, *, has_parent: bool) -> int:
    """BAT entries that a file needs."""
    return geometry.slots_in_child if has_parent else geometry.slots_in_base


def _windows(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last, _AT_ONCE):
        yield start, min(last, start + _AT_ONCE)


def _states(editor: Editor, blocks: Entries, zeros_until: int) -> Entries:
    size = editor.geometry.block_size
    if editor.parameters.is_fixed and not editor.table.has_parent:
        place = editor.allocate_behind_end(len(blocks) * size)
        mib = place.start // MIB + np.arange(len(blocks), dtype=np.int64) * (size // MIB)
        return BlockState.FULLY_PRESENT | mib << OFFSET_SHIFT
    return np.where(blocks * size < zeros_until, BlockState.ZERO, BlockState.NOT_PRESENT).astype(np.int64)


def _copied_table(editor: Editor, length: int) -> Range:
    """A copy of the table in a larger place, which nothing leads to yet; as payload, for it may be 512 MiB."""
    place = editor.allocate_zeros(length)
    held = editor.table.slots_needed * ENTRY_SIZE
    for part in Range(0, held).pieces(WINDOW_SLOTS * ENTRY_SIZE):
        data = read_at(editor.session, editor.table.bat_offset + part.start, part.length)
        if data.count(0) < len(data):  # quicker than any()
            editor.session.write(place.start + part.start, data)
    return Range(place.start, place.length)
