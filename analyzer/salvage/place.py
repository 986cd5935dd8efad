"""Lost entries of the block table: blocks that tell their own place are put there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from analyzer.salvage.bench import Bench
from analyzer.salvage.entries import UNKNOWN, entry_for, put_entries
from analyzer.salvage.model import Certainty
from analyzer.volumes.gpt import parse_whole_header
from vhdx.image import Image
from vhdx.source import read_at
from vhdx.structures.bat import STATE_MASK, BlockState
from vhdx.table import BlockTable


@dataclass(frozen=True, slots=True)
class Sign:
    """What stands at byte `start` of the disk alone: how a block that holds it is known."""

    what: str
    start: int
    length: int
    fits: Callable[[bytes], bool]


def place_blocks(bench: Bench, image: Image, rooms: list[int]) -> None:
    """Put blocks that tell their own place into slots that are unknown; `rooms` are bytes of the file without owner."""
    table = image.allocation.table
    for sign in _signs(image):
        _place(bench, replace(table, source=bench.view), sign, rooms)


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
        bench.doubt_blocks(table.geometry.block_size, [block])
