"""Making a file smaller in its place: what goes, what moves, and the cut, each durable before the next.

The disk reads the same at every moment, but for what its volumes call free where that goes too.
"""

from uuid import UUID

from analyzer.compact.model import CompactPlan, Move
from analyzer.merge.media import Media, in_place
from analyzer.progress import Progress, no_progress
from vhdx.edit.editor import Editor, tidy
from vhdx.edit.metadata import move_region
from vhdx.identities import Identities, random_identities
from vhdx.ranges import Range
from vhdx.source import read_at
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import MIB, SECTOR_BITMAP_SIZE

_PIECE = MIB
_AT_ONCE = 1024
"""Entries of one commit: they may fill as many pages."""


def run_compaction(
    plan: CompactPlan,
    media: Media = in_place,
    progress: Progress = no_progress,
    identities: Identities = random_identities,
) -> int:
    """Carry out a plan; returns the file's size. Raises what reading, writing and Editor raise.

    Whenever that is, the file is whole, and a new plan goes on.
    """
    identity: UUID | None = identities("data_write_guid") if plan.changes_content else None
    with media(plan.path) as medium:
        tidy(medium)  # the plan was made with what its log holds
        with Editor(medium, data_write_guid=identity) as editor, editor.clearing():
            _let_go(editor, plan)
            for step in plan.moves:
                for move in step:
                    _move(editor, move)
                    progress(move.length)
                editor.commit()
            editor.end(editor.clear_free())
        return medium.size


def _let_go(editor: Editor, plan: CompactPlan) -> None:
    """Free the places of blocks and bitmaps that go."""
    geometry, zeros = editor.geometry, set(plan.zeros)
    for number, block in enumerate((*plan.gone, *plan.zeros), 1):
        place = Range(editor.entry(block).file_offset, geometry.block_size)
        editor.clear_slot(geometry.payload_slot(block), place)
        if block in zeros:  # with the same commit: between two the parent would show
            editor.set_block(block, BlockState.ZERO)
        if number % _AT_ONCE == 0:
            editor.commit()
    editor.commit()
    for chunk in plan.bitmaps:  # after the entries that needed them
        place = Range(editor.table.bitmap_entry(chunk).file_offset, SECTOR_BITMAP_SIZE)
        editor.clear_slot(geometry.bitmap_slot(chunk), place)
    editor.commit()


def _move(editor: Editor, move: Move) -> None:
    if isinstance(move.owner, UUID):
        move_region(editor, move.owner, move.target)
        return
    for part in Range(0, move.length).pieces(_PIECE):
        held = max(0, min(part.length, editor.session.size - move.start - part.start))  # the last block may be cut off
        editor.session.write(move.target + part.start, read_at(editor.session, move.start + part.start, held))
    editor.move_slot(move.owner, move.target)
