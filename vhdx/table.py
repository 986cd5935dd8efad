"""The block allocation table of one file: its entries, and what is wrong with them ([MS-VHDX] 2.5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vhdx.claims import Claims, Owners, Windows
from vhdx.findings import Finding, Severity
from vhdx.geometry import Geometry
from vhdx.ranges import Column, NamedRange, Range, Ranges
from vhdx.source import ByteSource, read_known, unread_of, unreadable_of
from vhdx.structures.bat import (
    ENTRY_SIZE,
    OFFSET_SHIFT,
    STATE_MASK,
    BatEntry,
    BlockState,
    Surroundings,
    check_bitmap_entry,
    check_payload_entry,
    parse_bat_entry,
)
from vhdx.structures.constants import MAX_FILE_SIZE

WINDOW_SLOTS = 1 << 18
"""BAT entries that are looked at together: 2 MiB of them."""
# Entries that are known together to be 0: 32 KiB of them.
_PAGE_SLOTS = 1 << 12

_NO_OWNERS: Owners = np.empty(0, dtype=np.uint8)
_NONE: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
# What an entry that the BAT region has no room for is taken as: an invalid state, so that its block is LOST.
_MISSING = BlockState.INVALID_5.value


@dataclass(frozen=True)
class BlockTable:
    """Where each block of one file's disk is. `bat_offset` and `bat_length` are bytes in the file."""

    source: ByteSource
    geometry: Geometry
    bat_offset: int
    bat_length: int
    has_parent: bool
    structures: tuple[NamedRange, ...]
    """What no block may overlap, sorted."""

    @property
    def forbidden(self) -> npt.NDArray[np.int64]:
        """Pairs of bytes in the file, start and end, sorted, where no block may be."""
        edges = [edge for one in self.structures for edge in (one.start, one.end)]
        return np.array([min(edge, MAX_FILE_SIZE) for edge in edges], dtype=np.int64)

    @property
    def around(self) -> Surroundings:
        """What a block must not run into."""
        return Surroundings(self.source.size, self.structures)

    @cached_property
    def unreadable(self) -> Ranges:
        """What of the file is known to be unreadable."""
        return unreadable_of(self.source)

    def entries(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """`count` BAT entries from slot `first`; those past the region's end, or unreadable, have an invalid state."""
        # A region that is too small for the disk is damage: the rest is LOST, never absent.
        present = max(0, min(count, self.bat_length // ENTRY_SIZE - first))
        table = np.empty(count, dtype="<i8")
        at = self.bat_offset + first * ENTRY_SIZE
        for part in read_known(self.source, at, table[:present].view(np.uint8).data):
            table[(part.start - at) // ENTRY_SIZE : -(-(part.end - at) // ENTRY_SIZE)] = _MISSING
        table[present:] = _MISSING
        return table.astype(np.int64, copy=False)

    def believed_entries(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """Entries as `entries` gives them, but invalid where two claim one place: neither can be believed."""
        table = self.entries(first, count)
        table[self.contested(first, table) - first] = _MISSING
        return table

    @property
    def claims(self) -> Claims:
        """What the entries may claim of the file."""
        return Claims(self.geometry, self.source.size, self.has_parent, self.forbidden)

    @cached_property
    def _doubled(self) -> Owners:
        """The owners of the file's places, where any is claimed twice; nothing where none is."""
        if self.claims.are_apart(self.used_entries()):
            return _NO_OWNERS
        owners, doubled = self.claims.owners(self.used_entries())
        return owners if doubled else _NO_OWNERS

    @property
    def has_overlaps(self) -> bool:
        """Whether any place of the file is claimed twice."""
        return len(self._doubled) > 0

    def contested(self, first: int, entries: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Of the entries from slot `first` on, the slots whose block or sector bitmap overlaps another slot's."""
        return self.claims.contested(first, entries, self._doubled) if len(self._doubled) else _NONE

    def damaged_blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        """The numbers, sorted, of the blocks that cannot be read whole, some at a time; no bitmap is read for it."""
        geometry = self.geometry
        for first, last, is_blank in self.stretches(0, geometry.block_count):
            if is_blank:
                continue
            start = geometry.payload_slot(first)
            count = geometry.payload_slot(last - 1) - start + 1
            entries = self.entries(start, count)
            slots = self.claims.damaged(start, entries, self._doubled)
            damaged = np.zeros(last - first, dtype=np.bool_)
            damaged[geometry.blocks_before(slots) - first] = True
            damaged[self.blocks_without_bitmap(first, last) - first] = True
            damaged |= self._unread_blocks(first, entries[geometry.payload_slot(np.arange(first, last)) - start])
            yield first + np.flatnonzero(damaged)

    @property
    def slots_needed(self) -> int:
        """BAT entries that the disk needs."""
        return self.geometry.slots_in_child if self.has_parent else self.geometry.slots_in_base

    def all_entries(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Windows of all entries that the disk needs, each with its first slot."""
        for first, count in Range(0, self.slots_needed).pieces(WINDOW_SLOTS):
            yield first, self.entries(first, count)

    @cached_property
    def _edges(self) -> npt.NDArray[np.int64]:
        """Slots, sorted, at which pages of entries that are not all 0 begin and end, in turn."""
        slots = self.slots_needed
        if slots <= WINDOW_SLOTS:  # to look first would read all of it twice
            return np.array((0, slots))
        pages = np.zeros(-(-slots // _PAGE_SLOTS) + 2, dtype=np.bool_)
        for first, entries in self.all_entries():
            used = np.logical_or.reduceat(entries != 0, np.arange(0, len(entries), _PAGE_SLOTS))
            pages[1 + first // _PAGE_SLOTS :][: len(used)] = used
        return np.minimum(np.flatnonzero(pages[1:] != pages[:-1]) * _PAGE_SLOTS, slots)

    def stretches(self, first: int, last: int) -> Iterator[tuple[int, int, bool]]:
        """Blocks `first` to `last`, exclusive, in parts, and whether entries of one are known to be 0: not present.

        Most of the table of a large disk is: 64 TiB of 1 MiB blocks have 512 MiB of entries, which are read once. Other
        parts are of WINDOW_SLOTS blocks at most.
        """
        while first < last:
            passed = int(self._edges.searchsorted(self.geometry.payload_slot(first), "right"))
            slot = int(self._edges[passed]) if passed < len(self._edges) else self.slots_needed
            is_blank = passed % 2 == 0
            upto = min(last, self.geometry.blocks_before(slot))
            upto = upto if is_blank else min(upto, first + WINDOW_SLOTS)
            yield first, upto, is_blank
            first = upto

    def used_entries(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """As `all_entries`, without pages in which all entries are 0."""
        for start, end in self._edges.reshape(-1, 2).tolist():
            for first, count in Range.between(start, end).pieces(WINDOW_SLOTS):
                yield first, self.entries(first, count)

    def blocks_of(self, windows: Windows) -> Iterator[tuple[Column, Column]]:
        """The blocks of windows of entries, as `all_entries` gives them, and their entries, without sector bitmaps'."""
        for first, entries in windows:
            blocks = self.geometry.blocks_in(first + np.arange(len(entries)))
            yield blocks[blocks >= 0], entries[blocks >= 0]

    def partial_blocks(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Each chunk with partially present blocks, and which of its blocks they are, sorted."""
        ratio = self.geometry.chunk_ratio
        for blocks, entries in self.blocks_of(self.used_entries()):
            partial = blocks[entries & STATE_MASK == BlockState.PARTIALLY_PRESENT]
            for chunk in distinct(partial // ratio).tolist():
                yield chunk, partial[partial // ratio == chunk] % ratio

    def all_places(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """As `used_entries`, with the entries that keep a place (UNMAPPED, UNDEFINED) as if their blocks were there."""
        for first, entries in self.used_entries():
            yield first, np.where(keeps_place(entries), entries | BlockState.FULLY_PRESENT, entries)

    def colliding_anchors(self) -> Iterator[int]:
        """Slots, sorted, of UNMAPPED or UNDEFINED entries whose place another entry claims or keeps as well."""
        owners, doubled = self.claims.owners(self.all_places())
        for first, entries in self.all_places() if doubled else ():
            slots = self.claims.contested(first, entries, owners)
            keeps = keeps_place(self.entries(first, len(entries)))
            yield from slots[keeps[slots - first]].tolist()

    def ranges_of_slots(self, slots: Column) -> Ranges:
        """The ranges of the disk that the blocks in these slots, none of them a bitmap's, are of."""
        starts = self.geometry.blocks_before(slots) * self.geometry.block_size
        return Ranges.of_columns(starts, np.full_like(starts, self.geometry.block_size))

    def bitmap_entry(self, chunk: int) -> BatEntry:
        """The BAT entry of a chunk's sector bitmap."""
        return self.entry(self.geometry.bitmap_slot(chunk))

    def payload_entry(self, block: int) -> BatEntry:
        """The BAT entry of a payload block."""
        return self.entry(self.geometry.payload_slot(block))

    def entry(self, slot: int) -> BatEntry:
        """The BAT entry in a slot."""
        return parse_bat_entry(self.entries(slot, 1).astype("<i8").tobytes())

    def flaws_of_bitmap(self, chunk: int) -> Iterator[Finding]:
        """What is wrong with the sector bitmap's entry that a PARTIALLY_PRESENT block needs."""
        slot = self.geometry.bitmap_slot(chunk)
        at = self.bat_offset + slot * ENTRY_SIZE
        yield from check_bitmap_entry(self.entry(slot), at, self.around)
        yield from self._flaws_of_place("sector bitmap", slot, at)

    def _flaws_of_place(self, what: str, slot: int, at: int) -> Iterator[Finding]:
        if len(self.contested(slot, self.entries(slot, 1))):
            text = f"the {what} at {self.entry(slot).file_offset} overlaps another one"
            yield Finding("BAT-06", Severity.ERROR, text, at, ENTRY_SIZE, "2.5.1")

    def flaws_of_block(self, block: int) -> Iterator[Finding]:
        """What is wrong with a payload block's entry, and with its bitmap's where it needs one."""
        geometry = self.geometry
        slot, unread = geometry.payload_slot(block), unread_of(self.source)
        entry, at = self.entry(slot), self.bat_offset + slot * ENTRY_SIZE
        if unread is not None and (
            unread.ranges.touches(Range(at, ENTRY_SIZE)) or self._unread_blocks(block, self.entries(slot, 1)).any()
        ):
            text = f"what the block rests on was not read when the file was copied, by {unread.map}"
            yield Finding("FID-12", Severity.ERROR, text, at, ENTRY_SIZE)
            return
        if (slot + 1) * ENTRY_SIZE > self.bat_length:
            text = f"the BAT region has no room for the entry of block {block}"
            yield Finding("BAT-10", Severity.ERROR, text, self.bat_offset, self.bat_length, "2.5")
            return
        needed = geometry.bytes_of_block(block)
        yield from check_payload_entry(entry, at, needed, geometry.block_size, self.around)
        yield from self._flaws_of_place("block", slot, at)
        if entry.state is BlockState.PARTIALLY_PRESENT and self.has_parent:
            yield from self.flaws_of_bitmap(block // geometry.chunk_ratio)

    def _unread_blocks(self, first: int, entries: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether blocks, from `first` on and with these entries, need what is known to be unreadable of the file.

        That is their place, and of a bitmap its entry and their part. An entry that is unreadable itself is not valid.
        """
        geometry, blocks = self.geometry, first + np.arange(len(entries))
        state, places = entries & STATE_MASK, entries >> OFFSET_SHIFT << OFFSET_SHIFT
        sizes = np.minimum(geometry.block_size, geometry.size - blocks * geometry.block_size)
        unread = (state >= BlockState.FULLY_PRESENT) & self._is_unread(places, sizes)
        if len(self.unreadable) and self.has_parent:
            ratio = geometry.chunk_ratio
            share, is_partial = geometry.bits_size, state == BlockState.PARTIALLY_PRESENT
            for chunk in distinct(blocks[is_partial] // ratio).tolist():
                at = self.bat_offset + geometry.bitmap_slot(chunk) * ENTRY_SIZE
                bits = self.bitmap_entry(chunk).file_offset + (blocks - chunk * ratio) * share
                lost = self._is_unread(bits, share) | self.unreadable.touches(Range(at, ENTRY_SIZE))
                unread |= is_partial & (blocks // ratio == chunk) & lost
        return unread

    def _is_unread(self, places: npt.NDArray[np.int64], length: npt.NDArray[np.int64] | int) -> npt.NDArray[np.bool_]:
        """Whether any of the `length` bytes of the file from each of these places is known to be unreadable."""
        first = self.unreadable.end.searchsorted(places, "right")
        found: npt.NDArray[np.bool_] = self.unreadable.start.searchsorted(places + length) > first
        return found

    def blocks_without_bitmap(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Of blocks `first` to `last`, exclusive, a child's PARTIALLY_PRESENT ones with a flawed bitmap's entry."""
        if not self.has_parent:
            return _NONE
        blocks = np.arange(first, last, dtype=np.int64)
        chunks, start = blocks // self.geometry.chunk_ratio, self.geometry.payload_slot(first)
        entries = self.entries(start, self.geometry.payload_slot(last - 1) - start + 1)[blocks + chunks - start]
        partial = entries & STATE_MASK == BlockState.PARTIALLY_PRESENT
        flawed = [
            chunk
            for chunk in distinct(chunks[partial]).tolist()
            if any(flaw.severity is Severity.ERROR for flaw in self.flaws_of_bitmap(chunk))
        ]
        found: npt.NDArray[np.int64] = blocks[partial & np.isin(chunks, flawed)]
        return found

    def count_states(self) -> dict[BlockState, int]:
        """How many payload blocks are in each state."""
        totals = np.zeros(8, dtype=np.int64)
        for _, entries in self.blocks_of(self.used_entries()):
            totals += np.bincount(entries & STATE_MASK, minlength=8)
        totals[BlockState.NOT_PRESENT] += self.geometry.block_count - totals.sum()
        return {state: int(totals[state]) for state in BlockState if totals[state]}

    def why_lost(self, start: int) -> str:
        """The reason why the byte `start` of the disk cannot be known."""
        block = self.geometry.block_at(start)
        reasons = [str(flaw) for flaw in self.flaws_of_block(block) if flaw.severity is Severity.ERROR]
        return f"block {block}: " + ("; ".join(reasons) or "its table entry is not valid")


def distinct(ordered: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each number of a sorted array once."""
    found: npt.NDArray[np.int64] = ordered[np.flatnonzero(np.diff(ordered, prepend=-1))]
    return found


def keeps_place(entries: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which entries of blocks that are not there, UNMAPPED or UNDEFINED, keep the place of their old data."""
    state = entries & STATE_MASK
    absent = (state == BlockState.UNMAPPED) | (state == BlockState.UNDEFINED)
    keeps: npt.NDArray[np.bool_] = absent & (entries >> OFFSET_SHIFT != 0)
    return keeps
