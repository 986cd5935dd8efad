"""The whole scan: find, read, build, weigh, judge, advise. The only part that puts the pure ones together."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from analyzer.linkage.matching import LinkState
from analyzer.linkage.mismatch import Evidence, gather_evidence
from analyzer.progress import Progress, no_progress
from analyzer.scan.advice import Advice, Known, advise
from analyzer.scan.coverage import Weight, measure_file, weigh
from analyzer.scan.find import THREADS, FileType, FoundFile, FoundFiles, find_files
from analyzer.scan.forest import Forest, build_forest
from analyzer.scan.judging import companions_of, judge, judge_beside
from analyzer.scan.machines import MISSING_EXTRA, Machine, Role, can_read_machines, match_disks, read_machines
from analyzer.scan.read import read_all, read_named
from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.image import open_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a scan has found. Mappings are by path."""

    folders: tuple[Path, ...]
    files: int
    """How many files were looked at."""
    forest: Forest
    weights: Mapping[Path, Weight]
    evidence: Mapping[Path, Evidence]
    """On links that do not hold, by child."""
    companions: Mapping[Path, tuple[FoundFile, ...]]
    machines: tuple[Machine, ...]
    used_by: Mapping[Path, tuple[Machine, ...]]
    """The machines and checkpoints that name a file."""
    outside: frozenset[Path]
    """Parents that the files name by path and that are not in the folders."""
    findings: tuple[Finding, ...]
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]
    """What could not be looked at."""


def run_scan(
    folders: Sequence[Path], tick: Progress = no_progress, *, is_taken: Callable[[Path], bool] = Path.exists
) -> Scan:
    """Scan folders (or files); `tick` hears of every file and `is_taken` tells which outputs are there already.

    Raises InputOutputError and NotRegularFileError for a place that was named and cannot be looked at; never for what
    a file in it holds.
    """
    found = find_files(folders, tick)
    readings = read_all(found.of_type[FileType.DISK], tick)
    outside = read_named([reading.record for reading in readings], tick)
    forest = build_forest([reading.record for reading in (*readings, *outside)])
    layers = {reading.record.path: reading.layer for reading in (*readings, *outside)}
    weights = {path: weight for tree in forest.trees for path, weight in weigh(tree, layers, measure_file).items()}
    evidence = _gather(forest)
    configurations = found.of_type[FileType.CONFIGURATION]
    machines = read_machines(configurations) if configurations and can_read_machines() else ()
    used_by = match_disks(machines, [record.path for record in forest.records])
    companions = companions_of(forest.records, found.of_type[FileType.COMPANION])
    known = Known(forest=forest, evidence=evidence, weights=weights, used_by=_running(used_by), is_taken=is_taken)
    return Scan(
        folders=tuple(folders),
        files=found.looked_at,
        forest=forest,
        weights=weights,
        evidence=evidence,
        companions=companions,
        machines=machines,
        used_by=used_by,
        outside=frozenset(reading.record.path for reading in outside),
        findings=(
            *(finding for record in forest.records for finding in record.findings),
            *(finding for weight in weights.values() for finding in weight.findings),
            *judge(forest, evidence),
            *judge_beside(forest.records, companions, used_by),
        ),
        advice=advise(known),
        notes=_notes(found, machines),
    )


def _gather(forest: Forest) -> dict[Path, Evidence]:
    """The evidence on every link that does not hold and has a file at its other end."""
    states = {LinkState.MISMATCH, LinkState.STRANGER}
    parents = {path: link.parent for path, link in forest.links.items() if link.parent and link.state in states}
    with ThreadPoolExecutor(THREADS) as pool:
        found = zip(parents, pool.map(_evidence_on, parents, parents.values()), strict=True)
        return {path: evidence for path, evidence in found if evidence}


def _evidence_on(child: Path, parent: Path) -> Evidence | None:
    try:
        with open_image(child) as upper, open_image(parent) as lower:
            return gather_evidence(upper, lower)
    except VhdxError:
        return None


def _running(used_by: Mapping[Path, Sequence[Machine]]) -> dict[Path, str]:
    """The name of the machine that has a file as its current disk; checkpoints do not count."""
    return {
        path: machine.name or machine.path.name
        for path, machines in used_by.items()
        for machine in reversed(machines)  # the first one stays
        if machine.role is Role.MACHINE
    }


def _notes(found: FoundFiles, machines: Sequence[Machine]) -> tuple[str, ...]:
    skipped = [f"{path}: {reason}" for path, reason in found.skipped]
    if found.of_type[FileType.CONFIGURATION] and not can_read_machines():
        skipped.append(MISSING_EXTRA)
    return (*skipped, *(machine.error for machine in machines if machine.error))
