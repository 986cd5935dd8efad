"""The plan of making a file smaller: which blocks nothing needs, and where the others go."""

from collections.abc import Iterator

import numpy as np

from analyzer.compact.free import FreeSpace
from analyzer.compact.model import CompactPlan, Fate, Move
from analyzer.merge.plan import require_sound
from analyzer.progress import Progress, no_progress
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.edit.room import Room
from vhdx.errors import LostDataError, OutputError
from vhdx.image import Image
from vhdx.ranges import Range, Ranges
from vhdx.structures.bat import OFFSET_SHIFT, STATE_MASK, BatEntry, BlockState
from vhdx.structures.constants import BAT_REGION, METADATA_REGION, MIB, SECTOR_BITMAP_SIZE

_PIECE = MIB
_PLACELESS = (BlockState.NOT_PRESENT, BlockState.ZERO)
# Bytes that are moved before the places that they leave can be used again: a commit costs two flushes.
_STEP = 256 * MIB


def plan_compaction(chain: Chain, free: FreeSpace | None = None, progress: Progress = no_progress) -> CompactPlan:
    """What the leaf of a chain becomes; `free` is what volumes call free and may go too.

    Progress counts bytes of blocks that were looked at. Raises OutputError for a fixed file, CorruptFileError for a
    damaged one, and what reading raises.
    """
    image, free = chain.leaf, free or FreeSpace()
    if image.parameters.is_fixed and not image.has_parent:
        reason = "it is fixed, and keeps the room of every block"
        raise OutputError(image.path, reason, "write a dynamic one with `vhdx convert`")
    require_sound(image)
    fates = {block: _fate(chain, block, entry, free.ranges, progress) for block, entry in held_blocks(image)}
    gone = tuple(block for block, fate in fates.items() if fate is Fate.GOES)
    zeros = tuple(block for block, fate in fates.items() if fate is Fate.ZEROS)
    room = Room.of(image.table, image.file.size)
    for block in (*gone, *zeros):
        room.give(_place(image, block))
    bitmaps = tuple(_unneeded_bitmaps(image, {*gone, *zeros}))
    for chunk in bitmaps:
        room.give(Range(image.table.bitmap_entry(chunk).file_offset, SECTOR_BITMAP_SIZE))
    room.settle()
    stay = [block for block, fate in fates.items() if fate is Fate.STAYS]
    moves = tuple(_moves(room, sorted(_movable(image, stay, bitmaps), key=lambda one: -one.start)))
    return CompactPlan(
        path=image.path,
        file_size=image.file.size,
        size_after=min(room.cut(), image.file.size),
        gone=gone,
        zeros=zeros,
        bitmaps=bitmaps,
        moves=moves,
        volumes=free.volumes,
        changes_content=bool(len(free.ranges) and (gone or zeros)),
    )


def held_blocks(image: Image) -> Iterator[tuple[int, BatEntry]]:
    """The blocks that have a place in the file, kept ones of trimmed blocks too, with their entries.

    A place in an entry that says "nothing" or "zeros" is none: it may be another block's by now.
    """
    period = image.geometry.chunk_ratio + 1
    for first, entries in image.table.used_entries():
        has_place = (entries >> OFFSET_SHIFT > 0) & ~np.isin(entries & STATE_MASK, _PLACELESS)
        slots = first + np.flatnonzero(has_place)
        for slot in slots[(slots + 1) % period != 0].tolist():
            block = slot - slot // period
            if block < image.geometry.block_count:
                yield block, image.table.payload_entry(block)


def _fate(chain: Chain, block: int, entry: BatEntry, free: Ranges, progress: Progress) -> Fate:
    """What becomes of a block. What cannot be read stays: whoever has a better copy may still need its place."""
    has_parent = len(chain.layers) > 1
    if not entry.state.holds_data:  # a trimmed one that keeps its place, for nothing
        return Fate.ZEROS if has_parent else Fate.GOES
    below = chain.upto(len(chain.layers) - 2) if has_parent else None
    size = chain.leaf.geometry.block_size
    is_same = is_zeros = True
    for piece in Range.between(block * size, min((block + 1) * size, chain.size)).pieces(_PIECE):
        try:
            mine, theirs = _known(chain, piece, free), _known(below, piece, free) if below else None
        except LostDataError:
            return Fate.STAYS
        is_zeros &= not mine.any()
        is_same &= bool((mine == theirs).all()) if theirs is not None else is_zeros
        if not (is_zeros or is_same):
            return Fate.STAYS
        progress(piece.length)
    return Fate.GOES if is_same else Fate.ZEROS


def _known(disk: Disk, piece: Range, free: Ranges) -> np.ndarray:
    """The bytes of a piece of a disk, zeros where nobody misses them, and past the disk's end."""
    data = np.zeros(piece.length, dtype=np.uint8)
    read = np.frombuffer(disk.read(piece.start, piece.length), dtype=np.uint8)
    data[: len(read)] = read
    for part in free.within(piece):
        data[part.start - piece.start : part.end - piece.start] = 0
    return data


def _place(image: Image, block: int) -> Range:
    return Range(image.table.payload_entry(block).file_offset, image.geometry.block_size)


def _unneeded_bitmaps(image: Image, gone: set[int]) -> Iterator[int]:
    """The chunks with a sector bitmap none of whose blocks is partial any more."""
    for chunk in range(image.geometry.chunk_count) if image.has_parent else ():
        if not image.table.bitmap_entry(chunk).state.holds_data:
            continue
        first = chunk * image.geometry.chunk_ratio
        blocks = range(first, min(first + image.geometry.chunk_ratio, image.geometry.block_count))
        states = (image.table.payload_entry(block).state for block in blocks if block not in gone)
        if BlockState.PARTIALLY_PRESENT not in states:
            yield chunk


def _movable(image: Image, blocks: list[int], dropped: tuple[int, ...]) -> Iterator[Move]:
    """Everything that stays and can be moved; its target is where it is."""
    for block in blocks:
        start, length = _place(image, block)
        yield Move(image.geometry.payload_slot(block), start, start, length)
    for chunk in range(image.geometry.chunk_count) if image.has_parent else ():
        entry = image.table.bitmap_entry(chunk)
        if entry.state.holds_data and chunk not in dropped:
            place = entry.file_offset
            yield Move(image.geometry.bitmap_slot(chunk), place, place, SECTOR_BITMAP_SIZE)
    # A table that a disk outgrew is at the end of the file. Other regions are unknown, or have a log of their own.
    for region in image.regions.current.entries:
        if region.guid in (BAT_REGION, METADATA_REGION):
            yield Move(region.guid, region.file_offset, region.file_offset, region.length)


def _moves(room: Room, waiting: list[Move]) -> Iterator[tuple[Move, ...]]:
    """Steps that fill gaps with what is farthest back; nothing is moved to a place before it is free for good."""
    while waiting:
        step, bytes_moved = list[Move](), 0
        while waiting and bytes_moved < _STEP:
            one = waiting[0]
            place = room.take_below(one.length, one.start)
            if place is None:
                break
            waiting.pop(0)
            step.append(one._replace(target=place))
            room.give(Range(one.start, one.length))
            bytes_moved += one.length
        if not step:  # what is farthest back has no room before it: what is before it may, but cuts nothing off
            return
        room.settle()
        yield tuple(step)
