"""A scan as lines of text."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from analyzer.linkage.matching import LinkState
from analyzer.linkage.record import Condition, Container, FileRecord
from analyzer.remedies import shell_command
from analyzer.scan.advice import ONLY_LEAF
from analyzer.scan.coverage import Weight
from analyzer.scan.forest import Tree
from analyzer.scan.machines import Role
from analyzer.scan.run import Scan
from cli.render.host_disk import carve_command, hosted_line
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


_NOT_READ = {Condition.DAMAGED, Condition.UNREADABLE}


def when(seconds: float | None) -> str | None:
    """A time as UTC; None where there is none, or none that a calendar knows."""
    try:
        # a damaged file system gives years that no calendar has
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None


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
    yield from text.hosts()
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
        link, moment = self.scan.forest.links.get(record.path), when(record.modified)
        disk = None if link and link.state.joins else record.disk_size  # else its parent says it
        lines = [
            f"{size(record.file_size)}{f', {moment[:10]} {moment[11:16]}Z' if moment else ''}",
            "" if disk is None else f"disk of {size(disk)}{', VHD 1' if record.container is Container.VHD else ''}",
            _holds(self.scan.weights.get(record.path)),
            _CONDITIONS[record.condition],
            _STATES[link.state] if link else "",
            *self._around(record.path),
        ]
        found = self.findings.get(record.path, ())
        lines += [f"{finding.severity.name.lower()}: {finding.message} ({finding.code})" for finding in found]
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

    def hosts(self) -> Iterator[str]:
        """What lies in the disks of hosts."""
        for path, host in self.scan.hosts:
            yield f"{safe(path)}: a disk, with {plural(len(host.files), 'VHDX file')} in it"
            yield from (f"   {line}" for file in host.files for line in self._wrapped(hosted_line(file), 3))
            yield from (f"   {line}" for note in host.notes for line in self._wrapped(f"note: {note}", 3))
            if host.files:
                yield "   take them out into a folder, and scan that:"
                yield f"   $ {shell_command(carve_command(path))}"
            yield ""

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
            is_alone = advice.current == advice.root and not advice.command
            is_plain = is_alone and advice.reason == ONLY_LEAF
            current = [f"current state: {advice.current} ({advice.reason})"] if advice.current and not is_plain else []
            sentences = [*current, *advice.steps]
            yield from (f"      {line}" for sentence in sentences for line in self._wrapped(sentence, 6))
            if advice.command:
                yield f"      $ {shell_command(advice.command)}"
            if advice.recovery:
                yield f"      $ {shell_command(advice.recovery)}"
        if self.scan.advice:
            yield ""

    def _wrapped(self, sentence: str, indent: int = 0) -> list[str]:
        """Lines that leave room for `indent` columns on their left."""
        return wrapped(safe(sentence), None if self.width is None else self.width - indent, rest="  ")

    def summary(self) -> str:
        """One line of counts."""
        scan, severities = self.scan, Counter(finding.severity for finding in self.scan.findings)
        errors, warnings = severities[Severity.ERROR], severities[Severity.WARNING]
        here = [record for record in scan.forest.records if record.path not in scan.outside]
        unread = sum(record.condition in _NOT_READ and not record.identity for record in here)
        found = f"{plural(scan.files, 'file')} looked at, {plural(len(here) - unread, 'virtual disk')}"
        # One that is only called so, or has no front: nobody knows yet which of both.
        found += f", {unread} called so that cannot be read as one" if unread else ""
        found += f"; {plural(len(scan.outside), 'parent')} elsewhere" if scan.outside else ""
        chains = plural(len(scan.forest.trees), "chain")
        return f"{found}; {chains}, {plural(errors, 'error')}, {plural(warnings, 'warning')}"


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
        stretch = [top]
        while len(upon := children.get(stretch[-1], ())) == 1:  # those above it, as long as each has one child
            stretch.append(upon[0])
        branches = children.get(stretch[-1], ())
        for number, path in enumerate(stretch):
            goes_on = number < len(stretch) - 1 or bool(branches)
            yield (outer + lead if number == 0 else prefix) + _knot(number, lead, goes_on=goes_on) + name(path)
            yield from (prefix + ("│  " if goes_on else "   ") + fact for fact in facts(path, len(prefix) + 3))
        leads = ["├──"] * (len(branches) - 1) + ["└──"] * bool(branches)
        waiting += reversed([(child, prefix, lead) for child, lead in zip(branches, leads, strict=True)])


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
