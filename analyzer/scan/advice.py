"""What to do next: which leaf of a tree is the current state, and the command that makes a disk of it. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.linkage.matching import LinkState
from analyzer.linkage.mismatch import Evidence, Verdict
from analyzer.linkage.names import own_ending
from analyzer.linkage.record import Condition, Container, FileRecord
from analyzer.remedies import shell_command
from analyzer.scan.commands import (
    OutputNames,
    completing_command,
    has_no_front,
    inputs_of,
    is_damaged_inside,
    merge_command,
    recover_command,
)
from analyzer.scan.coverage import Weight
from analyzer.scan.forest import Forest, Member, Tree
from analyzer.scan.judging import is_left_behind, is_merging, was_put_away
from analyzer.text import listed, plural
from vhdx.findings import Severity
from vhdx.structures.constants import MAX_CHAIN_DEPTH

_REBUILDS = (
    "`vhdx recover` rebuilds what it can and writes what is left; `vhdx check` says whether a repair mends the file"
)
ONLY_LEAF = "it is the only leaf"
"""The reason of a tree that has one leaf."""
_VERDICTS = {
    Verdict.SAFE: "the evidence says that it is safe to take it",
    Verdict.MERGED: "it was fully merged into it, and reads the same upon it",
    Verdict.MERGE_INTERRUPTED: "a merge of it was interrupted, and nothing else shows a change; the command completes "
    "it in a new file, and both files are to be kept until that is checked; {into} completes it in its place",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do with one tree."""

    root: Path
    current: Path | None
    """The leaf that is the current state; None when no leaf can be told, as in a circle."""
    reason: str
    """Why that one."""
    steps: tuple[str, ...]
    """What to know and do, a sentence each."""
    mergeable: Path | None = None
    """The layer that `command` merges: the current leaf, or the newest state below it that can be read."""
    command: tuple[str, ...] = ()
    """The command, word by word; empty when there is nothing to merge, or nothing that can be."""
    recovery: tuple[str, ...] = ()
    """The command that makes a disk of what is left, where the chain of `current` is not whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What advice is drawn from."""

    forest: Forest
    evidence: Mapping[Path, Evidence]
    weights: Mapping[Path, Weight]
    used_by: Mapping[Path, str]
    """The name of the machine that has a file as its current disk."""
    is_taken: Callable[[Path], bool]
    """Whether an output of that name is there already."""

    def lost(self, path: Path) -> int:
        """Bytes of a file's disk that cannot be known."""
        return self.weights.get(path, Weight()).lost

    def was_merged(self, member: Member) -> bool:
        """Whether the parent in the tree has every sector that a file holds."""
        evidence = self.evidence.get(member.path)
        return member.parent is not None and evidence is not None and evidence.verdict is Verdict.MERGED

    def is_left_behind(self, tree: Tree, leaf: Member) -> bool:
        """Whether a leaf is a checkpoint that a backup left behind, or that was merged."""
        if leaf.link is None or leaf.parent is None:
            return False
        parent, evidence = tree.by_path[leaf.parent].record, self.evidence.get(leaf.path)
        if was_put_away(tree, leaf):
            return True
        return self.was_merged(leaf) or is_left_behind(leaf.record, parent, leaf.link, evidence)


def advise(known: Known) -> tuple[Advice, ...]:
    """The advice for each tree; a copy that nothing needs has none."""
    names = OutputNames(known.is_taken)
    spare = known.forest.spare
    # A file alone in its tree that is a copy of another one needs no command: whoever merges the other has its
    # content.
    trees = (tree for tree in known.forest.trees if len(tree.members) > 1 or tree.root.path not in spare)
    # A chain is also not whole where a file opens and has lost ranges: merging it is refused, recovering it is not.
    lossy = {path for path, weight in known.weights.items() if weight.lost}
    advice = [_with_recovery(known, tree, _advise(known, tree, names), names, lossy) for tree in trees]
    step = "if it is a VHDX whose front is damaged, `vhdx recover` rebuilds what it can and writes what is left"
    for record in known.forest.unplaced:
        if not (has_no_front(record) or is_damaged_inside(record)):
            # Something else, an archive or a page of the web: what its finding says of it is all there is to do.
            told = (f"{finding.message}: {finding.advice}" for finding in record.findings if finding.advice)
            advice += [Advice(root=record.path, current=None, reason="", steps=(one,)) for one in told]
            continue
        command = recover_command((record.path, *_chain_beside(known, record)), names)
        steps = (step,) if has_no_front(record) else (_flaw_of(record), _REBUILDS)
        advice.append(Advice(root=record.path, current=None, reason="", steps=steps, recovery=command))
    return tuple(advice)


def _with_recovery(known: Known, tree: Tree, advice: Advice, names: OutputNames, lossy: set[Path]) -> Advice:
    """The advice, with the command that recovers the current state where its chain is not whole."""
    if tree.root.record.container is Container.VHD:
        return advice  # nothing recovers a chain of them yet
    inputs = inputs_of(known.forest, tree, advice.current, lossy) if advice.current else ()
    if not inputs:
        return advice
    step = "what is left of the current state, with a map of what is lost and stale, `vhdx recover` writes"
    return replace(advice, steps=(*advice.steps, step), recovery=recover_command(inputs, names))


def _chain_beside(known: Known, record: FileRecord) -> tuple[Path, ...]:
    """The one chain in the folder of a file that cannot be read: a checkpoint may stand on it, an orphan on a base."""
    trees = [tree for tree in known.forest.trees if tree.root.path.parent == record.path.parent]
    if len(trees) != 1:
        return ()
    root = trees[0].root
    is_orphan = root.link is not None and root.link.state.is_missing
    if own_ending(record.path) != ".avhdx" and not is_orphan:
        return ()
    return tuple(member.path for member in trees[0].down_from(_current(known, trees[0])[0].path))


def _advise(known: Known, tree: Tree, names: OutputNames) -> Advice:
    leaf, reason = _current(known, tree)
    if len(tree.members) == 1 and tree.root.link is None:
        return Advice(root=tree.root.path, current=leaf.path, reason=reason, steps=tuple(_alone(known, leaf)))
    steps = list(_obstacles(known, tree, leaf.path))
    mergeable = None if steps else leaf
    if steps:
        mergeable = next((m for m in tree.down_from(leaf.path) if not any(_obstacles(known, tree, m.path))), None)
        if mergeable:
            steps.append(f"the newest state that can be read is {mergeable.path}: the command merges that one")
    steps += _others(known, tree, leaf)
    for merged in filter(known.was_merged, tree.members):
        alone = f"{merged.path} was fully merged into {merged.parent}, every sector of it was compared"
        use, does = "it is needed no more", "puts it away"
        if merged.children:
            use, does = "what was made upon it still needs it", "links that to the parent and puts it away"
        then = f"`{completing_command(merged)}` {does}"
        steps.append(f"{alone}: {use}; keep a copy until the machine has run; {then}")
    steps += _begun(tree)
    if leaf.parent is None and leaf.children:
        steps.append("it has no parent: there is nothing to merge")
        mergeable = None
    advice = Advice(root=tree.root.path, current=leaf.path, reason=reason, steps=tuple(steps))
    if mergeable is None or (mergeable is not leaf and mergeable.parent is None):
        return advice
    command = merge_command(known.forest, tree, mergeable.path, names.of(tree.root.path, "merged.vhdx"))
    steps = [*_doubts(known, tree, mergeable.path), *_newer(known, tree, mergeable), *steps]
    return replace(advice, steps=tuple(steps), mergeable=mergeable.path, command=command)


def _begun(tree: Tree) -> Iterator[str]:
    """Merges in place that were begun and not ended: the child names the parent's identity as its second one."""
    for member in tree.members:
        if is_merging(tree, member):
            goes_on = f"`{completing_command(member)}` goes on"
            yield f"a merge of {member.path} into {member.parent} was begun and is not finished: {goes_on}"


def _current(known: Known, tree: Tree) -> tuple[Member, str]:
    """The leaf that a machine runs on; else the one that was modified last, but none that a backup left behind."""
    leaves = [leaf for leaf in tree.leaves if leaf.path not in known.forest.spare] or list(tree.leaves)
    leaves = leaves or [tree.members[-1]]  # a circle has no leaf
    used = [leaf for leaf in leaves if leaf.path in known.used_by]
    left = [] if used else [leaf for leaf in leaves if known.is_left_behind(tree, leaf)]
    if left and len(left) < len(leaves):
        leaves = [leaf for leaf in leaves if leaf not in left]
    elif left:
        newest = max((_below(tree, leaf) for leaf in left if leaf.parent), key=_age)
        names = listed(Path(leaf.path.name) for leaf in left)
        if all(known.was_merged(leaf) or was_put_away(tree, leaf) for leaf in left):
            return newest, f"it already holds all that {names} holds"
        return newest, f"it was written to long after a backup made {names} and left it behind"
    if used:
        newest = max(used, key=_age)
        return newest, f"{known.used_by[newest.path]} runs on it"
    newest = max(leaves, key=_age)
    return newest, ONLY_LEAF if len(leaves) == 1 else "of the leaves it was modified last"


def _below(tree: Tree, leaf: Member) -> Member:
    """The file that a leaf which was left behind was made upon; of files that were put away the one below them."""
    return next((member for member in [*tree.down_from(leaf.path)][1:] if not was_put_away(tree, member)), tree.root)


def _age(member: Member) -> tuple[float, int, int, Path]:
    return member.record.modified, member.depth, member.record.sequence_number, member.path


def _alone(known: Known, leaf: Member) -> Iterator[str]:
    if leaf.record.condition is Condition.DAMAGED:
        yield leaf.record.flaw
        return
    listing = shell_command(["vhdx", "files", str(leaf.path)])
    yield f"it stands alone: there is nothing to merge; `{listing}` lists what is in it"
    files = known.forest.by_disk.get(leaf.record.disk_id, ()) if leaf.record.disk_id else ()
    if waiting := [record.path for record in files if known.forest.lacks_parent(record)]:
        yield f"of the same disk, and without their parent: {listed(waiting)}"
    if leaf.record.condition is Condition.LIVE:
        yield "its log is dirty: read it with these commands, which apply it, before you attach it anywhere"
    if lost := known.lost(leaf.path):
        yield f"{lost} bytes of it cannot be known: look for a whole copy"


def _obstacles(known: Known, tree: Tree, leaf: Path) -> Iterator[str]:
    """Why the chain below and with `leaf` cannot be merged, from the leaf down."""
    if tree.by_path[leaf].depth >= MAX_CHAIN_DEPTH:
        yield f"the chain of {leaf} has over {MAX_CHAIN_DEPTH} files, more than may be: merge its lower part first"
    for member in tree.down_from(leaf):
        record, link = member.record, member.link
        if record.flaw:
            yield _flaw_of(record)
        elif lost := known.lost(record.path):
            yield f"{lost} bytes of {record.path} cannot be known: look for a whole copy"
        if link and link.state is LinkState.MISMATCH:
            yield from _wrong(record.path, link.parent, known.evidence.get(record.path))
        if link and not link.state.joins:
            yield _broken(known.forest, record, link.state)
        parent = tree.by_path[member.parent].record if member.parent else record
        if parent.sector_size is not None and record.sector_size not in {None, parent.sector_size}:
            yield f"{record.path} and its parent count in different sectors: they cannot be one disk"


def _flaw_of(record: FileRecord) -> str:
    """What is wrong with a layer, without advice for the file alone: that would leave out the rest of its chain."""
    error = next((finding for finding in record.findings if finding.severity is Severity.ERROR), None)
    return f"{record.path}: {error}" if error and error.code != "FID-11" else record.flaw


def _wrong(child: Path, parent: Path | None, evidence: Evidence | None) -> Iterator[str]:
    if evidence is None:
        yield f"{child} and {parent} do not belong together, and why is not known"
    elif evidence.verdict is Verdict.WRONG_PARENT:
        yield f"{parent} is the wrong parent of {child}: look for the right one in more folders"


def _broken(forest: Forest, record: FileRecord, state: LinkState) -> str:
    if state is LinkState.LOOP:
        return f"the chain of {record.path} runs in a circle: look for another copy of one of its files"
    wanted = record.linkages[0] if record.linkages else "that it does not name"
    others = forest.of_same_disk(record)
    beside = f"; {others[0].path} is of the same disk, and what is missing may be between the two" if others else ""
    return (
        f"the parent of {record.path} is missing: look for the file with the identity {wanted} in more folders{beside}"
    )


def _doubts(known: Known, tree: Tree, leaf: Path) -> Iterator[str]:
    for member in tree.down_from(leaf):
        evidence = known.evidence.get(member.path)
        if member.link and member.link.state is LinkState.MISMATCH and evidence:
            newer = plural(evidence.doubtful_sectors, "sector")
            doubtful = f"doubtful, with {newer} that may be newer than the child; look for an older copy of it first"
            words = _VERDICTS.get(evidence.verdict, f"{doubtful}, the command reads the mixture")
            words = words.replace("{into}", _completing(tree, member))
            yield f"{member.link.parent} has changed since {member.path} was made: {words}"


def _completing(tree: Tree, member: Member) -> str:
    """What completes a merge by others in its place; before it what applies their logs, which no merge does unasked."""
    files = (tree.by_path.get(path) for path in (member.parent, member.path) if path)
    live = [one.path for one in files if one and one.record.condition is Condition.LIVE]
    logs = (f"`{shell_command(['vhdx', 'repair', str(path), '--in-place'])}`, then " for path in live)
    return f"{''.join(logs)}`{completing_command(member)}`"


def _newer(known: Known, tree: Tree, leaf: Member) -> Iterator[str]:
    """Files of the disk whose parent is missing: it is no parent of these, so they came later."""
    forest, root = known.forest, tree.root.record
    others = (other for other in forest.of_same_disk(root) if other.path not in forest.spare)
    if waiting := [other.path for other in others if forest.lacks_parent(other)]:
        text = f"{listed(waiting)}, of the same disk, without its parent, is likely newer"
        yield f"{text}: the merge of {leaf.path} gives an older state"
    # What is called a checkpoint, and could be: what it holds no scan can say.
    beside = (record for record in forest.unplaced if record.path.parent == leaf.path.parent and has_no_front(record))
    if torn := [record.path for record in beside if own_ending(record.path) == ".avhdx"]:
        text = f"{listed(torn)}, beside it, cannot be read and may be newer"
        yield f"{text}: then the merge of {leaf.path} gives an older state"


def _others(known: Known, tree: Tree, leaf: Member) -> Iterator[str]:
    others = [
        other.path
        for other in tree.leaves
        if other is not leaf and other.path not in known.forest.spare and not known.is_left_behind(tree, other)
    ]
    if others:
        yield f"other states of this disk, which merge the same way: {listed(others)}"
