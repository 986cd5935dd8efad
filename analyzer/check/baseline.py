"""A baseline: the findings of an earlier check, which are known and are not reported again.

A finding is known when its code, its path and its place are those of one in the baseline; its sentence may change. The
path counts as it was given or as seen from the folder that holds all files of the check, so that a folder may move.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.check.result import Checked, Place, common_folder, place_of, relative
from analyzer.text import safe
from vhdx.errors import InputOutputError, VhdxError
from vhdx.findings import Finding

_NUMBERS = ("offset", "length", "disk_start", "disk_length")
Known = tuple[str, str, Place]
"""Code, path with slashes, place."""


class BaselineError(VhdxError):
    """A baseline file is not one; `reason` says why."""

    exit_code = 2
    path: Path
    reason: str
    text = "{path} is not a baseline: {reason}; make one with `vhdx check --format json FILE... > baseline`"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known."""

    known: frozenset[Known]

    def knows(self, finding: Finding, subject: Path, folder: Path) -> bool:
        """Whether a finding of a subject is known; `folder` holds all files of its check."""
        path, place = finding.path or subject, place_of(finding)
        names = {_slashed(str(path)), _slashed(relative(path, folder))}
        return any((finding.code, name, place) in self.known for name in names)


def read_baseline(path: Path) -> Baseline:
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


def new_findings(checked: Sequence[Checked], baseline: Baseline) -> tuple[Checked, ...]:
    """The subjects with the findings alone that the baseline does not know."""
    folder = common_folder(checked)
    return tuple(
        replace(
            subject,
            findings=tuple(each for each in subject.findings if not baseline.knows(each, subject.path, folder)),
        )
        for subject in checked
    )


def _from_document(path: Path, document: object) -> Baseline:
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
    return Baseline(frozenset(known for number, row in enumerate(rows) for known in _known(path, number, row)))


def _known(path: Path, number: int, row: object) -> set[Known]:
    """The names that one finding goes by: its path as given, and as seen from the folder of its check."""
    if not isinstance(row, dict) or not isinstance(row.get("code"), str):
        raise BaselineError(path, f"finding {number} has no code")
    first, second, third, fourth = (row.get(name) for name in _NUMBERS)
    place = (first, second, third, fourth)
    if not all(value is None or (isinstance(value, int) and not isinstance(value, bool)) for value in place):
        raise BaselineError(path, f"finding {number} has a place that is no number")
    names = [row[name] for name in ("path", "relative_path") if row.get(name) is not None]
    if not names or not all(isinstance(name, str) for name in names):
        raise BaselineError(path, f"finding {number} has no path")
    return {(row["code"], _slashed(name), place) for name in names}


def _slashed(name: str) -> str:
    """A path as both systems write it alike, so that a baseline made on one serves on the other."""
    return safe(name).replace("\\", "/")
