"""What a check gives: its findings, and every file that it looked at."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vhdx.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class Checked:
    """One subject: a file, or a chain named by its leaf. Each finding has its `path`."""

    path: Path
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]
    """Every file that was looked at."""


def all_findings(checked: Iterable[Checked]) -> tuple[Finding, ...]:
    """The findings of all subjects, one after the other."""
    return tuple(finding for subject in checked for finding in subject.findings)


def at_least(findings: Iterable[Finding], severity: Severity) -> tuple[Finding, ...]:
    """The findings that are of this severity or worse."""
    return tuple(finding for finding in findings if finding.severity >= severity)


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The worst severity among findings; None where there is none."""
    return max((finding.severity for finding in findings), default=None)


def worst_first(findings: Iterable[Finding]) -> Sequence[Finding]:
    """Errors, then warnings, then notes; within each in the order in which they were found."""
    return sorted(findings, key=lambda finding: -finding.severity)


def counts(findings: Iterable[Finding]) -> Mapping[Severity, int]:
    """How many there are of each severity, the worst first; zeros included."""
    found = Counter(finding.severity for finding in findings)
    return {severity: found[severity] for severity in sorted(Severity, reverse=True)}
