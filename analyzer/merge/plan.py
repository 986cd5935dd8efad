"""The plan of a merge in place: what will be written where, what that takes, and what speaks against it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from analyzer.convert.cells import require_known
from analyzer.linkage.mismatch import Verdict, gather_evidence
from analyzer.linkage.own_sectors import Effort
from analyzer.merge.blocks import held_by_block
from analyzer.merge.family import find_family, retired_name
from analyzer.merge.keep_old import bytes_of_old, identity_of_old
from analyzer.merge.model import DRAINED_AT_ONCE, Family, IntoOptions, IntoPlan, Letting, Retire, Siblings
from analyzer.merge.undoing import identity_of_undo
from vhdx.chain import Chain
from vhdx.disk_items import items_of_disk
from vhdx.edit.resizing import needed_slots
from vhdx.errors import CorruptFileError, LostDataError, MergeRefusedError
from vhdx.geometry import Geometry, bat_region_size
from vhdx.identities import Identities, random_identities
from vhdx.image import Image
from vhdx.runs import Kind, RunTable
from vhdx.source import file_identity
from vhdx.structures.bat import ENTRY_SIZE, BlockState
from vhdx.structures.constants import MIB, SECTOR_BITMAP_SIZE
from vhdx.system import files

# What sessions and a moved metadata region take beside blocks, bitmaps and the table.
_SPARE = 2 * MIB
HOST_PAGE = 4096
"""What most file systems give room by."""
_ZEROS = {BlockState.ZERO, BlockState.UNMAPPED, BlockState.UNDEFINED}


def plan_merge_into(
    chain: Chain,
    parent: Path,
    options: IntoOptions,
    identities: Identities = random_identities,
    find: Callable[[Chain, int], Family] = find_family,
) -> IntoPlan:
    """Look at everything that could refuse the merge of what is above `parent` into it, and forecast its room.

    `find` looks for other files that are concerned.
    Raises MergeRefusedError, NoSuchLayerError, NoSpaceError, CorruptFileError, LostDataError.
    """
    layer = chain.layer_of(parent)
    if layer == len(chain.layers) - 1:
        raise MergeRefusedError(parent, f"it is {chain.path} itself", "name one of its parents, `vhdx info` lists them")
    lower, base = chain.layers[layer + 1], chain.layers[layer]
    require_sound(base)
    _require_names(chain, layer, options)
    if options.letting is Letting.DRAIN and not files.takes_room_back(chain.path.parent):
        reason = f"room in the middle of {chain.path} cannot be given back to its file system here, as --drain would"
        raise MergeRefusedError(base.path, reason, "merge without --drain, or to a new file")
    items_of_disk(chain.leaf.structures)  # raises for more than can be taken over
    _require_linked(chain, layer)
    family = _without(find(chain, layer), options.keep_old)
    if family.siblings and options.siblings is Siblings.REFUSE:
        raise MergeRefusedError(
            base.path,
            f"{family.siblings[0]} was made upon a file that the merge changes or takes away, and would show a mixture",
            "merge to a new file instead, delete that file first, or go on with --accept-siblings",
        )
    _require_undoable(base, family, options)
    identity = _identity(chain, layer, options) or identities("data_write_guid")
    old = options.keep_old
    old_bytes = bytes_of_old(chain, layer) if old and not old.exists() else 0
    count = _counted(chain, layer)
    needed = count.needed_for(options.letting) + old_bytes + (count.held if options.undo else 0)
    require_room(base.path, needed, options)
    return IntoPlan(
        parent=base.path,
        layer=layer,
        sources=tuple(image.path for image in chain.layers[layer + 1 :]),
        size=chain.size,
        size_before=base.size,
        identity=identity,
        is_resumed=is_begun(lower, base),
        held_bytes=count.held,
        claimed_bytes=count.claimed,
        old_bytes=old_bytes,
        new_blocks=count.blocks,
        grows_by=count.growth,
        needed_bytes=needed,
        family=family,
        options=options,
    )


def _identity(chain: Chain, layer: int, options: IntoOptions) -> UUID | None:
    """The identity that an interrupted run has chosen for the parent; None where there was none.

    Raises MergeRefusedError where what is to be kept is partly written over already, UndoRefusedError.
    """
    base, lower = chain.layers[layer], chain.layers[layer + 1]
    kept = [identity_of_old(options.keep_old, chain, layer)] if options.keep_old else []
    kept += [identity_of_undo(options.undo, base.path, base.data_write_guid)] if options.undo else []
    if not is_begun(lower, base):
        return next((identity for identity in kept if identity), None)
    if None in kept:
        reason = "a merge into it was begun, so that its old state is not whole any more"
        raise MergeRefusedError(base.path, reason, "go on without --keep-old and --undo")
    return base.data_write_guid


def _require_undoable(base: Image, family: Family, options: IntoOptions) -> None:
    """Refuse an undo file where more changes than the parent."""
    goes = options.letting is Letting.DRAIN or options.retire is Retire.DELETE
    if options.undo and (family.grandchildren or goes):
        reason = "the merged files go" if goes else f"{family.grandchildren[0]} is linked anew"
        raise MergeRefusedError(base.path, f"{reason}, which --undo cannot take back", "leave out --undo")


def _without(family: Family, old: Path | None) -> Family:
    """The family without the file that keeps the parent's old state, which is made for the merged parent."""
    known = file_identity(old) if old else None
    others = (path for path in family.siblings if known is None or file_identity(path) != known)
    return replace(family, siblings=tuple(others))


def is_begun(child: Image, parent: Image) -> bool:
    """Whether a merge into the parent is under way: the child's second linkage, and not its first, is the parent's.

    That is what the merge writes before the parent's identity changes, so that the child opens at any moment.
    """
    linkages = child.locator.linkages if child.locator else ()
    return parent.data_write_guid not in linkages[:1]


def _require_linked(chain: Chain, layer: int) -> None:
    """Refuse a chain of files that do not fit, but for a parent into which a merge was begun by others."""
    for number, (link, child) in enumerate(zip(chain.links, chain.layers[1:], strict=True)):
        if number < layer or link.matches:
            continue
        evidence = gather_evidence(child, link.parent, effort=Effort.WHOLE)
        if number > layer or evidence.verdict not in {Verdict.MERGED, Verdict.MERGE_INTERRUPTED}:
            reason = f"{link.parent.path} is not the file that {child.path} was made from ({evidence})"
            raise MergeRefusedError(chain.layers[layer].path, reason, "merge to a new file instead, and check that")


def _counted(chain: Chain, layer: int) -> "_Count":
    """What is to be merged, and what the parent's file lacks for it; raises as reading would at what is lost."""
    base = chain.layers[layer]
    count = _Count(base, chain.size)
    for table in require_known(chain, chain.windows_above(layer + 1)):
        count.held += table.bytes_of(Kind.DATA)
        count.claimed += int(table.length.sum()) - table.bytes_of(Kind.HOLE)
    for block, own in held_by_block(chain, layer, base.geometry.block_size, chain.size):
        count.add(block, own)
    return count


def needed_now(chain: Chain, layer: int, options: IntoOptions) -> int:
    """Bytes that the rest of a merge that was begun needs at most."""
    return _counted(chain, layer).needed_for(options.letting)


def require_room(parent: Path, needed: int, options: IntoOptions) -> None:
    """Refuse a merge for which the parent's file system has less than `needed` bytes free."""
    free = shutil.disk_usage(parent.parent).free
    if free >= needed:
        return
    advice = "make room, or merge to a new file on another disk"
    if options.letting is Letting.KEEP:
        advice = "make room, or have the merged files give theirs back on the way with --drain"
    reason = f"it needs up to {needed} bytes and {free} are free there, {needed - free} too few"
    raise MergeRefusedError(parent, reason, advice)


def _require_names(chain: Chain, layer: int, options: IntoOptions) -> None:
    """Refuse where a merged file would get a name that another one has."""
    for image in chain.layers[layer + 1 :] if options.retire is Retire.RENAME else ():
        name = retired_name(image.path)
        if name != image.path and name.exists():
            advice = "move that file away, or have the merged ones removed with --delete"
            raise MergeRefusedError(chain.layers[layer].path, f"{name} exists already", advice)


def require_sound(base: Image) -> None:
    """Refuse a parent with blocks that cannot be read whole, or that keep places of each other."""
    for start, length in (part for mask in base.masks for part in mask.ranges):
        # What the file holds without an owner may be just this: new blocks would be written over it.
        raise LostDataError(base.path, start, length, base.why_lost(start))
    for blocks in base.table.damaged_blocks():
        if len(blocks):
            raise CorruptFileError(base.path, next(base.table.flaws_of_block(int(blocks[0]))))
    slot = next(base.table.colliding_anchors(), None)
    if slot is not None:
        reason = f"entry {slot} of its block table keeps a place that another one has"
        raise MergeRefusedError(base.path, reason, "merge to a new file instead")


class _Count:
    """What a parent's file lacks for the blocks that come."""

    def __init__(self, base: Image, size: int) -> None:
        self._base, self._geometry = base, Geometry(size, base.geometry.block_size, base.sector_size)
        self.held = self.claimed = self.blocks = self.runs = self.new_held = 0
        self._bitmaps = set[int]()
        self._fixed = 0
        if base.parameters.is_fixed and not base.has_parent:
            self._fixed = max(0, self._geometry.block_count - base.geometry.block_count)

    def add(self, block: int, own: RunTable) -> None:
        is_zeros = not own.bytes_of(Kind.DATA)
        is_whole = int(own.length.sum()) == self._geometry.bytes_of_block(block)
        state, ratio = self._state(block), self._geometry.chunk_ratio
        if state.holds_data or (is_zeros and (is_whole or self._reads_zeros(state))):
            return
        self.blocks += 1
        self.runs += len(own)
        self.new_held += own.bytes_of(Kind.DATA)
        if self._base.has_parent and not is_whole and not self._has_bitmap(block // ratio):
            self._bitmaps.add(block // ratio)

    def _state(self, block: int) -> BlockState:
        if block >= self._base.geometry.block_count:
            return BlockState.FULLY_PRESENT if self._fixed else BlockState.NOT_PRESENT
        return self._base.table.payload_entry(block).state

    def _reads_zeros(self, state: BlockState) -> bool:
        return state in _ZEROS or not self._base.has_parent

    def _has_bitmap(self, chunk: int) -> bool:
        return chunk < self._base.geometry.chunk_count and self._base.table.bitmap_entry(chunk).state.holds_data

    @property
    def growth_of_structures(self) -> int:
        """Bytes that the file grows by at most, blocks aside."""
        needed = needed_slots(self._geometry, has_parent=self._base.has_parent)
        table = bat_region_size(needed) if needed * ENTRY_SIZE > self._base.table.bat_length else 0
        return table + len(self._bitmaps) * SECTOR_BITMAP_SIZE + _SPARE

    @property
    def growth(self) -> int:
        """Bytes that the file grows by at most."""
        return (self.blocks + self._fixed) * self._geometry.block_size + self.growth_of_structures

    @property
    def needed(self) -> int:
        """Bytes that the file system must have free."""
        if not files.keeps_holes(self._base.path.parent):
            return self.growth
        # What is never written of a block takes no room there; of each run at most two pages are begun.
        return min(self.growth, self.new_held + 2 * HOST_PAGE * self.runs + self.growth_of_structures)

    def needed_for(self, letting: Letting) -> int:
        """Bytes that the file system must have free, where the merged files may let go of theirs on the way."""
        if letting is Letting.KEEP:
            return self.needed
        block_size = self._geometry.block_size
        return min(self.needed, self.growth_of_structures + 2 * max(DRAINED_AT_ONCE, block_size))
