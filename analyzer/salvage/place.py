"""Lost entries of the block table: what may be missing is made unknown, and what tells its own place is put there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from analyzer.salvage.bench import Bench
from analyzer.salvage.entries import UNKNOWN, entry_for, put_entries
from analyzer.salvage.model import Certainty
from analyzer.salvage.unowned import possible_blocks
from analyzer.volumes.gpt import parse_whole_header
from vhdx.image import Image
from vhdx.source import read_at
from vhdx.structures.bat import ENTRY_SIZE, STATE_MASK, BlockState
from vhdx.table import BlockTable

_SLOTS_OF_SECTOR = 512 // ENTRY_SIZE
_MOST_STARTS = 4096


@dataclass(frozen=True, slots=True)
class Sign:
    """What stands at byte `start` of the disk alone: how a block that holds it is known."""

    what: str
    start: int
    length: int
    fits: Callable[[bytes], bool]


def place_blocks(bench: Bench, image: Image) -> None:
    """Where the file holds blocks that no entry owns: sectors of zeros in the table are unknown, and signs place some.

    A table of which sectors are zeros and a file without such blocks are taken at their word: the blocks are absent.
    """
    table = image.allocation.table
    starts = [start for _, start in zip(range(_MOST_STARTS), possible_blocks(table), strict=False)]
    if not starts:
        return
    _forget_empty_sectors(bench, table)
    table = replace(table, source=bench.view)
    for sign in _signs(image):
        _place(bench, table, sign, starts)


def _forget_empty_sectors(bench: Bench, table: BlockTable) -> None:
    count = 0
    for first, entries in table.all_entries():
        whole = len(entries) // _SLOTS_OF_SECTOR * _SLOTS_OF_SECTOR
        empty = ~entries[:whole].reshape(-1, _SLOTS_OF_SECTOR).any(axis=1)
        lost = np.concatenate(
            (np.repeat(empty, _SLOTS_OF_SECTOR), np.repeat(not entries[whole:].any(), len(entries) - whole))
        )
        count += int(lost.sum())
        known = np.where(lost, UNKNOWN, entries)
        bench.lay((table.bat_offset + first * ENTRY_SIZE, known.astype("<i8").tobytes()))
    if count:
        text = "which stand in sectors of zeros while the file holds blocks that no entry owns"
        bench.lost.append(f"{count} entries of the block table, {text}")


def _signs(image: Image) -> Iterator[Sign]:
    sector, size = image.sector_size, image.size
    last = size // sector - 1

    def is_primary(raw: bytes) -> bool:
        gpt = parse_whole_header(raw)
        return gpt is not None and (gpt.here, gpt.other) == (1, last)

    def is_backup(raw: bytes) -> bool:
        gpt = parse_whole_header(raw)
        return gpt is not None and (gpt.here, gpt.other) == (last, 1)

    yield Sign("the primary GPT, which stands in sector 1", sector, sector, is_primary)
    yield Sign("the backup GPT, which stands in the last sector", last * sector, sector, is_backup)


def _place(bench: Bench, table: BlockTable, sign: Sign, starts: list[int]) -> None:
    """Put the one block that shows the sign into its slot, when that is unknown."""
    block, within = divmod(sign.start, table.geometry.block_size)
    slot = table.geometry.payload_slot(block)
    if table.entry(slot).state & STATE_MASK != UNKNOWN:
        return
    found = [
        start
        for start in starts
        if start + within + sign.length <= table.source.size
        and sign.fits(read_at(table.source, start + within, sign.length))
    ]
    if len(found) == 1:
        put_entries(bench, table, {slot: entry_for(BlockState.FULLY_PRESENT, found[0])})
        how = f"the entry of block {block} is put back: it stands at byte {found[0]} of the file"
        evidence = f"of all room that nothing owns this alone holds {sign.what}, and it names this disk's size"
        bench.note("BAT", how, Certainty.LIKELY, evidence)
