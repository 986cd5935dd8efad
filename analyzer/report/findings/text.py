"""Findings as lines for people: wrapped on a terminal however narrow, one line each in a pipe."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from analyzer.check.result import Checked, all_findings, relative, tally, worst_first
from analyzer.remedies import next_step
from analyzer.text import plural, safe, size, wrapped
from vhdx.findings import Finding, Severity

_INDENT = "  "


def sentence(finding: Finding, leaf: Path | None = None) -> str:
    """A finding in one line: severity, code, what, where, what to do; of a chain, `leaf` is that of all its files."""
    path = f"{finding.path}: " if finding.path else ""
    place = f" ({places(finding)})" if places(finding) else ""
    step = _next(finding, leaf)
    # It continues a sentence; a name in capitals stays.
    step = step[:1].lower() + step[1:] if step[1:2].islower() or step[1:2] == " " else step
    next_ = f"; {step}" if step else ""
    text = f"{path}{finding.severity.name.lower()} {finding.code}: {finding.message}{place}{next_}"
    return safe(text)


def github_lines(checked: Sequence[Checked], *, root: Path) -> Iterator[str]:
    """The findings as commands that a workflow of GitHub shows as annotations, paths as seen from `root`."""
    kinds = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
    for subject in checked:
        for finding in worst_first(subject.findings):
            file = _escaped(relative(finding.path or subject.path, root.absolute()), ":,")
            yield f"::{kinds[finding.severity]} file={file},title={finding.code}::{_escaped(sentence(finding))}"


def _escaped(text: str, also: str = "") -> str:
    """Text as a workflow command takes it: what would end a value or a line is percent-encoded."""
    return "".join(f"%{ord(each):02X}" if each in f"%\r\n{also}" else each for each in safe(text))


def places(finding: Finding) -> str:
    """Where a finding is, in its file and on the disk; empty where it has no single place."""
    of_file = _range("file", finding.offset, finding.length)
    of_disk = _range("disk", finding.disk_start, finding.disk_length)
    return ", ".join(place for place in (of_file, of_disk) if place)


def _range(where: str, start: int | None, length: int | None) -> str:
    if start is None:
        return ""
    return f"{where} byte {start}" + (f", {size(length)}" if length else "")


def text_lines(checked: Sequence[Checked], *, width: int | None, known: int = 0) -> Iterator[str]:
    """The answer in lines. `width` is the terminal's; None, for a pipe, gives one line for each finding.

    `known` is how many findings a baseline left out.
    """
    for subject in checked:
        found = worst_first(subject.findings)
        if width is None:
            yield from (sentence(finding, subject.path) for finding in _folded(found))
            continue
        yield from wrapped(f"{safe(subject.path)}: {tally(found) or 'sound'}", width, "", _INDENT)
        for finding in _folded(found):
            yield from _finding(finding, subject, width)
        yield ""
    yield from wrapped(summary(checked, known=known), width, "", "")


def _folded(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The findings, notes that say the same of several files of a chain as one, of the first of them."""
    alike = defaultdict[tuple[str, str], list[Finding]](list)
    for finding in findings:
        if finding.severity is Severity.NOTE:
            alike[finding.code, finding.message].append(finding)
    for finding in findings:
        same = alike.get((finding.code, finding.message), [finding])
        if finding is same[0]:
            names = ", ".join(str(other.path.name) for other in same[1:] if other.path)
            yield replace(finding, message=f"{finding.message} (and {names})") if names else finding


def summary(checked: Sequence[Checked], *, known: int = 0) -> str:
    """How many findings of each severity, in how many subjects."""
    found = tally(all_findings(checked)) or "no findings"
    left_out = f"; {plural(known, 'finding')} known from the baseline" if known else ""
    return f"{plural(len(checked), 'subject')} checked: {found}{left_out}"


def _finding(finding: Finding, subject: Checked, width: int) -> Iterator[str]:
    head = f"{finding.severity.name.lower()} {finding.code}: {finding.message}"
    yield from wrapped(safe(head), width, _INDENT, _INDENT * 2)
    path = "" if finding.path in {None, subject.path} else str(finding.path)
    expected = f"{finding.expected}; found: {finding.found}" if finding.expected else ""
    for name, value in (
        ("in", path),
        ("at", places(finding)),
        ("expected", expected),
        ("next", _next(finding, subject.path)),
    ):
        if value:
            yield from wrapped(f"{name}: {safe(value)}", width, _INDENT * 2, _INDENT * 3)


def _next(finding: Finding, leaf: Path | None) -> str:
    """What to do, where there is anything to do."""
    step = next_step(finding, leaf)
    return "" if finding.severity is Severity.NOTE and step.startswith("Nothing to do") else step
