"""A merge in place, carried out: each step is durable before the next, and the same call goes on after an interruption.

The parent's child first names the identity that the parent will have, so that it opens at any moment. What is written
to the parent lies under what the layers above hold, so that nothing of it shows until they are gone.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from analyzer.convert.model import parent_locator
from analyzer.merge.blocks import BlockMerger, held_by_block, read_ahead
from analyzer.merge.draining import Drain
from analyzer.merge.family import retired_name
from analyzer.merge.keep_old import write_old
from analyzer.merge.media import Media, in_place
from analyzer.merge.model import DRAINED_AT_ONCE, IntoOutcome, IntoPlan, Letting, Retire
from analyzer.merge.undoing import keeping
from analyzer.progress import Progress, no_progress
from vhdx.chain import Chain
from vhdx.disk_items import items_of_disk
from vhdx.edit.editor import Editor
from vhdx.edit.medium import Medium
from vhdx.edit.metadata import Key, content_of, key_of, locator_of, stage_items, stage_locator
from vhdx.edit.resizing import grow, shrink
from vhdx.structures import locator as keys
from vhdx.structures.constants import MIB, NIL
from vhdx.structures.disk import DiskParameters, build_disk_parameters
from vhdx.structures.metadata import BELONGS_TO_DISK, ITEM_FLAGS, MetadataItem
from vhdx.system import files

# A commit costs two flushes; what it makes durable at once bounds what a crash undoes, and what a full disk wants.
_BATCH, _PAGES = 64 * MIB, 100


def run_merge_into(
    plan: IntoPlan, chain: Chain, media: Media = in_place, progress: Progress = no_progress
) -> tuple[int, int]:
    """Merge, and link the files made upon the leaf to the parent; returns the bytes written and the parent's size.

    `chain` is the one that the plan was made of; its files are read meanwhile. Raises what reading, writing and
    Editor raise; the disk of the leaf is the same whenever that is, and the same call goes on.
    """
    for image in chain.layers[plan.layer :]:
        image.require_unchanged()  # a machine that runs writes every few seconds
    options = plan.options
    if options.keep_old and not options.keep_old.exists():
        write_old(chain, plan.layer, options.keep_old, plan.identity, progress)
    with _parent_of(plan, media) as parent, media(plan.sources[0]) as child:
        _announce(plan, child)
        identity = None if plan.is_resumed else plan.identity
        with Editor(parent, data_write_guid=identity) as editor:
            if plan.size > editor.geometry.size:
                below = chain.layers[plan.layer - 1].size if plan.layer else 0
                grow(editor, plan.size, zeros_until=below)
            merger = BlockMerger(editor, chain, compares=plan.is_resumed)
            with ExitStack() as stack:
                drain = _drain(plan, chain, media, child, stack) if plan.options.letting is Letting.DRAIN else None
                _merge_blocks(plan, chain, merger, progress, drain)
            _take_over_metadata(editor, chain)
            if plan.size < editor.geometry.size:
                shrink(editor, plan.size)
            editor.end()
        size = parent.size
    for path in plan.family.grandchildren:
        with media(path) as medium:
            _relink(medium, path, plan)
    return merger.written, size


def _parent_of(plan: IntoPlan, media: Media) -> AbstractContextManager[Medium]:
    """The parent's medium, which keeps what is written over where that is asked for."""
    undo = plan.options.undo
    return keeping(plan.parent, undo, plan.identity, media) if undo else media(plan.parent)


def _announce(plan: IntoPlan, child: Medium) -> None:
    """Have the child accept the identity that the parent will have."""
    with Editor(child) as editor:
        locator = locator_of(editor)
        pairs = dict(locator.pairs) if locator else {}
        if keys.parse_linkage(pairs.get(keys.LINKAGE2)) == plan.identity:
            return
        pairs[keys.LINKAGE2] = f"{{{plan.identity}}}"
        stage_locator(editor, pairs.items())
        editor.commit_whole()
        editor.end()


def _merge_blocks(plan: IntoPlan, chain: Chain, merger: BlockMerger, progress: Progress, drain: Drain | None) -> None:
    editor, told = merger.editor, 0
    block_size, batch = editor.geometry.block_size, DRAINED_AT_ONCE if drain else _BATCH

    def commit(upto: int) -> None:
        editor.commit()
        if drain:
            drain.let_go(upto)
        progress(told)

    for block, own in read_ahead(chain, held_by_block(chain, plan.layer, block_size, plan.size)):
        merger.merge(block, own)
        told += int(own.length.sum())
        if told >= batch or editor.session.staged >= _PAGES:
            commit((block + 1) * block_size)
            told = 0
    commit(plan.size)
    if drain:
        for one in drain.editors:
            one.end()


def _drain(plan: IntoPlan, chain: Chain, media: Media, child: Medium, stack: ExitStack) -> Drain:
    """Sessions of the files that let go, to be ended with the stack."""
    others = [stack.enter_context(media(path)) for path in plan.sources[1:]]
    editors = [stack.enter_context(Editor(medium)) for medium in (child, *others)]
    for editor in editors:
        for part in editor.room.free:  # also what an earlier run let go of, and was killed before it gave it back
            editor.session.medium.release(part)
    return Drain(chain, plan.layer, editors)


def _take_over_metadata(editor: Editor, chain: Chain) -> None:
    """Give the parent the leaf's items that belong to the disk, and drop its own ([MS-VHDX] 2.6.1.2); not the size."""
    wanted = {key_of(item): item for item in _items_of(chain, editor.parameters)}
    changed, dropped = [], list[Key]()
    for entry in editor.metadata.entries:
        if not entry.flags & BELONGS_TO_DISK:
            continue
        item = wanted.pop(key_of(entry), None)
        if item is None:
            dropped.append(key_of(entry))
        elif (item.flags, item.content) != (entry.flags, content_of(editor, entry)):
            changed.append(item)
    changed += wanted.values()
    if changed or dropped:
        stage_items(editor, changed, dropped)
        editor.commit_whole()


def _items_of(chain: Chain, now: DiskParameters) -> Iterator[MetadataItem]:
    leaf = chain.leaf.parameters
    disk = replace(leaf, block_size=now.block_size, flags=now.flags, size=now.size)
    for item_id, content in build_disk_parameters(disk).items():
        if ITEM_FLAGS[item_id] & BELONGS_TO_DISK:
            yield MetadataItem(item_id, ITEM_FLAGS[item_id], content)
    yield from items_of_disk(chain.leaf.structures)


def _relink(medium: Medium, path: Path, plan: IntoPlan) -> None:
    """Have a file made upon the leaf name the parent instead, at once and whole."""
    with Editor(medium) as editor:
        locator = locator_of(editor)
        pairs = dict(locator.pairs) if locator else {}
        for key in (keys.RELATIVE_PATH, keys.VOLUME_PATH, keys.ABSOLUTE_PATH):
            pairs.pop(key, None)
        if keys.LINKAGE2 in pairs:
            pairs[keys.LINKAGE2] = f"{{{NIL}}}"
        pairs |= dict(parent_locator(plan.parent, path, plan.identity))
        stage_locator(editor, pairs.items())
        editor.commit_whole()
        editor.end()


def retire(plan: IntoPlan) -> tuple[Path, ...]:
    """Rename the merged files, or remove them, the leaf last: until then the same command goes on. Returns the names.

    Raises InputOutputError.
    """
    kept = []
    for path in plan.sources:
        if plan.options.retire is Retire.DELETE:
            files.remove(path)
        else:
            kept.append(retired_name(path))
            if kept[-1] != path:
                files.rename(path, kept[-1])
    files.flush_folder(plan.sources[-1].parent)
    return tuple(kept)


def outcome_of(plan: IntoPlan, written: int, file_size: int, retired: tuple[Path, ...]) -> IntoOutcome:
    """What was done."""
    return IntoOutcome(
        parent=plan.parent,
        size=plan.size,
        written_bytes=written,
        file_size=file_size,
        relinked=plan.family.grandchildren,
        retired=retired,
    )
