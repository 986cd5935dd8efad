"""A scan as text and as JSON."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analyzer.evidence import Evidence
from analyzer.scan import Advice, Scan
from analyzer.scan.coverage import Weight
from analyzer.scan.forest import Tree
from analyzer.scan.machines import Role
from analyzer.scan.matching import Link, LinkState
from analyzer.scan.record import Condition, FileRecord
from cli.forest import draw, wrapped
from cli.text import plural, safe, size
from vhdx.findings import Finding, Severity

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
    Condition.LIVE: "live log, applied in memory",
    Condition.DAMAGED: "DAMAGED, does not open",
    Condition.UNREADABLE: "CANNOT BE READ",
}


def _when(seconds: float | None) -> str | None:
    """A time as UTC; None where there is none, or none that a calendar knows."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None


# --- text


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
            yield from (f"      {line}" for line in text.facts(record))
        yield ""
    yield from text.notes()
    yield from text.advice()
    yield from wrapped(text.summary(), width, 0)


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

        def facts(path: Path) -> list[str]:
            return self.facts(tree.by_path[path].record)

        yield from draw(tree.root.path, children, name, facts)

    def facts(self, record: FileRecord) -> list[str]:
        """What stands below a file's name."""
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
        return [part for line in lines if line for part in wrapped(safe(line), self.width, 6)]

    def _around(self, path: Path) -> Iterator[str]:
        if path in self.scan.forest.spare:
            yield f"a copy of {self.scan.forest.spare[path]}"
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
            yield from wrapped(safe(f"note: {note}"), self.width, 0)
        if self.scan.notes:
            yield ""

    def advice(self) -> Iterator[str]:
        """What to do, tree by tree."""
        if self.scan.advice:
            yield "what to do next:"
        for advice in self.scan.advice:
            yield f"   {safe(advice.root)}"
            yield from (f"      {line}" for sentence in _sentences(advice) for line in self._wrap(sentence))
            if advice.command:
                yield f"      $ {advice.shell}"
        if self.scan.advice:
            yield ""

    def _wrap(self, sentence: str) -> list[str]:
        return wrapped(safe(sentence), self.width, 6)

    def summary(self) -> str:
        """One line of counts."""
        scan = self.scan
        disks = len(scan.forest.records)
        found = f"{plural(disks, 'VHDX file')} of {plural(scan.files, 'file')} looked at"
        counts = [sum(f.severity is severity for f in scan.findings) for severity in (Severity.ERROR, Severity.WARNING)]
        return f"{found}; {plural(len(scan.forest.trees), 'chain')}, {plural(counts[0], 'error')}, " + plural(
            counts[1], "warning"
        )


def _sentences(advice: Advice) -> Iterator[str]:
    if advice.current and (advice.command or advice.current != advice.root):
        yield f"current state: {advice.current} ({advice.reason})"
    yield from advice.steps


def _mark(finding: Finding) -> str:
    return "error:" if finding.severity is Severity.ERROR else "warning:"


def _shown_time(seconds: float) -> str:
    when = _when(seconds)
    return f"{when[:10]} {when[11:16]}Z" if when else ""


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


# --- JSON


def payload_of(scan: Scan) -> dict[str, Any]:
    """The members of the JSON answer, findings aside."""
    advice = {item.root: item for item in scan.advice}
    return {
        "folders": scan.folders,
        "files": scan.files,
        "trees": [
            {
                "root": tree.root.path,
                "leaves": [leaf.path for leaf in tree.leaves],
                "members": [
                    _member(scan, member.record, member.link, member.depth, member.parent) for member in tree.members
                ],
                "advice": _advice(advice.get(tree.root.path)),
            }
            for tree in scan.forest.trees
        ],
        "unplaced": [_member(scan, record, None, 0, None) for record in scan.forest.unplaced],
        "machines": scan.machines,
        "notes": scan.notes,
    }


def _member(scan: Scan, record: FileRecord, link: Link | None, depth: int, parent: Path | None) -> dict[str, Any]:
    weight = scan.weights.get(record.path, Weight())
    return {
        "path": record.path,
        "parent": parent,
        "depth": depth,
        "condition": record.condition,
        "error": record.flaw or None,
        "file_size": record.file_size,
        "modified": _when(record.modified),
        "created": _when(record.created),
        "data_write_guid": record.identity,
        "previous_data_write_guid": record.previous_identity,
        "sequence_number": record.sequence_number,
        "virtual_disk_id": record.disk_id,
        "virtual_size": record.disk_size,
        "block_size": record.block_size,
        "logical_sector_size": record.sector_size,
        "own_bytes": weight.own,
        "shown_bytes": weight.shown,
        "lost_bytes": weight.lost,
        "link": _link(record, link, scan.evidence.get(record.path)),
        "copy_of": scan.forest.spare.get(record.path),
        "outside": record.path in scan.outside,
        "companions": [companion.path for companion in scan.companions.get(record.path, ())],
        "machines": [machine.path for machine in scan.used_by.get(record.path, ())],
    }


def _link(record: FileRecord, link: Link | None, evidence: Evidence | None) -> Mapping[str, Any] | None:
    if link is None:
        return None
    places = [{"key": p.key, "text": p.text, "path": p.path, "refused": p.refused or None} for p in record.places]
    return {
        "state": link.state,
        "parent": link.parent,
        "linkages": record.linkages,
        "second_linkage": link.second_linkage,
        "places": places,
        "evidence": _evidence(evidence),
    }


def _evidence(evidence: Evidence | None) -> Mapping[str, Any] | None:
    if evidence is None:
        return None
    return {
        "verdict": evidence.verdict,
        "facts": evidence.facts,
        "doubtful_ranges": [list(stretch) for stretch in evidence.doubtful],
        "doubtful_bytes": evidence.doubtful_bytes,
        "left_bytes": evidence.left_bytes,
    }


def _advice(advice: Advice | None) -> Mapping[str, Any] | None:
    if advice is None:
        return None
    return {
        "current": advice.current,
        "reason": advice.reason,
        "steps": advice.steps,
        "mergeable": advice.mergeable,
        "command": advice.shell or None,
    }
