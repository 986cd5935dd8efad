"""How findings of single copies are graded, and how many of one kind are told one by one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from analyzer.text import plural
from vhdx.catalogue import rules
from vhdx.findings import Finding, Severity

MOST_ALIKE = 20
"""Findings with one code that are told one by one; the others are counted."""


def as_notes(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The flaws of a copy whose twin serves: the reason for a warning that is given anyway."""
    return (replace(finding, severity=Severity.NOTE) for finding in findings)


def as_both(findings: Iterable[Finding], code: str) -> Iterator[Finding]:
    """The flaws of a copy whose twin does not serve either: what to do is what `code`, which says so, advises."""
    return (replace(finding, advice=rules()[code].remedy) for finding in findings)


def bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, of each code no more than a reader can use; then how many there were besides."""
    seen: Counter[tuple[str, Severity]] = Counter()
    last: dict[tuple[str, Severity], Finding] = {}
    for finding in findings:
        kind = finding.code, finding.severity
        seen[kind] += 1
        last[kind] = finding
        if seen[kind] <= MOST_ALIKE:
            yield finding
    for kind, count in seen.items():
        if count > MOST_ALIKE:
            text = f"{plural(count - MOST_ALIKE, 'more finding')} {kind[0]} like the ones above"
            yield Finding(*kind, text, section=last[kind].section, path=last[kind].path)
