"""The commands that make a disk of a chain: `vhdx merge` where it is whole, `vhdx recover` where it is not. Pure."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from analyzer.linkage.matching import LinkState
from analyzer.linkage.record import FileRecord
from analyzer.remedies import shell_command
from analyzer.scan.forest import Forest, Member, Tree
from vhdx.structures.constants import MIB

# Codes of files that do not begin like a VHDX, or end before their headers do: they may still be the newest layer.
_FRONT = {"FID-01", "FID-02"}
_STRUCTURES = ("HDR-", "REG-", "LOG-", "MET-")


def inputs_of(forest: Forest, tree: Tree, leaf: Path, lossy: set[Path]) -> tuple[Path, ...]:
    """What `vhdx recover` takes for the state of `leaf`, leaf first; nothing where its chain is whole.

    `lossy` are the files of which bytes cannot be known. Where a parent is missing, a chain that ends in a base of the
    same disk goes with it, if there is one alone: what is missing may stand between the two.
    """
    chain = tuple(tree.down_from(leaf))
    last = chain[-1]
    inputs = tuple(member.path for member in chain)
    if last.link is not None and last.link.state.is_missing:
        return (*inputs, *_base_chain(forest, tree, last.record))
    return inputs if any(member.record.flaw or member.path in lossy for member in chain) else ()


def _base_chain(forest: Forest, own: Tree, orphan: FileRecord) -> Iterator[Path]:
    """The files of the one other tree of the disk that ends in a base, from its newest leaf down."""
    files = forest.by_disk.get(orphan.disk_id, ()) if orphan.disk_id else ()
    found = {id(tree): tree for record in files if (tree := forest.tree_of.get(record.path)) and tree is not own}
    whole = [tree for tree in found.values() if tree.root.link is None and tree.root.path not in forest.spare]
    if len(whole) == 1 and whole[0].leaves:
        newest = max(whole[0].leaves, key=lambda leaf: (leaf.record.modified, leaf.depth, leaf.path))
        yield from (member.path for member in whole[0].down_from(newest.path))


def has_no_front(record: FileRecord) -> bool:
    """Whether a file that was taken for a VHDX, and does not begin like one, is large enough to be one all the same.

    What begins like an archive, or another program's image, is that: recovering it would refuse it for the same reason.
    """
    return record.file_size > MIB and any(
        finding.code in _FRONT and (not finding.advice or "vhdx recover" in finding.advice)
        for finding in record.findings
    )


def is_damaged_inside(record: FileRecord) -> bool:
    """Whether a file begins like a VHDX, and structures behind that are damaged."""
    return any(finding.code.startswith(_STRUCTURES) for finding in record.findings)


class OutputNames:
    """Names for outputs that nothing has yet, each given once: `is_taken` says which are there already."""

    def __init__(self, is_taken: Callable[[Path], bool]) -> None:
        self._is_taken = is_taken
        self._given: set[Path] = set()

    def of(self, source: Path, what: str) -> Path:
        """That of a source, in the working folder; `what` is the rest of the name."""
        stem = re.sub(r"[^\w.-]+", "_", source.stem, flags=re.ASCII).strip("._-") or "disk"
        number, (word, end) = 1, what.split(".")
        while (path := Path(f"{stem}-{word}{'' if number == 1 else f'-{number}'}.{end}")) in self._given or (
            self._is_taken(path)
        ):
            number += 1
        self._given.add(path)
        return path


def recover_command(inputs: Iterable[Path], names: OutputNames) -> tuple[str, ...]:
    """The words of the command that writes what is left of the disk of these files."""
    words = [_word(path) for path in inputs]
    return ("vhdx", "recover", *words, "-o", _word(names.of(Path(words[0]), "recovered.raw")))


def merge_command(forest: Forest, tree: Tree, leaf: Path, out: Path) -> tuple[str, ...]:
    """The words of the command that merges the chain of `leaf` to `out`, wherever its parents are now.

    Folders are named where identity decides; every parent outright where several files could be meant, or where one
    is taken in spite of its identity.
    """
    chain = list(tree.down_from(leaf))
    words = ["vhdx", "merge", _word(leaf), _word(out)]
    links = [(member, member.link) for member in chain if member.link and member.parent]
    accepted = any(link.state is LinkState.MISMATCH for _, link in links)
    moved = [(m.record, link.parent) for m, link in links if link.state is LinkState.BY_IDENTITY and link.parent]
    folders = dict.fromkeys(parent.parent for child, parent in moved if parent.parent != child.path.parent)
    is_ambiguous = False
    for child, _ in moved:  # several files with the identity wanted, where a merge would look
        wanted = (record for linkage in child.linkages for record in forest.by_identity.get(linkage, ()))
        found = {record.path for record in wanted if record is not child}
        is_ambiguous |= sum(path.parent in {child.path.parent, *folders} for path in found) > 1
    if accepted or is_ambiguous:
        for member in chain[1:]:
            words += ["--parent", _word(member.path)]
    else:
        for folder in folders:
            words += ["--search", _word(folder)]
    return (*words, "--on-mismatch", "accept") if accepted else tuple(words)


def completing_command(member: Member) -> str:
    """The line that completes in its place a merge of a file into its parent that was begun; a shell takes it."""
    words = ["vhdx", "merge", _word(member.path), "--into", _word(member.parent or member.path)]
    if member.link and member.link.state is LinkState.MISMATCH:
        words += ["--on-mismatch", "accept"]
    return shell_command(words)


def _word(path: Path) -> str:
    """A path as a word of a command line; one that begins with a dash would be taken for an option."""
    text = str(path)
    return f".{os.sep}{text}" if text.startswith("-") else text
