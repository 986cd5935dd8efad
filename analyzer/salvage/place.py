"""Lost entries of the block table: blocks that tell their own place are put there, and what stands between them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from analyzer.salvage.bench import Bench
from analyzer.salvage.entries import UNKNOWN, blocks_of, entry_for, put_entries
from analyzer.salvage.in_order import place_in_order
from analyzer.salvage.model import Certainty
from analyzer.salvage.pieces import spread, withdraw
from analyzer.salvage.signs import Sign, gpt_signs, sign_fits
from analyzer.salvage.signs_ext import directory_signs, group_signs, superblock_signs
from analyzer.salvage.signs_ntfs import boot_signs, record_signs
from vhdx.disk import Disk
from vhdx.image import Image, image_from
from vhdx.structures.bat import BlockState
from vhdx.table import BlockTable

_PHASES: tuple[Callable[[Disk], Iterable[Sign]], ...] = (
    gpt_signs,
    superblock_signs,
    boot_signs,
    superblock_signs,
    record_signs,
    record_signs,
    group_signs,
    directory_signs,
)
"""Each looks at the disk as the ones before it have put it together: what is placed tells where more must stand."""
_MOST_BLOCKS = 1 << 16
_MOST_LOOKS = 1 << 20
"""Places that are looked at in all."""


def place_blocks(bench: Bench, image: Image, rooms: list[int]) -> None:
    """Put blocks that tell their own place into slots that are unknown; `rooms` are bytes of the file without owner.

    Then what stands between two blocks of known place, in the file as on the disk, is put between them.
    """
    looks, floor = _MOST_LOOKS, rooms[0]
    for phase in _PHASES:
        for sign in phase(image):
            if looks > 0 and _is_unknown(bench, image, sign):
                looks -= len(rooms)
                rooms = _place(bench, image.allocation.table, sign, rooms)
        image = image_from(bench.view)
        if bench.in_pieces:
            taken = spread(bench, image, floor)
            rooms = [start for start in rooms if start not in taken]
            image = image_from(bench.view)
    if bench.in_pieces:
        withdraw(bench, image, [sign for phase in _PHASES for sign in phase(image)])
        image = image_from(bench.view)
    place_in_order(bench, image)
    image = image_from(bench.view)
    _fill_between(bench, replace(image.allocation.table, source=bench.view), rooms)


def _is_unknown(bench: Bench, image: Image, sign: Sign) -> bool:
    """Whether the entry of the block that must hold the sign is unknown, and all of the sign is in that block."""
    table = image.allocation.table
    block, within = divmod(sign.start, table.geometry.block_size)
    if not 0 <= sign.start < image.size or within + sign.length > table.geometry.block_size:
        return False
    return replace(table, source=bench.view).payload_entry(block).state.value == UNKNOWN


def _place(bench: Bench, table: BlockTable, sign: Sign, rooms: list[int]) -> list[int]:
    """Put the one block that shows the sign into its slot; the rooms that are left."""
    block, within = divmod(sign.start, table.geometry.block_size)
    found = [start for start in rooms if sign_fits(table.source, start + within, sign)]
    if len(found) != 1:
        return rooms
    _put(bench, table, block, found[0], f"of all room that nothing owns this alone holds {sign.what}")
    return _without(rooms, found[0], table.geometry.block_size)


def _put(bench: Bench, table: BlockTable, block: int, place: int, *evidence: str) -> None:
    # Which sectors of a child's block are its own, only the bitmap tells: to take all would hide what the parent has.
    state = BlockState.PARTIALLY_PRESENT if table.has_parent else BlockState.FULLY_PRESENT
    put_entries(bench, table, {table.geometry.payload_slot(block): entry_for(state, place)})
    how = f"the entry of block {block} is put back: it stands at byte {place} of the file"
    bench.note("BAT", how, Certainty.LIKELY, *evidence)
    bench.doubt_blocks(table.geometry.block_size, [block])


def _without(rooms: list[int], place: int, size: int) -> list[int]:
    return [start for start in rooms if not place - size < start < place + size]


def _fill_between(bench: Bench, table: BlockTable, rooms: list[int]) -> None:
    """Stretches of unknown blocks between two whose places are just as far apart, with room for all: in order."""
    size, free = table.geometry.block_size, set(rooms)
    for first, last in _unknown_stretches(table):
        if first == 0 or last == table.geometry.block_count - 1:
            continue
        below, above = table.payload_entry(first - 1), table.payload_entry(last + 1)
        places = [below.file_offset + size * step for step in range(1, last - first + 2)]
        ends = below.state.holds_data and above.state.holds_data and above.file_offset == places[-1] + size
        if ends and free.issuperset(places):
            evidence = f"blocks {first - 1} and {last + 1} stand in the file as far apart as on the disk"
            for block, place in zip(range(first, last + 1), places, strict=True):
                _put(bench, table, block, place, evidence, "what stands between them has no owner")


def _unknown_stretches(table: BlockTable) -> Iterator[tuple[int, int]]:
    """(first, last) of blocks that follow one another and whose entries are unknown, rising."""
    geometry = table.geometry
    found: list[int] = []
    for first, entries in table.all_entries():
        slots = first + np.flatnonzero(entries == UNKNOWN)
        found += blocks_of(replace(table, has_parent=False), slots[: _MOST_BLOCKS - len(found)].tolist())
    rising = np.array([block for block in found if block < geometry.block_count], dtype=np.int64)
    for stretch in np.split(rising, np.flatnonzero(np.diff(rising) > 1) + 1):
        if len(stretch):
            yield int(stretch[0]), int(stretch[-1])
