"""The JSON document `check`: what `vhdx check --format json` prints inside the envelope of every answer."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analyzer.check.result import Checked, all_findings, common_folder, counts, fingerprint, relative
from analyzer.remedies import next_step
from analyzer.text import safe
from vhdx.catalogue import rules
from vhdx.findings import Finding

Json = dict[str, Any]


def check_document(checked: Sequence[Checked], *, known: int = 0) -> Json:
    """The members of the document. `known` is how many findings a baseline left out."""
    folder = common_folder(checked)
    found = counts(all_findings(checked))
    return {
        "subjects": [_subject(subject, folder) for subject in checked],
        "counts": {severity.name.lower(): count for severity, count in found.items()},
        "known": known,
    }


def _subject(subject: Checked, folder: Path) -> Json:
    return {
        "path": _name(subject.path),
        "files": [_name(path) for path in subject.files],
        "findings": [_finding(finding, subject.path, folder) for finding in subject.findings],
    }


def _finding(finding: Finding, subject: Path, folder: Path) -> Json:
    rule = rules().get(finding.code)
    path = finding.path or subject
    return {
        "code": finding.code,
        "severity": finding.severity.name.lower(),
        "title": rule.title if rule else finding.code,
        "message": safe(finding.message),
        "path": _name(path),
        "relative_path": safe(relative(path, folder)),
        "offset": finding.offset,
        "length": finding.length,
        "disk_start": finding.disk_start,
        "disk_length": finding.disk_length,
        "expected": safe(finding.expected) or None,
        "found": safe(finding.found) or None,
        "section": finding.section or (rule.section if rule else "") or None,
        "windows": (rule.windows if rule else "") or None,
        "next_step": safe(next_step(finding)),
        "fingerprint": fingerprint(finding, subject),
    }


def _name(path: Path) -> str:
    """A path as the other documents have it: a name that is no text has its bytes as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
