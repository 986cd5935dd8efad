"""Block tables whose entries are in the wrong slots: QEMU's shift (BAT-17), and a missing interleave (BAT-18).

An entry does not say whose it is. What gives a displaced table away is the slots kept for sector bitmaps, which are
empty in a file without a parent: when they hold blocks, the entries around them are not where they belong. Both are
believed only when putting the entries back leaves no slot with anything that it must not hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.text import plural
from vhdx.findings import Finding, Severity
from vhdx.patched import Patch
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB
from vhdx.table import WINDOW_SLOTS, BlockTable

Entries = npt.NDArray[np.int64]
_SLOTS = LOG_SECTOR_SIZE // ENTRY_SIZE
# Tables up to 64 MiB are looked at as a whole.
_MOST_SLOTS = 8 << 20


@dataclass(frozen=True, slots=True)
class Displacement:
    """A block table, or a page of it, with entries in the wrong slots."""

    finding: Finding
    evidence: str
    patches: tuple[Patch, ...]
    """What puts every entry into its slot."""
    lost_block: int | None = None
    """The payload block whose entry the shift has pushed out of its page: it is not known any more."""


def displacements(table: BlockTable, creator: str) -> Iterator[Displacement]:
    """What one of both causes explains; where both would, neither is certain, and there is nothing."""
    interleave, shifted = missing_interleave(table), list(shifted_pages(table, creator))
    if interleave is None:
        yield from shifted
    elif not shifted:
        yield interleave


def shifted_pages(table: BlockTable, creator: str) -> Iterator[Displacement]:
    """The 4 KiB pages of the table in which QEMU up to 8.0 moved entries one slot (8 bytes) up.

    QEMU did so when the first entry of a page was written: the new entry is right, those that were there before are
    one slot late, and later ones, whose blocks are behind the new one's in the file, are right again.
    """
    if table.has_parent:
        return
    slots = min(table.geometry.slots_in_base + 1, table.bat_length // ENTRY_SIZE)
    for start in range(0, slots, WINDOW_SLOTS):
        entries = table.entries(start, min(WINDOW_SLOTS, slots - start))
        used = start + np.flatnonzero(entries)
        wrong = used[_must_be_empty(table, used)]
        for first in sorted(set((wrong // _SLOTS * _SLOTS).tolist())):
            page = np.zeros(_SLOTS, dtype=np.int64)
            part = entries[first - start : first - start + _SLOTS]
            page[: len(part)] = part
            found = _shift(table, first, page, len(part), creator)
            if found:
                yield found


def _must_be_empty(table: BlockTable, slots: Entries) -> npt.NDArray[np.bool_]:
    return table.geometry.is_bitmap(slots) | (slots >= table.geometry.slots_in_base)


def _shift(table: BlockTable, first: int, page: Entries, length: int, creator: str) -> Displacement | None:
    empty = _must_be_empty(table, first + np.arange(_SLOTS, dtype=np.int64))
    by_qemu = creator.startswith("QEMU")
    # The evidence is in the whole page: every entry has to fit at once, in the slots of blocks alone, without two at
    # one place. A way back that is not unique is believed only of a file that QEMU made, whose fault is known. Held
    # by test_one_block_in_a_bitmaps_slot_is_left_alone and test_a_shift_that_loses_an_entry_says_so.
    ways = [way for way in _ways_back(page) if not way[empty].any() and _is_sound(table, way)]
    distinct = {way.tobytes(): way for way in ways}
    if not ways or (len(distinct) > 1 and not by_qemu) or not (by_qemu or _continues(table, first, page)):
        return None
    fixed = ways[0]
    count = int((page != fixed).sum())
    text = f"{plural(count, 'block table entry', 'stands', 'stand')} one slot (8 bytes) from the right one"
    at = table.bat_offset + first * ENTRY_SIZE
    finding = Finding("BAT-17", Severity.ERROR, text, at, length * ENTRY_SIZE, "2.5")
    held = int((page[empty] != 0).sum())
    found = plural(held, "slot", "holds a block", "hold blocks")
    evidence = f"{found} where none may be; one slot down every entry has a place of its own"
    if by_qemu:
        evidence += f"; the file was made by {creator}"
    lost = table.geometry.blocks_before(first + _SLOTS - 1) if not empty[-1] else None
    patch = Patch.of(at, *(value[:length].astype("<i8").tobytes() for value in (page, fixed)))
    return Displacement(finding, evidence, (patch,), lost)


def _ways_back(page: Entries) -> Iterator[Entries]:
    """How the page may have been, the likeliest first: a way that would lose an entry is none."""
    holds = page & STATE_MASK == BlockState.FULLY_PRESENT
    if holds[0] and page[1] != page[0]:
        early = holds & (page >> OFFSET_SHIFT < page[0] >> OFFSET_SHIFT)
        way = np.where(early, 0, page)
        targets = np.flatnonzero(early) - 1
        if early.any() and not early[1] and not way[targets].any():
            way[targets] = page[targets + 1]
            yield way
    if holds[0] and page[1] in {0, page[0]}:
        yield np.concatenate((page[:1], page[2:], np.zeros(1, dtype=np.int64)))
    if not page[0]:
        yield np.append(page[1:], 0)


def _is_sound(table: BlockTable, entries: Entries) -> bool:
    """Every block is inside the file, upon no structure, and no two at one place."""
    places = np.sort((entries[entries & STATE_MASK == BlockState.FULLY_PRESENT] >> OFFSET_SHIFT) * MIB)
    size = table.geometry.block_size
    if not len(places):
        return False
    apart = bool((np.diff(places) >= size).all())
    inside = places[0] >= MIB and places[-1] < table.source.size
    clear = all(not ((places < one.end) & (places + size > one.start)).any() for one in table.structures)
    return apart and bool(inside) and clear


def _continues(table: BlockTable, first: int, page: Entries) -> bool:
    """Every slot of a sector bitmap that holds something continues its neighbours, and the next one is empty."""
    step = table.geometry.block_size // MIB << OFFSET_SHIFT
    inner = np.arange(1, _SLOTS - 2)
    held = inner[table.geometry.is_bitmap(first + inner) & (page[1:-2] != 0)]
    # Three entries in a row, each one block further in the file, across a slot that must be empty: by chance one in
    # 2^44 for each step; what a shift does to a disk that was filled in order.
    lined = (page[held] - page[held - 1] == step) & (page[held + 2] - page[held] == step) & (page[held + 1] == 0)
    return bool(len(held)) and bool(lined.all())


def with_interleave(table: BlockTable) -> Entries | None:
    """The entries of a table that has them by block number alone, each in its slot; None of any other table."""
    geometry = table.geometry
    blocks, needed = geometry.block_count, geometry.slots_in_base
    if table.has_parent or blocks == needed or needed > min(_MOST_SLOTS, table.bat_length // ENTRY_SIZE):
        return None
    entries = table.entries(0, needed)
    numbers = np.arange(blocks, dtype=np.int64)
    kept = numbers[_must_be_empty(table, numbers)]
    held = kept[entries[kept] != 0]
    # Behind the last block's number no block is, but what QEMU called zero before another program wrote; and no entry
    # is that of a child.
    states = entries & STATE_MASK
    is_plain = (states[blocks:] < BlockState.FULLY_PRESENT).all() and (states <= BlockState.FULLY_PRESENT).all()
    if not is_plain or not len(held) or not _is_sound(table, entries):
        return None
    # Blocks before and after the reserved slot: a single stray entry there is damage of another kind.
    if not (entries[held - 1] != 0).any() or not (entries[held + 1] != 0).any():
        return None
    fixed = np.zeros(needed, dtype=np.int64)
    fixed[geometry.payload_slot(numbers)] = entries[:blocks]
    return fixed


def missing_interleave(table: BlockTable) -> Displacement | None:
    """A table indexed by block number alone, as cloud-hypervisor does it; None when it is not, or not for certain."""
    fixed = with_interleave(table)
    if fixed is None:
        return None
    blocks, needed = table.geometry.block_count, table.geometry.slots_in_base
    entries, numbers = table.entries(0, needed), np.arange(blocks, dtype=np.int64)
    held = numbers[(entries[:blocks] != 0) & _must_be_empty(table, numbers)]
    slots = plural(len(held), "sector bitmap slot", "holds a block", "hold blocks")
    text = f"{slots}: the table was written without its interleave"
    finding = Finding("BAT-18", Severity.ERROR, text, table.bat_offset, needed * ENTRY_SIZE, "2.5")
    evidence = (
        f"blocks are in {plural(len(held), 'bitmap slot')} and go on behind, at the end "
        f"{plural(needed - blocks, 'slot', 'has', 'have')} none, and no block is partially present"
    )
    return Displacement(finding, evidence, tuple(_patches(table, entries, fixed)))


def _patches(table: BlockTable, found: Entries, fixed: Entries) -> Iterator[Patch]:
    for first in range(0, len(found), _SLOTS):
        old, new = (entries[first : first + _SLOTS] for entries in (found, fixed))
        if (old != new).any():
            at = table.bat_offset + first * ENTRY_SIZE
            yield Patch.of(at, old.astype("<i8").tobytes(), new.astype("<i8").tobytes())
