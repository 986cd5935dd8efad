"""Another size: of a file in its place, or of a disk that is written as a new one."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from analyzer.convert.disks import OverlaidDisk, laid
from analyzer.merge.family import children_beside
from analyzer.merge.media import Media, in_place
from analyzer.merge.plan import require_sound
from analyzer.resize.plan import Pieces, ResizePlan
from vhdx.disk import DiskSource
from vhdx.edit.editor import Editor, tidy
from vhdx.edit.resizing import grow, needed_slots, shrink
from vhdx.errors import OutputError
from vhdx.geometry import bat_region_size
from vhdx.identities import Identities, random_identities
from vhdx.image import Image
from vhdx.ranges import Range
from vhdx.source import MemorySource
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import MIB


def require_resizable(image: Image) -> None:
    """Raise OutputError for a file of which Windows says 0xC03A0017 afterwards: a child, or one that has children.

    Raises CorruptFileError for a damaged one.
    """
    others = children_beside(image)
    if image.has_parent or others:
        what = (
            "it is a checkpoint, and its parent would keep its size"
            if image.has_parent
            else f"{others[0]} stands on it"
        )
        reason = f"{what} (to Windows: 0xC03A0017, parent and child of different sizes)"
        raise OutputError(image.path, reason, "merge the chain first, and resize what comes of it")
    require_sound(image)


def run_resize(
    path: Path, plan: ResizePlan, media: Media = in_place, identities: Identities = random_identities
) -> int:
    """Carry out a plan for a file, in its place; returns the file's size. Raises what Editor and the medium raise.

    Whenever that is, the file is whole, of one size or the other, and the same plan goes on.
    """
    with media(path) as medium:
        tidy(medium)
        with Editor(medium, data_write_guid=identities("data_write_guid")) as editor, editor.clearing():
            if plan.size > editor.geometry.size:
                grow(editor, plan.size)
            write_pieces(editor, plan.pieces)
            if plan.size < editor.geometry.size:
                shrink(editor, plan.size)
            editor.end(editor.clear_free())
        return medium.size


def needed_bytes(image: Image, plan: ResizePlan) -> int:
    """Room that the host may have to find for a change in place: a larger table, new blocks, and its log."""
    size, new = image.geometry.block_size, replace(image.geometry, size=plan.size)
    table = bat_region_size(needed_slots(new, has_parent=image.has_parent))
    blocks = {part.start // size for start, data in plan.pieces for part in _by_block(Range(start, len(data)), size)}
    added = new.block_count - image.geometry.block_count if image.parameters.is_fixed else len(blocks)
    return table * (table > image.table.bat_length) + max(0, added) * size + MIB


def write_pieces(editor: Editor, pieces: Pieces) -> None:
    """Write bytes of the disk of a file without parent, each piece durable before the next."""
    size = editor.geometry.block_size
    for start, data in pieces:
        for part in _by_block(Range(start, len(data)), size):
            _put(editor, part, data[part.start - start : part.end - start])
        editor.commit()


def _by_block(part: Range, size: int) -> list[Range]:
    edges = [part.start, *range(part.start // size * size + size, part.end, size), part.end]
    return [Range.between(*edge) for edge in pairwise(edges)]


def _put(editor: Editor, part: Range, data: bytes) -> None:
    size = editor.geometry.block_size
    block = part.start // size
    entry = editor.entry(block)
    if entry.state.holds_data:
        editor.session.grow(entry.file_offset + size)  # the last block may be cut off at the disk's end
        editor.session.write(entry.file_offset + part.start - block * size, data)
        return
    place = editor.allocate_zeros(size)
    editor.session.write(place.start + part.start - block * size, data)
    editor.set_block(block, BlockState.FULLY_PRESENT, place.start)


def resized(disk: DiskSource, plan: ResizePlan) -> DiskSource:
    """The disk with the plan's size and pieces, zeros where it is new."""
    size = max(plan.size, plan.size_before)
    table, content = laid(dict(plan.pieces), size)
    return OverlaidDisk(disk, table, MemorySource(content, Path("partition table")), plan.size)
