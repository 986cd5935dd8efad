"""What a check gives: its findings, how many of a kind are listed, and what makes one the same one tomorrow."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from analyzer.text import plural
from vhdx.findings import Finding, Severity

MOST_ALIKE = 20
"""Findings with one code that are listed one by one; the others are counted."""
Place = tuple[int | None, int | None, int | None, int | None]
"""Bytes: offset and length in the file, start and length on the disk."""
# 128 bits of a SHA-256: enough to tell findings apart, short enough for a report.
_DIGITS = 32


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


def tally(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 note`; "" where there is none."""
    return ", ".join(plural(count, severity.name.lower()) for severity, count in counts(findings).items() if count)


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


def place_of(finding: Finding) -> Place:
    """Where a finding is, in the file and on the disk."""
    return (finding.offset, finding.length, finding.disk_start, finding.disk_length)


def fingerprint(finding: Finding, subject: Path) -> str:
    """A name for a finding that stays when its file moves to another folder: 32 hex digits.

    Made of the code, the file's name without its folder, and the place; not of the sentence, whose words may change.
    """
    name = os.fsencode((finding.path or subject).name)
    facts = [finding.code.encode(), name, *(str(number).encode() for number in place_of(finding))]
    return hashlib.sha256(b"\0".join(facts)).hexdigest()[:_DIGITS]


def common_folder(checked: Sequence[Checked]) -> Path:
    """The deepest folder that holds every file that was looked at; the root where they have none in common."""
    paths = [path.absolute() for subject in checked for path in (subject.path, *subject.files)]
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # no paths at all, or several drives
        return Path(paths[0].anchor) if paths else Path()


def relative(path: Path, folder: PurePath) -> str:
    """A path as seen from a folder, with slashes; from the root where it is not below the folder."""
    whole = path.absolute()
    return (whole.relative_to(folder) if whole.is_relative_to(folder) else whole).as_posix()
