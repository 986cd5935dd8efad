"""Merged files let go of what is durable in the parent, block by block: for hosts without room."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vhdx.chain import Chain
from vhdx.edit.editor import Editor
from vhdx.structures.bat import STATE_MASK, BlockState
from vhdx.table import BlockTable

# Blocks whose entries are looked at together.
_AT_ONCE = 1 << 16


@dataclass
class Drain:
    """Lets go of blocks of the layers above layer `kept`, the lowest layer first.

    In this order: a layer that lets go shows the one below it, which must show what the parent has by then.
    """

    chain: Chain
    kept: int
    editors: Sequence[Editor]
    """Of the layers above `kept`, the lowest first."""
    _done: dict[int, int] = field(default_factory=dict)

    def let_go(self, upto: int) -> None:
        """Let go of the blocks that end before byte `upto` of the disk, up to which all is durable in the parent."""
        for number, editor in enumerate(self.editors, self.kept + 1):
            # No further than the layers below: what a larger block of one of them keeps would show.
            upto = self._let_go_of(editor, number, min(upto, self._limit(number)))

    def _limit(self, number: int) -> int:
        """Up to where the layers below one, of those that are merged, show what is below them and not zeros."""
        return min((layer.size for layer in self.chain.layers[self.kept + 1 : number]), default=self.chain.size)

    def _let_go_of(self, editor: Editor, number: int, upto: int) -> int:
        """Returns up to where the layer holds nothing any more."""
        geometry = editor.geometry
        is_all = upto >= min(geometry.size, self.chain.size)  # what is past the leaf's end nobody sees
        first, last = self._done.get(number, 0), geometry.block_count if is_all else upto // geometry.block_size
        for start in range(first, last, _AT_ONCE):
            for block in used_blocks(editor.table, start, min(last, start + _AT_ONCE)):
                editor.set_block(block, BlockState.NOT_PRESENT)
        self._done[number] = max(first, last)
        for part in editor.commit():
            editor.session.medium.release(part)
        return upto if is_all else min(upto, self._done[number] * geometry.block_size)


def used_blocks(table: BlockTable, first: int, last: int) -> list[int]:
    """The blocks from `first` up to `last`, exclusive, that are not absent."""
    if first >= last:
        return []
    blocks = np.arange(first, last, dtype=np.int64)
    slots = blocks + blocks // table.geometry.chunk_ratio
    entries = table.entries(int(slots[0]), int(slots[-1] - slots[0]) + 1)[slots - slots[0]]
    used: list[int] = blocks[entries & STATE_MASK != BlockState.NOT_PRESENT].tolist()
    return used
