"""A scan as lines of text."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from analyzer.linkage.matching import Link, LinkState
from analyzer.linkage.record import Condition, FileRecord
from analyzer.scan.advice import ONLY_LEAF, Advice
from analyzer.scan.coverage import Weight
from analyzer.scan.forest import Tree
from analyzer.scan.machines import Role
from analyzer.scan.run import Scan
from cli.render.scan_json import when
from cli.text import plural, safe, size, wrapped
from vhdx.findings import Finding, Severity

_PLAIN = str.maketrans("┌├└│┬─", "++`|+-")
_STATES = {
    LinkState.BY_PATH: "",
    LinkState.BY_IDENTITY: "parent renamed or moved, found by identity",
    LinkState.MISMATCH: "PARENT HAS ANOTHER IDENTITY",
    LinkState.UNKNOWN: "PARENT CANNOT BE READ",
    LinkState.STRANGER: "PARENT MISSING, another disk is in its place",
    LinkState.LOOP: "CHAIN RUNS IN A CIRCLE",
    LinkState.MISSING: "PARENT MISSING",
}
_CONDITIONS = {
    Condition.WHOLE: "",
    Condition.LIVE: "dirty log, applied in memory",
    Condition.DAMAGED: "DAMAGED, does not open",
    Condition.UNREADABLE: "CANNOT BE READ",
}


def lines_of(scan: Scan, width: int | None) -> Iterator[str]:
    """A scan as lines, sentences broken at `width` columns; None does not break them."""
    text = _Text(scan, width)
    for tree in scan.forest.trees:
        yield from text.tree(tree)
        yield ""
    if scan.forest.unplaced:
        yield "not to be placed, for they cannot be read:"
        for record in scan.forest.unplaced:
            yield f"   {safe(record.path)}"
            yield from (f"      {line}" for line in text.facts(record, 6))
        yield ""
    yield from text.notes()
    yield from text.advice()
    yield from wrapped(text.summary(), width, rest="  ")


class _Text:
    """What the lines are made from."""

    def __init__(self, scan: Scan, width: int | None) -> None:
        self.scan, self.width = scan, width
        self.findings: dict[Path, list[Finding]] = {}
        for finding in scan.findings:
            if finding.severity > Severity.NOTE and finding.path:
                self.findings.setdefault(finding.path, []).append(finding)

    def tree(self, tree: Tree) -> Iterator[str]:
        """One tree, drawn."""
        children = {member.path: member.children for member in tree.members}

        def name(path: Path) -> str:
            parent = tree.by_path[path].parent
            return safe(path.name if parent and parent.parent == path.parent else path)

        def facts(path: Path, indent: int) -> list[str]:
            return self.facts(tree.by_path[path].record, indent)

        yield from draw(tree.root.path, children, name, facts)

    def facts(self, record: FileRecord, indent: int) -> list[str]:
        """The lines below a file's name."""
        link = self.scan.forest.links.get(record.path)
        lines = [
            ", ".join(filter(None, (size(record.file_size), _shown_time(record.modified)))),
            _disk(record, link),
            _holds(self.scan.weights.get(record.path)),
            _CONDITIONS[record.condition],
            _STATES[link.state] if link else "",
            *self._around(record.path),
        ]
        lines += [
            f"{_mark(finding)} {finding.message} ({finding.code})" for finding in self.findings.get(record.path, ())
        ]
        return [part for line in lines if line for part in self._wrapped(line, indent)]

    def _around(self, path: Path) -> Iterator[str]:
        if path in self.scan.forest.spare:
            yield f"has the identity of {self.scan.forest.spare[path]}: a copy of it, if the content is the same"
        if path in self.scan.outside:
            yield "outside the folders, named by its child"
        for machine in self.scan.used_by.get(path, ()):
            what = "disk of" if machine.role is Role.MACHINE else "disk of checkpoint"
            yield f"{what} {machine.name or machine.path.name}"
        names = [companion.path.name for companion in self.scan.companions.get(path, ())]
        if names:
            yield f"beside it: {', '.join(names)}"

    def notes(self) -> Iterator[str]:
        """What could not be looked at."""
        for note in self.scan.notes:
            yield from self._wrapped(f"note: {note}")
        if self.scan.notes:
            yield ""

    def advice(self) -> Iterator[str]:
        """What to do, tree by tree."""
        if self.scan.advice:
            yield "what to do next:"
        for advice in self.scan.advice:
            yield f"   {safe(advice.root)}"
            yield from (f"      {line}" for sentence in _sentences(advice) for line in self._wrapped(sentence, 6))
            if advice.command:
                yield f"      $ {advice.shell}"
            if advice.recovery:
                yield f"      $ {advice.recovery_shell}"
        if self.scan.advice:
            yield ""

    def _wrapped(self, sentence: str, indent: int = 0) -> list[str]:
        """Lines that leave room for `indent` columns on their left."""
        return wrapped(safe(sentence), None if self.width is None else self.width - indent, rest="  ")

    def summary(self) -> str:
        """One line of counts."""
        scan = self.scan
        disks = len(scan.forest.records)
        found = f"{plural(scan.files, 'file')} looked at, {disks} of them VHDX"
        counts = [sum(f.severity is severity for f in scan.findings) for severity in (Severity.ERROR, Severity.WARNING)]
        return f"{found}; {plural(len(scan.forest.trees), 'chain')}, {plural(counts[0], 'error')}, " + plural(
            counts[1], "warning"
        )


def _sentences(advice: Advice) -> Iterator[str]:
    is_alone = advice.current == advice.root and not advice.command
    if advice.current and not (is_alone and advice.reason == ONLY_LEAF):
        yield f"current state: {advice.current} ({advice.reason})"
    yield from advice.steps


def _mark(finding: Finding) -> str:
    return "error:" if finding.severity is Severity.ERROR else "warning:"


def _shown_time(seconds: float) -> str:
    moment = when(seconds)
    return f"{moment[:10]} {moment[11:16]}Z" if moment else ""


def _disk(record: FileRecord, link: Link | None) -> str:
    """The disk, where it is not told by a parent already."""
    if record.disk_size is None or (link and link.state.joins):
        return ""
    return f"disk of {size(record.disk_size)}"


def _holds(weight: Weight | None) -> str:
    if weight is None or weight.own is None:
        return ""
    if weight.shown is None or weight.shown == weight.own:
        return f"holds {size(weight.own)}"
    return f"holds {size(weight.own)}, {size(weight.shown)} of it show"


def draw(
    root: Path,
    children: Mapping[Path, Sequence[Path]],
    name: Callable[[Path], str],
    facts: Callable[[Path, int], list[str]],
) -> Iterator[str]:
    """The lines of one tree.

    `name` is a file's own line; `facts` are those below it, made to leave room for that many columns on their left.
    """
    waiting = [(root, "", "")]
    while waiting:  # not by recursion: a tree may be deeper than Python's stack
        top, outer, lead = waiting.pop()
        prefix = outer + {"": "", "├──": "│  ", "└──": "   "}[lead]
        stretch = _stretch(top, children)
        branches = children.get(stretch[-1], ())
        for number, path in enumerate(stretch):
            goes_on = number < len(stretch) - 1 or bool(branches)
            yield (outer + lead if number == 0 else prefix) + _knot(number, lead, goes_on=goes_on) + name(path)
            yield from (prefix + ("│  " if goes_on else "   ") + fact for fact in facts(path, len(prefix) + 3))
        leads = ["├──"] * (len(branches) - 1) + ["└──"] * bool(branches)
        waiting += reversed([(child, prefix, lead) for child, lead in zip(branches, leads, strict=True)])


def _stretch(top: Path, children: Mapping[Path, Sequence[Path]]) -> list[Path]:
    """A file and those above it, as long as each has one child."""
    found = [top]
    while len(upon := children.get(found[-1], ())) == 1:
        found.append(upon[0])
    return found


def _knot(number: int, lead: str, *, goes_on: bool) -> str:
    if number:
        return "├─ " if goes_on else "└─ "
    first = "┬─ " if lead else "┌─ "
    return first if goes_on else "── "


def in_this_encoding(lines: Iterator[str]) -> Iterator[str]:
    """The lines, drawn in ASCII where the output knows no box characters, and other letters as escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for line in lines:
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            yield line.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
        else:
            yield line
