"""What stands beside disks: change tracking files, VHD sets, and checkpoints that a backup left behind. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analyzer.linkage.record import FileRecord
from analyzer.scan.find import Sighting
from vhdx.findings import Finding, Severity

_BACKUP = re.compile(
    r"auto[ _-]?recovery|recovery[ _-]?checkpoint|\b(veeam|altaro|nakivo|rubrik|commvault|acronis)", re.I
)
_TRACKING = {".rct", ".mrt"}
# Seconds within which two files count as written together.
_SLACK = 60.0


def companions_of(records: Sequence[FileRecord], companions: Sequence[Sighting]) -> dict[Path, tuple[Sighting, ...]]:
    """The companions of each disk: those that have its name, before or after its own extension."""
    by_name: dict[Path, Path] = {}
    for record in records:
        by_name.setdefault(record.path.with_suffix(""), record.path)
        by_name[record.path] = record.path
    found: dict[Path, list[Sighting]] = defaultdict(list)
    for companion in companions:
        disk = by_name.get(companion.path.with_suffix(""))
        if disk is not None:
            found[disk].append(companion)
    return {disk: tuple(beside) for disk, beside in found.items()}


def judge_beside(
    records: Sequence[FileRecord], companions: Mapping[Path, Sequence[Sighting]], used: Mapping[Path, object]
) -> Iterator[Finding]:
    """CHN-12 and CHN-13; `used` are the files that a machine refers to."""
    for record in records:
        if record.has_parent and _BACKUP.search(record.path.stem) and record.path not in used:
            text = f"{record.path.name} has the name of a checkpoint that a backup makes and removes"
            yield Finding("CHN-12", Severity.NOTE, text, path=record.path)
        tracking = [c for c in companions.get(record.path, ()) if c.path.suffix.lower() in _TRACKING]
        if tracking:
            names = ", ".join(companion.path.name for companion in tracking)
            stale = any(companion.modified < record.modified - _SLACK for companion in tracking)
            text = f"{names} beside it {'is older than the disk: stale' if stale else 'is as new as the disk'}"
            yield Finding("CHN-13", Severity.NOTE, text, path=record.path)
