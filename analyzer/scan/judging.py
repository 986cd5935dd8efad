"""What is wrong, or worth knowing, in a forest: findings that need more than one file, or what is beside it. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from analyzer.linkage.matching import Link, LinkState
from analyzer.linkage.mismatch import Evidence, Verdict
from analyzer.linkage.record import Bearing, Container, FileRecord, compare_with_parent
from analyzer.scan.commands import completing_command
from analyzer.scan.find import FoundFile
from analyzer.scan.forest import Forest, Member, Tree
from analyzer.text import MOST_LISTED, listed
from vhdx.findings import Finding, Severity
from vhdx.structures.constants import MAX_CHAIN_DEPTH

# Seconds by which a parent may be newer than its child: a checkpoint is not made in an instant, nor is a copy.
# No genuine chain was seen with more than seconds between the two. The finding is a note of suspicion, never a proof,
# so the number was not fixed by a test.
_SLACK = 60.0
_BACKUP = re.compile(
    r"auto[ _-]?recovery|recovery[ _-]?checkpoint|\b(veeam|altaro|nakivo|rubrik|commvault|acronis)", re.I
)
# Seconds; a backup holds a checkpoint for hours. test_a_checkpoint_that_a_backup_left_behind_is_not_the_current_state.
_LONGEST_BACKUP = 24 * 3600.0


def judge(forest: Forest, evidence: Mapping[Path, Evidence]) -> Iterator[Finding]:
    """The findings of each tree in turn, then those of identities. `evidence` is by child."""
    for tree in forest.trees:
        for member in tree.members:
            yield from _judge_member(forest, tree, member, evidence)
    yield from _gaps(forest)
    yield from _copies(forest)


def _judge_member(forest: Forest, tree: Tree, member: Member, evidence: Mapping[Path, Evidence]) -> Iterator[Finding]:
    child, link = member.record, member.link
    if link:
        yield from _judge_link(forest, member, link, evidence)
    if member.parent:
        parent = tree.by_path[member.parent].record
        yield from compare_with_parent(child, parent, fits=link is not None and link.state.holds, slack=_SLACK)
        if None not in {child.sector_size, parent.sector_size} and child.sector_size != parent.sector_size:
            text = f"logical sectors: {child.sector_size} bytes, {parent.sector_size} in its parent {parent.path}"
            yield Finding("CHN-05", Severity.ERROR, text, path=child.path)
    if member.depth == MAX_CHAIN_DEPTH:
        text = f"the chain below it has over {MAX_CHAIN_DEPTH} files"
        yield Finding("CHN-04", Severity.ERROR, text, path=member.path)
    upon = [tree.by_path[path] for path in member.children]
    made = [above for above in upon if above.link and above.link.state.holds and not was_put_away(tree, above)]
    if len({above.record.identity or above.path for above in made}) > 1:
        text = f"{len(made)} files were made from it: {listed(above.path for above in made)}"
        yield Finding("CHN-09", Severity.WARNING, text, path=member.path)


def _is_by_second_linkage(tree: Tree, member: Member) -> bool:
    """Whether the parent has the identity that the child names second: a merge into it was begun."""
    if member.parent is None or member.link is None or not member.link.state.holds:
        return False
    identity = tree.by_path[member.parent].record.identity
    return len(set(member.record.linkages)) > 1 and identity != member.record.linkages[0]


def was_put_away(tree: Tree, member: Member) -> bool:
    """Whether a file was merged into a parent by `vhdx merge --into`, which names it so at the end; one of several."""
    while member.path.suffix == ".merged" and member.parent is not None:
        if _is_by_second_linkage(tree, member):
            return True
        member = tree.by_path[member.parent]
    return False


def is_merging(tree: Tree, member: Member) -> bool:
    """Whether a merge of the file into its parent was begun, and not ended."""
    return member.path.suffix != ".merged" and _is_by_second_linkage(tree, member)


def _judge_link(forest: Forest, member: Member, link: Link, evidence: Mapping[Path, Evidence]) -> Iterator[Finding]:
    match link.state:
        case LinkState.MISSING | LinkState.UNKNOWN:
            yield _not_found(forest, member.record, link)
        case LinkState.MISMATCH | LinkState.STRANGER:
            yield _mismatch(member, link, evidence.get(member.path))
        case LinkState.LOOP:
            yield _loop(forest, member)


def _not_found(forest: Forest, child: FileRecord, link: Link) -> Finding:
    if link.state is LinkState.UNKNOWN:
        text = f"the file at its parent's place, {link.parent}, cannot be read, so its parent is not known"
        return Finding("CHN-01", Severity.ERROR, text, path=child.path, advice="look for another copy of that file")
    what = "unique id" if child.container is Container.VHD else "data_write_guid"
    wanted = f"{what} {child.linkages[0]}" if child.linkages else "no known identity"
    where = "; ".join(
        f"{at.key} {at.text}: {at.refused.partition(';')[0] or ('not it' if at.file_id else 'nothing there')}"
        for at in child.places
    )
    text = f"its parent ({wanted}) was not found (looked at every file of the scan; {where or 'it names no path'})"
    others = forest.of_same_disk(child)
    here = f"; of the same virtual disk are here: {listed(record.path for record in others)}" if others else ""
    advice = f"scan more folders: any file with that identity is found, whatever its name{here}"
    return Finding("CHN-01", Severity.ERROR, text, path=child.path, advice=advice)


def _mismatch(member: Member, link: Link, evidence: Evidence | None) -> Finding:
    child = member.record
    verdict = evidence.verdict if evidence else Verdict.DOUBTFUL
    text = f"{link.parent} is not, or no longer, the file that it was made from" + (f"; {evidence}" if evidence else "")
    # Safe means that the identity held before, or that nothing of the parent shows; then reading goes right all the
    # same.
    severity = Severity.WARNING if verdict is Verdict.SAFE else Severity.ERROR
    advice = {
        Verdict.SAFE: "",
        Verdict.MERGED: f"read {link.parent} alone; keep the child until the machine has run on it",
        Verdict.MERGE_INTERRUPTED: "complete the merge in a new file, and keep both until that is checked, or in its "
        f"place, with `{completing_command(member)}`",
    }.get(verdict, "look for an older copy of the parent first: scan the folders of backups too")
    return Finding("CHN-02", severity, text, path=child.path, advice=advice)


def _loop(forest: Forest, member: Member) -> Finding:
    circle, link = [member.path], member.link
    while link and link.parent and link.parent not in circle:
        circle.append(link.parent)
        link = forest.links.get(link.parent)
    names = " -> ".join(str(path) for path in (*circle[:MOST_LISTED], member.path))
    advice = "one of these files was overwritten or edited: look for another copy of it"
    return Finding("CHN-03", Severity.ERROR, f"the chain runs in a circle: {names}", path=member.path, advice=advice)


def _gaps(forest: Forest) -> Iterator[Finding]:
    """One finding for each identity that is wanted and not there, however many children want it."""
    wanted: dict[UUID, list[FileRecord]] = defaultdict(list)
    for record in forest.records:
        if forest.lacks_parent(record) and record.linkages:
            wanted[record.linkages[0]].append(record)
    for identity, children in wanted.items():
        places = dict.fromkeys(place.text for child in children for place in child.places)
        called = f"; it was called {' or '.join(list(places)[:3])}" if places else ""
        text = f"no file has the identity {identity}, the parent of {listed(child.path for child in children)}{called}"
        yield Finding("CHN-10", Severity.WARNING, text, path=children[0].path)


def _copies(forest: Forest) -> Iterator[Finding]:
    for identity, records in forest.by_identity.items():
        if len(records) > 1:
            first, *others = sorted(records, key=lambda record: (record.path in forest.spare, record.path))
            alike = len({(r.file_size, r.sequence_number, r.file_write_guid) for r in records}) == 1
            same = "size and headers are the same, and their content was not compared"
            how = same if alike else "they differ in size or headers: one was used after it was copied"
            text = f"{len(others)} more with its identity {identity}: {listed(record.path for record in others)}; {how}"
            yield Finding("CHN-08", Severity.WARNING, text, path=first.path)


def is_left_behind(child: FileRecord, parent: FileRecord, link: Link, evidence: Evidence | None) -> bool:
    """Whether a backup made a checkpoint, did not remove it, and the machine went on with the parent.

    Each sign alone has another cause. A parent that was written to since may have been mounted by mistake; times are
    those of a copy; checkpoints of backups are current for as long as a backup runs. So the identity, the name, and
    either the time or what the guest wrote have to agree.
    """
    if link.state is not LinkState.MISMATCH or not _BACKUP.search(child.path.stem) or _BACKUP.search(parent.path.stem):
        return False
    changed = evidence is not None and any(fact.bearing is Bearing.CHANGED for fact in evidence.facts)
    return parent.modified - child.modified > (0 if changed else _LONGEST_BACKUP)


def companions_of(records: Sequence[FileRecord], companions: Sequence[FoundFile]) -> dict[Path, tuple[FoundFile, ...]]:
    """The companions of each disk: those that have its name, before or after its own extension."""
    by_name: dict[Path, Path] = {}
    for record in records:
        by_name.setdefault(record.path.with_suffix(""), record.path)
        by_name[record.path] = record.path
    found: dict[Path, list[FoundFile]] = defaultdict(list)
    for companion in companions:
        disk = by_name.get(companion.path.with_suffix(""))
        if disk is not None:
            found[disk].append(companion)
    return {disk: tuple(beside) for disk, beside in found.items()}


def judge_beside(
    records: Sequence[FileRecord], companions: Mapping[Path, Sequence[FoundFile]], used: Mapping[Path, object]
) -> Iterator[Finding]:
    """CHN-12 and CHN-13; `used` are the files that a machine refers to."""
    for record in records:
        if record.has_parent and _BACKUP.search(record.path.stem) and record.path not in used:
            text = f"{record.path.name} has the name of a checkpoint that a backup makes and removes"
            yield Finding("CHN-12", Severity.NOTE, text, path=record.path)
        beside = companions.get(record.path, ())
        if tracking := [companion for companion in beside if companion.path.suffix.lower() in {".rct", ".mrt"}]:
            names = ", ".join(companion.path.name for companion in tracking)
            stale = any(companion.modified < record.modified - _SLACK for companion in tracking)
            text = f"{names} beside it {'is older than the disk: stale' if stale else 'is as new as the disk'}"
            yield Finding("CHN-13", Severity.NOTE, text, path=record.path)
