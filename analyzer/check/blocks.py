"""Every BAT entry of one file, used or not, window by window ([MS-VHDX] 2.5), and what no entry points to."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from analyzer.check.result import MOST_ALIKE
from analyzer.judgement.judge import findings_of, judge
from analyzer.text import plural
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.replay import Log
from vhdx.source import ByteSource, read_at
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState, check_anchor_entry
from vhdx.structures.constants import KIB, MIB, NIL
from vhdx.structures.disk import DiskParameters
from vhdx.table import WINDOW_SLOTS, BlockTable, keeps_place

# Findings of one kind beyond a few are counted, not listed: a zeroed table would give millions.
_MOST_BLOCKS = 4 * MOST_ALIKE
# Bytes of what nothing owns that are asked what they look like: a signature is within the first page.
_SAMPLE = 4 * KIB

_Slots = npt.NDArray[np.int64]


def check_blocks(table: BlockTable, parameters: DiskParameters) -> Iterator[Finding]:
    """Everything about the BAT entries: damaged ones one by one, remarkable ones counted."""
    yield from _check_damaged(table)
    yield from _Survey(table, parameters).findings()
    yield from _check_surplus(table)


def _check_damaged(table: BlockTable) -> Iterator[Finding]:
    geometry, count, code = table.geometry, 0, ""
    unread = list[Finding]()
    for blocks in table.damaged_blocks():
        for block in blocks[: max(0, _MOST_BLOCKS - count)].tolist():
            start = block * geometry.block_size
            for flaw in table.flaws_of_block(block):
                if flaw.code != "BAT-09":  # told for each chunk
                    code = flaw.code
                    told = replace(flaw, disk_start=start, disk_length=geometry.bytes_of_block(block))
                    if code == "FID-12":
                        unread.append(told)
                    else:
                        yield told
        count += len(blocks)
    yield from _together(unread)
    if count > _MOST_BLOCKS:
        text = (
            f"{plural(count, 'block')} cannot be read whole, the first of them above; `vhdx map` lists every range "
            "that is lost"
        )
        yield Finding(code, Severity.ERROR, text, table.bat_offset, None, "2.5")


def _together(unread: list[Finding]) -> Iterator[Finding]:
    """What was not read is told for the file: of its blocks one finding says how many, and where the first is."""
    if len(unread) > 1:
        text = f"{plural(len(unread), 'block')}, of which this is the first: {unread[0].message}"
        yield replace(unread[0], message=text)
    else:
        yield from unread


class _Survey:
    """One pass over the entries; what is found of each kind is counted, with the first places."""

    def __init__(self, table: BlockTable, parameters: DiskParameters) -> None:
        self._table, self._parameters = table, parameters
        self._counts: dict[str, int] = {}
        self._first: dict[str, _Slots] = {}

    def findings(self) -> Iterator[Finding]:
        """What one pass over the table finds; entries that the region has no room for say nothing."""
        table = self._table
        # An entry of 0 is at fault in a fixed disk alone.
        for first, window in table.all_entries() if self._parameters.is_fixed else table.used_entries():
            entries = window[: max(0, table.bat_length // ENTRY_SIZE - first)]
            slots = np.arange(first, first + len(entries), dtype=np.int64)
            is_bitmap = table.geometry.is_bitmap(slots)
            self._look_at_payload(slots[~is_bitmap], entries[~is_bitmap])
            name = "bitmap" if self._parameters.has_parent else "bitmap in a base"
            self._note(name, slots[is_bitmap & (entries != 0)])
        yield from (*self._of_anchors(), *self._of_bitmaps(), *self._counted())

    def _note(self, what: str, slots: _Slots) -> None:
        if len(slots):
            self._counts[what] = self._counts.get(what, 0) + len(slots)
            known = self._first.get(what, slots[:0])
            self._first[what] = np.concatenate((known, slots[: MOST_ALIKE + 1 - len(known)]))

    def _look_at_payload(self, slots: _Slots, entries: _Slots) -> None:
        state, placed = entries & STATE_MASK, entries >> OFFSET_SHIFT != 0
        self._note("stale", slots[placed & ((state == BlockState.NOT_PRESENT) | (state == BlockState.ZERO))])
        self._note("anchored", slots[keeps_place(entries)])
        if not self._parameters.has_parent:
            self._note("partial", slots[state == BlockState.PARTIALLY_PRESENT])
            if self._parameters.is_fixed:
                self._note("absent", slots[state != BlockState.FULLY_PRESENT])

    def _of_anchors(self) -> Iterator[Finding]:
        """Blocks that are given up keep their place; no two may have one, whether it is read or not."""
        table = self._table
        for slot in self._first.get("anchored", ())[:MOST_ALIKE]:
            yield from check_anchor_entry(
                table.entry(int(slot)), self._at(int(slot)), table.geometry.block_size, table.around
            )
        colliding = table.colliding_anchors() if "anchored" in self._first else iter(())
        for slot in islice(colliding, MOST_ALIKE):
            text = f"the place kept for an absent block, {self._table.entry(slot).file_offset}, is another block's"
            yield Finding("BAT-06", Severity.ERROR, text, self._at(slot), ENTRY_SIZE, "2.5.1")

    def _of_bitmaps(self) -> Iterator[Finding]:
        for slot in self._first.get("bitmap", ()):
            entry, (chunk, _) = self._table.entry(int(slot)), self._table.geometry.chunk_and_block(int(slot))
            if entry.state.holds_data:
                yield from self._table.flaws_of_bitmap(chunk)
                continue
            if entry.state is not BlockState.NOT_PRESENT:
                text = f"the sector bitmap of chunk {chunk} has the state {entry.state.value}"
                yield Finding("BAT-08", Severity.ERROR, text, self._at(int(slot)), ENTRY_SIZE, "2.5.1.2")
            if entry.reserved:
                text = f"reserved bits are set ({entry.reserved:#x})"
                yield Finding("BAT-02", Severity.ERROR, text, self._at(int(slot)), ENTRY_SIZE, "2.5.1")

    def _counted(self) -> Iterator[Finding]:
        # A bitmap says that a partial block is not whole; without one it reads well as if it were.
        partial = Severity.ERROR if "bitmap in a base" in self._counts else Severity.WARNING
        given_up = ("unmapped or undefined block", "keeps", "keep")
        for what, code, severity, counted, rest in (
            ("partial", "BAT-11", partial, ("partially present block",), "in a file without a parent, read as whole"),
            ("bitmap in a base", "BAT-12", Severity.WARNING, ("sector bitmap entry",), "in a file without a parent"),
            ("stale", "BAT-13", Severity.NOTE, ("absent block", "keeps", "keep"), "a place in the file"),
            ("anchored", "BAT-14", Severity.NOTE, given_up, "old place and data"),
            ("absent", "BAT-15", Severity.WARNING, ("block", "is", "are"), "not fully present on a fixed disk"),
        ):
            if what in self._counts:
                first = self._at(int(self._first[what][0]))
                text = f"{plural(self._counts[what], *counted)} {rest}"
                yield Finding(code, severity, text, first, ENTRY_SIZE, "2.5.1")

    def _at(self, slot: int) -> int:
        return self._table.bat_offset + slot * ENTRY_SIZE


def _check_surplus(table: BlockTable) -> Iterator[Finding]:
    """Entries behind the last one that the disk needs."""
    needed, present = table.slots_needed, table.bat_length // ENTRY_SIZE
    if present > 2 * needed and (present - needed) * ENTRY_SIZE > 2 * MIB:
        text = f"the BAT region holds {plural(present, 'entry')} and the disk needs {needed}"
        yield Finding("MET-22", Severity.WARNING, text, table.bat_offset, table.bat_length, "2.5")
    used = 0
    for first in range(needed, present, WINDOW_SLOTS):
        used += int(np.count_nonzero(table.entries(first, min(WINDOW_SLOTS, present - first))))
    if used:
        text = f"{plural(used, 'entry', 'is', 'are')} not zero behind the last one that the disk needs"
        at = table.bat_offset + needed * ENTRY_SIZE
        yield Finding("BAT-21", Severity.NOTE, text, at, (present - needed) * ENTRY_SIZE, "2.5")


def _content_of(source: ByteSource, at: int) -> str:
    """What something without an owner seems to be."""
    from analyzer.guest.layouts.detect import looks_like  # most files have nothing that has no owner

    try:
        return looks_like(read_at(source, at, _SAMPLE)) or "data"
    except VhdxError:
        return "what cannot be read"


def check_space(table: BlockTable, log: Log, disk_of: Callable[[], Disk | None]) -> Iterator[Finding]:
    """Data that no entry points to, and what it seems to be; whether the table lost entries rather than the disk data.

    `disk_of` opens the disk of the file, None where it has parents. While the log is live an empty table is no loss:
    blocks are written before the table knows of them.
    """
    judgement, live = judge(table, log, disk_of), log.log_guid != NIL
    free, held = judgement.unowned.free, judgement.unowned.held
    if held and not live and not any(entries.any() for _, entries in table.used_entries()):
        text = f"the block table is empty, and data is in {held.size} MiB of the file where blocks would"
        yield Finding("BAT-19", Severity.ERROR, text, table.bat_offset, table.bat_length, "2.5")
    else:
        yield from findings_of(table, judgement, live=live)
    end = table.source.size // MIB
    behind = next((part.start for part in free if part.end == end), end)
    for part in held:
        what = _content_of(table.source, part.start * MIB)
        text = f"{part.length} MiB of the file belong to nothing and hold {what}"
        code = "BAT-20" if part.start < behind else "FID-07"
        yield Finding(code, Severity.NOTE, text, part.start * MIB, part.length * MIB, "2.5")
