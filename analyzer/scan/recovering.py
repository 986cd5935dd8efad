"""The command that recovers a disk whose chain is not whole: which files go into it. Pure."""

from collections.abc import Iterator
from pathlib import Path

from analyzer.linkage.matching import LinkState
from analyzer.linkage.record import FileRecord
from analyzer.scan.forest import Forest, Tree
from vhdx.structures.constants import MIB

_GONE = {LinkState.MISSING, LinkState.STRANGER}
_NAMES = {".vhdx", ".avhdx"}
# Codes of files that do not begin like a VHDX, or end before their headers do: they may still be the newest layer.
_FRONT = {"FID-01", "FID-02"}


def inputs_of(forest: Forest, tree: Tree, leaf: Path, lossy: set[Path]) -> tuple[Path, ...]:
    """What `vhdx recover` takes for the state of `leaf`, leaf first; nothing where its chain is whole.

    `lossy` are the files of which bytes cannot be known. Where a parent is missing, a chain that ends in a base of the
    same disk goes with it, if there is one alone: what is missing may stand between the two.
    """
    chain = tuple(tree.down_from(leaf))
    last = chain[-1]
    gone = last.link is not None and last.link.state in _GONE
    if not gone and not any(member.record.flaw or member.path in lossy for member in chain):
        return ()
    inputs = [member.path for member in chain]
    return (*inputs, *_base_chain(forest, tree, last.record)) if gone else tuple(inputs)


def _base_chain(forest: Forest, own: Tree, orphan: FileRecord) -> Iterator[Path]:
    """The files of the one other tree of the disk that ends in a base, from its newest leaf down."""
    kin = forest.by_disk.get(orphan.disk_id, ()) if orphan.disk_id else ()
    found = {id(tree): tree for record in kin if (tree := forest.tree_of.get(record.path)) and tree is not own}
    whole = [tree for tree in found.values() if tree.root.link is None and tree.root.path not in forest.spare]
    if len(whole) == 1 and whole[0].leaves:
        newest = max(whole[0].leaves, key=lambda leaf: (leaf.record.modified, leaf.depth, leaf.path))
        yield from (member.path for member in whole[0].down_from(newest.path))


def has_no_front(record: FileRecord) -> bool:
    """Whether a file that is called a VHDX, and does not begin like one, is large enough to be one all the same."""
    is_front = any(finding.code in _FRONT for finding in record.findings)
    return is_front and record.path.suffix.lower() in _NAMES and record.file_size > MIB
