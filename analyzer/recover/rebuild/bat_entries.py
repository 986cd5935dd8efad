"""Entries of a block table set anew: the pages that hold them, laid over the file."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from analyzer.recover.rebuild.workspace import RebuildWorkspace
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB
from vhdx.table import BlockTable

UNKNOWN = BlockState.INVALID_5.value
"""What an entry becomes whose block cannot be known: a state that is not valid, which reads as LOST."""
_SLOTS = LOG_SECTOR_SIZE // ENTRY_SIZE


def entry_for(state: BlockState, place: int) -> int:
    """The entry of a block at byte `place` of the file."""
    return state | place // MIB << OFFSET_SHIFT


def blocks_of(table: BlockTable, slots: Iterable[int]) -> Iterator[int]:
    """The blocks of the disk that these slots, rising, speak of: for a sector bitmap's slot all of its chunk."""
    ratio, count = table.geometry.chunk_ratio, table.geometry.block_count
    for slot in slots:
        chunk, within = divmod(slot, ratio + 1)
        if within < ratio:
            yield chunk * ratio + within
        elif table.has_parent:
            yield from range(chunk * ratio, min((chunk + 1) * ratio, count))


def put_entries(work: RebuildWorkspace, table: BlockTable, values: Mapping[int, int]) -> None:
    """Set the entries in these slots; slots that the BAT region has no room for are left out."""
    pages: dict[int, dict[int, int]] = {}
    for slot, value in values.items():
        if (slot + 1) * ENTRY_SIZE <= table.bat_length:
            pages.setdefault(slot // _SLOTS, {})[slot % _SLOTS] = value
    work.patch(*(_page(work, table, number, chosen) for number, chosen in sorted(pages.items())))


def _page(work: RebuildWorkspace, table: BlockTable, number: int, chosen: Mapping[int, int]) -> tuple[int, bytes]:
    at = table.bat_offset + number * LOG_SECTOR_SIZE
    page = np.frombuffer(work.read(at, LOG_SECTOR_SIZE), "<u8").copy()  # an entry of noise may have its highest bit
    page[list(chosen)] = list(chosen.values())
    return at, page.tobytes()
