"""A merge in place, carried out: each step is durable before the next, and the same call goes on after an interruption.

The parent's child first names the identity that the parent will have, so that it opens at any moment. What is written
to the parent lies under what the layers above hold, so that nothing of it shows until they are gone.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from analyzer.convert.model import parent_locator
from analyzer.merge.blocks import BlockMerger, held_by_block
from analyzer.merge.family import retired_name
from analyzer.merge.model import IntoOutcome, IntoPlan, Retire
from analyzer.progress import Progress, no_progress
from vhdx.chain import Chain
from vhdx.disk_items import items_of_disk
from vhdx.edit.editor import Editor
from vhdx.edit.medium import Medium
from vhdx.edit.metadata import Key, content_of, key_of, locator_of, stage_items, stage_locator
from vhdx.edit.resizing import grow, shrink
from vhdx.in_place import open_edited
from vhdx.structures import locator as keys
from vhdx.structures.constants import MIB, NIL
from vhdx.structures.disk import DiskParameters, build_disk_parameters
from vhdx.structures.metadata import BELONGS_TO_DISK, ITEM_FLAGS, MetadataItem
from vhdx.system import files

Media = Callable[[Path], AbstractContextManager[Medium]]
"""Opens a file to be changed in its place."""

# A commit costs two flushes; what it makes durable at once bounds what a crash undoes, and what a full disk wants.
_BATCH, _PAGES = 64 * MIB, 100


@contextmanager
def in_place(path: Path) -> Iterator[Medium]:
    """The file itself, locked meanwhile; raises OutputError, InputOutputError."""
    with open_edited(path) as medium:
        yield medium


def run_merge_into(
    plan: IntoPlan, chain: Chain, media: Media = in_place, progress: Progress = no_progress
) -> tuple[int, int]:
    """Merge, and link the files made upon the leaf to the parent; returns the bytes written and the parent's size.

    `chain` is the one that the plan was made of; its files are read meanwhile. Raises what reading, writing and
    Editor raise; the disk of the leaf is the same whenever that is, and the same call goes on.
    """
    with media(plan.parent) as parent, media(plan.sources[0]) as child:
        _announce(plan, child)
        identity = None if plan.is_resumed else plan.identity
        with Editor(parent, data_write_guid=identity) as editor:
            if plan.size > editor.geometry.size:
                below = chain.layers[plan.layer - 1].size if plan.layer else 0
                grow(editor, plan.size, zeros_until=below)
            merger = BlockMerger(editor, chain, compares=plan.is_resumed)
            _merge_blocks(plan, chain, merger, progress)
            _take_over_metadata(editor, chain)
            if plan.size < editor.geometry.size:
                shrink(editor, plan.size)
            editor.end()
        size = parent.size
    for path in plan.family.grandchildren:
        with media(path) as medium:
            _relink(medium, path, plan)
    return merger.written, size


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


def _merge_blocks(plan: IntoPlan, chain: Chain, merger: BlockMerger, progress: Progress) -> None:
    editor, before, told = merger.editor, 0, 0
    for block, own in held_by_block(chain, plan.layer, editor.geometry.block_size, plan.size):
        merger.merge(block, own)
        told += int(own.length.sum())
        if merger.written - before >= _BATCH or editor.session.staged >= _PAGES or told >= _BATCH:
            editor.commit()
            progress(told)
            before, told = merger.written, 0
    editor.commit()
    progress(told)


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
