"""What a check gives: its findings, how many of a kind are listed, what makes one the same tomorrow; and a baseline.

A baseline holds the findings of an earlier check, which are known and are not reported again. A finding is known when
its code, its path and its place are those of one in the baseline; its sentence may change. The path counts as it was
given or as seen from the folder that holds all files of the check, so that a folder may move.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from analyzer.text import plural, safe
from vhdx.errors import InputOutputError, VhdxError
from vhdx.findings import Finding, Severity

MOST_ALIKE = 20
"""Findings with one code that are listed one by one; the others are counted."""
Place = tuple[int | None, int | None, int | None, int | None]
"""Bytes: offset and length in the file, start and length on the disk."""
Known = tuple[str, str, Place]
"""Of a finding in a baseline: code, path with slashes, place."""
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


class BaselineError(VhdxError):
    """A baseline file is not one; `reason` says why."""

    exit_code = 2
    path: Path
    reason: str
    text = "{path} is not a baseline: {reason}; make one with `vhdx check --format json FILE... > baseline`"


def read_baseline(path: Path) -> frozenset[Known]:
    """The baseline in a file: an earlier JSON answer of `vhdx check`.

    Raises BaselineError for anything else, InputOutputError when the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BaselineError(path, f"byte {error.start} is no UTF-8") from error
    except OSError as error:
        raise InputOutputError(path, "read", error.strerror or str(error)) from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BaselineError(path, f"it is no JSON ({error})") from error
    return _from_document(path, document)


def new_findings(checked: Sequence[Checked], baseline: frozenset[Known]) -> tuple[Checked, ...]:
    """The subjects with the findings alone that the baseline does not know."""
    folder = common_folder(checked)

    def is_new(finding: Finding, subject: Checked) -> bool:
        path = finding.path or subject.path
        names = (_slashed(str(path)), _slashed(relative(path, folder)))
        return baseline.isdisjoint((finding.code, name, place_of(finding)) for name in names)

    return tuple(
        replace(subject, findings=tuple(finding for finding in subject.findings if is_new(finding, subject)))
        for subject in checked
    )


def _from_document(path: Path, document: object) -> frozenset[Known]:
    if not isinstance(document, dict) or document.get("command") != "check":
        raise BaselineError(path, "it is no answer of `vhdx check`")
    subjects = document.get("subjects")
    if not isinstance(subjects, list):
        raise BaselineError(path, "it has no list of subjects")
    rows: list[object] = []
    for subject in subjects:
        found = subject.get("findings") if isinstance(subject, dict) else None
        if not isinstance(found, list):
            raise BaselineError(path, "one of its subjects has no list of findings")
        rows += found
    return frozenset(known for number, row in enumerate(rows) for known in _known(path, number, row))


def _known(path: Path, number: int, row: object) -> set[Known]:
    """The names that one finding goes by: its path as given, and as seen from the folder of its check."""
    if not isinstance(row, dict) or not isinstance(row.get("code"), str):
        raise BaselineError(path, f"finding {number} has no code")
    place = (row.get("offset"), row.get("length"), row.get("disk_start"), row.get("disk_length"))
    if not all(value is None or (isinstance(value, int) and not isinstance(value, bool)) for value in place):
        raise BaselineError(path, f"finding {number} has a place that is no number")
    names = [row[name] for name in ("path", "relative_path") if row.get(name) is not None]
    if not names or not all(isinstance(name, str) for name in names):
        raise BaselineError(path, f"finding {number} has no path")
    return {(row["code"], _slashed(name), place) for name in names}


def _slashed(name: str) -> str:
    """A path as both systems write it alike, so that a baseline made on one serves on the other."""
    return safe(name).replace("\\", "/")
