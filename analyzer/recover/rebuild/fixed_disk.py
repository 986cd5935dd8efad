"""Blocks of a fixed disk: all of them are there, one behind the other, so that one that is known tells all places."""

import numpy as np

from analyzer.recover.rebuild.bat_entries import UNKNOWN, entry_for, put_entries
from analyzer.recover.rebuild.model import Certainty
from analyzer.recover.rebuild.workspace import RebuildWorkspace
from analyzer.text import plural
from vhdx.image import Image
from vhdx.structures.bat import OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB
from vhdx.structures.disk import LEAVE_BLOCKS_ALLOCATED

# A fixed file is as large as its disk: no such file has more blocks in practice.
_MOST_BLOCKS = 1 << 20


def place_in_order(work: RebuildWorkspace, image: Image) -> None:
    """Put the blocks of a fixed disk whose entries are unknown, or say that nothing is there, into their order."""
    table, geometry = image.allocation.table, image.geometry
    if image.has_parent or not image.parameters.flags & LEAVE_BLOCKS_ALLOCATED or geometry.block_count > _MOST_BLOCKS:
        return
    blocks = np.arange(geometry.block_count, dtype=np.int64)
    entries = table.entries(0, geometry.slots_in_base)[blocks + blocks // geometry.chunk_ratio]
    held = entries & STATE_MASK == BlockState.FULLY_PRESENT
    starts = (entries >> OFFSET_SHIFT) * MIB - blocks * geometry.block_size
    # Zero counts as lost here, unlike in a dynamic disk: a fixed disk has no absent block.
    lost = np.isin(entries, (0, UNKNOWN))
    anchors = np.unique(starts[held])
    # Two different origins mean that the file is not in order, whatever its flag says.
    # Two different origins mean that the file is not in order, whatever its flag says: some programs set it on
    # dynamic files.
    if not lost.any() or len(anchors) > 1:
        return
    first = int(anchors[0]) if len(anchors) else table.source.size - geometry.block_count * geometry.block_size
    if first < HEADER_AREA_SIZE or first % MIB or _stands_on_structures(image, first):
        return
    chosen = blocks[lost].tolist()
    places = {block: first + block * geometry.block_size for block in chosen}
    put_entries(
        work,
        table,
        {geometry.payload_slot(block): entry_for(BlockState.FULLY_PRESENT, place) for block, place in places.items()},
    )
    evidence = "all blocks whose entries stand agree on it" if len(anchors) else "they end where the file does"
    how = f"put back in order, {plural(len(chosen), 'block')}: block 0 stands at byte {first} of the file"
    work.note("BAT", how, Certainty.LIKELY, "the disk is fixed, so that every block is there", evidence)
    work.doubt_blocks(geometry.block_size, chosen)


def _stands_on_structures(image: Image, first: int) -> bool:
    end = first + image.geometry.block_count * image.geometry.block_size
    return any(one.start < end and first < one.end for one in image.allocation.table.structures)
