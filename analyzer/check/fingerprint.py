"""What makes a finding the same one tomorrow: its code, its file and its place, not its sentence."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from analyzer.check.result import Checked
from vhdx.findings import Finding

Place = tuple[int | None, int | None, int | None, int | None]
"""Bytes: offset and length in the file, start and length on the disk."""
# 128 bits of a SHA-256: enough to tell findings apart, short enough for a report.
_DIGITS = 32


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


def with_subject(checked: Iterable[Checked]) -> Iterable[tuple[Checked, Finding]]:
    """Every finding beside the subject that it was found in."""
    return ((subject, finding) for subject in checked for finding in subject.findings)
