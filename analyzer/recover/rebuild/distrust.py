"""Entries of a block table that cannot be taken at their word: made unknown, or left and doubted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.judgement.judge import Judgement
from analyzer.recover.rebuild.bat_shape import NOISE
from analyzer.recover.rebuild.workspace import (
    RESERVED,
    UNKNOWN,
    Certainty,
    Entries,
    RebuildWorkspace,
    places_of,
    put_window,
)
from analyzer.text import plural
from vhdx.ranges import Range
from vhdx.structures.bat import ENTRY_SIZE
from vhdx.table import BlockTable

_SLOTS = 512 // ENTRY_SIZE
# Derivation: if r blocks have lost their entries among n absent ones, one absent entry is a lost one with a
# probability of r/n. Below 1/1024 it is called likely absent, not unknown: else a crash that leaves one block without
# an entry would make a whole sparse disk unreadable. test_a_sector_that_nothing_remembers_is_lost_and_never_zeros
# fails for a much smaller number; no test bounds it from above.
# Where fewer than one in so many of the absent blocks can have lost its entry, absent is what each likely is.
_RARE = 1024
# So of single entries among others, which a crash or a trim leaves more often than whole sectors: of what is likely one
# block in a hundred may be wrong.
_SELDOM = 100
# Of a window of the table: every second of its entries would be half a million, and a large table has 64 windows.
_MOST_RANGES = 1 << 16

Sectors = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why a table may be not whole."""

    rooms: int
    """How many blocks could stand where the file holds something that no entry owns."""
    log_is_open: bool
    """A log that is lost may have had later states of any part of the table."""
    log_was_live: bool
    """A log was live, or may have been, and its last entries may be gone without a trace: a crash leaves them like
    that, and so does damage."""
    healed: frozenset[int]
    """Slots that came back from the log: the other entries of their sectors were lost with them."""
    zeros_in_log: frozenset[int]
    """Bytes of the file at which sectors of the table begin that are zeros in the log's newest copy, too."""
    judgement: Judgement
    """What speaks against absent entries, by the file and the volumes on its disk."""


def discard_untrusted_entries(work: RebuildWorkspace, table: BlockTable, why: Suspicion) -> None:
    """Make entries unknown that may hide a block, and all of a sector that is noise.

    Where every block of the file has an owner the table is taken at its word: blocks are absent. Where one has none,
    entries are unknown that the judgement doubts, and sectors of zeros; all others that are empty are likely, but for
    those that the volumes call free and a table that shows what a guest gave back. Sectors of zeros are likely, too,
    where rooms are few, where the file was cut, or where the log has zeros as well. Behind a log that was live every
    entry without a block is likely.
    """
    # A block begins past the end of the file, or so near that all of it cannot be there.
    is_cut = any((places_of(entries) >= table.source.size).any() for _, entries in table.used_entries())
    absent = why.judgement.absent.size // table.geometry.block_size
    # Hardly any absent block can have lost its entry, or none need have.
    few = not why.log_is_open and (why.rooms * _RARE < absent or (why.rooms > 0 and why.judgement.is_explained))
    forgotten = believed = 0
    for first, entries in table.all_entries():
        if not (why.rooms or is_cut or (entries & RESERVED).any()):
            continue
        lost, doubted = _judged(table, why, first, entries, is_cut=is_cut, few=few)
        forgotten += int(lost.sum())
        if lost.any():
            put_window(work, table, first, np.where(lost, UNKNOWN, entries))
        believed += int(doubted.sum())
        work.doubted += _ranges_of(table, first, doubted)
    if believed:
        _note_believed(work, believed, why, is_cut=is_cut)
    if forgotten:
        reason = "in sectors of zeros while the file holds blocks that no entry owns, or in sectors of noise"
        if why.judgement.proof:
            reason = f"not to be believed: {why.judgement.proof}, while the file holds blocks that no entry owns"
        work.lost.append(f"{plural(forgotten, 'entry')} of the block table, {reason}")


def forget_absent_entries(work: RebuildWorkspace, table: BlockTable, why: Suspicion) -> None:
    """Make those empty entries unknown of which too many may have lost their block, now that all signs are used.

    `why.rooms` are those left without an owner. Of a checkpoint its parent would have to be asked, and behind a live
    log a crash leaves such room: there they stay likely.
    """
    geometry, judgement = table.geometry, why.judgement
    blocks_open = (judgement.absent.size - judgement.free.size) // geometry.block_size
    if table.has_parent or why.log_was_live or judgement.is_explained or why.rooms * _SELDOM < blocks_open:
        return
    forgotten = 0
    for first, entries in table.all_entries():
        slots = first + np.arange(len(entries), dtype=np.int64)
        blocks = geometry.blocks_in(slots)
        at = table.bat_offset + slots // _SLOTS * 512
        lost = (blocks >= 0) & (entries == 0) & ~np.isin(at, list(why.zeros_in_log))
        lost &= ~judgement.free.places_in(blocks * geometry.block_size)[1]
        forgotten += int(lost.sum())
        if lost.any():
            put_window(work, table, first, np.where(lost, UNKNOWN, entries))
    if forgotten:
        text = f"{plural(forgotten, 'entry')} of the block table that {'says' if forgotten == 1 else 'say'}"
        room = f"{plural(why.rooms, 'block')} of the file {'has' if why.rooms == 1 else 'have'} no owner"
        work.lost.append(f"{text} that nothing is there, while {room}")


def _ranges_of(table: BlockTable, first: int, marked: Sectors) -> Iterator[Range]:
    """The blocks of marked slots as ranges of the disk; where they are too many, one range that has all of them."""
    ranges = table.ranges_of_slots(first + np.flatnonzero(marked))
    if len(ranges) > _MOST_RANGES:
        return iter((Range.between(int(ranges.start[0]), int(ranges.end[-1])),))
    return iter(ranges)


def _note_believed(work: RebuildWorkspace, count: int, why: Suspicion, *, is_cut: bool) -> None:
    """Say which entries are taken at their word, and what speaks against them."""
    if why.rooms:
        evidence = f"the file has room that holds something and that no entry owns: for {plural(why.rooms, 'block')}"
    elif is_cut:
        evidence = "the file was cut: what stood behind its end could have had an entry among them"
    else:
        evidence = "parts of the table are noise"
    how = f"taken at its word, nothing stands there: {plural(count, 'entry')} without a block"
    work.note("BAT", how, Certainty.LIKELY, evidence)


def _judged(
    table: BlockTable, why: Suspicion, first: int, entries: Entries, *, is_cut: bool, few: bool
) -> tuple[Sectors, Sectors]:
    """Entries, from slot `first` on, that are unknown, and others that are merely likely."""
    geometry, judgement = table.geometry, why.judgement
    slots = first + np.arange(len(entries), dtype=np.int64)
    sector, blocks = slots // _SLOTS - first // _SLOTS, geometry.blocks_in(slots)
    # A child's table goes on to the end of its last chunk; a sector bitmap that is lost is noticed by the blocks that
    # need it.
    used = blocks >= 0
    zeros = (np.bincount(sector, weights=entries != 0)[sector] == 0) & used
    empty = (entries == 0) & used
    noise = (np.bincount(sector, weights=(entries & RESERVED) != 0)[sector] >= NOISE) & used
    agreed = np.isin(table.bat_offset + first * ENTRY_SIZE + sector * 512, list(why.zeros_in_log))
    if not why.rooms:
        return noise, zeros & ~agreed & is_cut
    healed = np.isin(slots // _SLOTS, [slot // _SLOTS for slot in why.healed]) & empty
    contradicted = empty & judgement.doubted.places_in(blocks * geometry.block_size)[1]
    free = empty & judgement.free.places_in(blocks * geometry.block_size)[1] & (not judgement.proof)
    hides = (zeros & ~agreed & ~free) | healed | (empty & why.log_is_open)
    weak = zeros | (empty & why.log_was_live) | (empty & (not judgement.is_explained))
    lost = noise | contradicted | (hides & (not few))
    return lost, (hides | (weak & ~free)) & ~lost
