"""The whole scan: find, read, build, weigh, judge, advise. The only part that puts the pure ones together.

A file's record comes from opening it, or, where that fails, from whatever of its headers and metadata can be read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from construct import ConstructError

from analyzer.linkage.matching import LinkState
from analyzer.linkage.mismatch import MOST_ABOVE, Evidence, gather_evidence
from analyzer.linkage.names import may_be_renamed, own_name
from analyzer.linkage.record import Condition, FileRecord, with_structures
from analyzer.progress import Progress, no_progress
from analyzer.recovery_map.note import map_finding
from analyzer.remedies import describe_error, shell_command
from analyzer.scan.advice import Advice, Known, advise
from analyzer.scan.coverage import UNKNOWN, Layer, Weight, measure, measure_file, weigh
from analyzer.scan.find import THREADS, FileType, FoundFile, find_files, type_of
from analyzer.scan.forest import Forest, build_forest
from analyzer.scan.judging import companions_of, judge, judge_beside
from analyzer.scan.machines import MISSING_EXTRA, Machine, Role, can_read_machines, match_disks, read_machines
from analyzer.scan.vhd import measure_vhd, read_vhd_of
from analyzer.tasks.engine import Engine, Here, Lost
from vhdx.contents import Structures, open_structures
from vhdx.errors import CorruptFileError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, image_of, open_image
from vhdx.source import FileSource
from vhdx.source_map import files_of, maps_beside
from vhdx.system.files import is_device

if TYPE_CHECKING:
    from analyzer.scan.hosts import Hosts, LookInto

# How often parents outside the folders lead to further ones: as deep as a chain may be.
_MOST_ROUNDS = 256
BATCH = 32
"""Files of one task: so many that handing it over costs little beside it, so few that a lost one is soon redone."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file's record, and what it holds."""

    record: FileRecord
    layer: Layer = UNKNOWN


Look = tuple[FileType, Reading | None]
"""What a file is, and the reading of a disk."""
EngineFor = Callable[[int], Engine]
"""What works at so many files."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What files are, and the readings of the disks among them, in the order of the files."""

    of_type: Mapping[FileType, Sequence[FoundFile]]
    readings: Sequence[Reading]


def look_at(files: Sequence[FoundFile], engine: Engine, tick: Progress = no_progress) -> Looked:
    """What these files are; never raises for what a file holds."""
    of_type: dict[FileType, list[FoundFile]] = {type_: [] for type_ in FileType}
    readings = []
    for file, look in zip(files, engine.run(_look_at, files, BATCH, tick), strict=True):
        type_, reading = (FileType.DISK, _lost(file, look)) if isinstance(look, Lost) else look
        of_type[type_].append(file)
        readings += [reading] if reading else []
    return Looked(of_type, readings)


def _look_at(files: Sequence[FoundFile]) -> list[Look]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [*pool.map(_look, files)]


def _look(file: FoundFile) -> Look:
    type_ = type_of(file)
    return type_, read_file(file) if type_ is FileType.DISK else None


def _lost(file: FoundFile, lost: Lost) -> Reading:
    return Reading(_flawed(_blank(file), str(lost.error(file.path))))


def read_named(records: Sequence[FileRecord], engine_for: EngineFor, tick: Progress = no_progress) -> list[Reading]:
    """The parents that these files name by path and that are not among them, and theirs in turn."""
    known = {record.file_id for record in records}
    found: list[Reading] = []
    fresh = list(records)
    for _ in range(_MOST_ROUNDS):
        named = {place.file_id: place.path for record in fresh for place in record.places if place.path}
        paths = [path for file_id, path in named.items() if file_id is not None and file_id not in known]
        known |= set(named)
        files = []
        for path in paths:
            with suppress(OSError, ValueError):
                files.append(FoundFile.of(path, path.stat()))
        looked = look_at(files, engine_for(len(files)), tick)
        readings = [reading for reading in looked.readings if reading.record.identity]
        if not readings:
            break
        found += readings
        fresh = [reading.record for reading in readings]
    return found


def _renamed(looked: Looked) -> Iterator[Reading]:
    """What nothing in a file shows to be a disk, but its name: that of a parent which is not there, and more behind it.

    So ransomware names what it has encrypted.
    """
    records = [reading.record for reading in looked.readings]
    named = {place.text.replace("\\", "/").rpartition("/")[2].lower() for one in records for place in one.places}
    missing = named - {one.path.name.lower() for one in records}
    others = looked.of_type[FileType.OTHER] if missing else ()
    yield from (read_file(file) for file in others if own_name(file.path).lower() in missing and _is_renamed(file))


def _is_renamed(file: FoundFile) -> bool:
    with suppress(VhdxError), FileSource(file.path) as source:
        return may_be_renamed(source)
    return False


def read_file(file: FoundFile) -> Reading:
    """The reading of one file; never raises for what it holds."""
    blank = _blank(file)
    try:
        with closing(open_structures(file.path)) as structures:
            vhd = read_vhd_of(blank, structures)
            return Reading(*vhd) if vhd else _read(blank, structures)
    except VhdxError as error:
        return Reading(_flawed(blank, str(error)))


def _blank(file: FoundFile) -> FileRecord:
    return FileRecord(
        path=file.path,
        file_id=file.file_id,
        condition=Condition.UNREADABLE,
        file_size=file.size,
        modified=file.modified,
        created=file.created,
    )


def _read(blank: FileRecord, structures: Structures) -> Reading:
    try:
        image = image_of(structures)
        return Reading(_of_image(blank, image), measure(image))
    except CorruptFileError as error:
        damaged = replace(blank, flaw=describe_error(error), findings=(error.finding,))
    except VhdxError as error:
        damaged = _flawed(blank, str(error))
    except (ConstructError, MemoryError) as error:  # what no check foresaw: this file alone is left out
        return Reading(_flawed(blank, f"{blank.path} cannot be read: {error}"))
    # Enough to give a file that does not open its place, where a header says which it is.
    condition = Condition.UNREADABLE if structures.header is None else Condition.DAMAGED
    return Reading(with_structures(replace(damaged, condition=condition), structures))


def _flawed(record: FileRecord, flaw: str) -> FileRecord:
    return replace(record, flaw=flaw, findings=(Finding("FID-11", Severity.ERROR, flaw, path=record.path),))


def _of_image(blank: FileRecord, image: Image) -> FileRecord:
    errors = [finding for finding in image.findings if finding.severity is Severity.ERROR]
    return replace(
        with_structures(blank, image.structures),
        creator=image.identifier.creator,
        condition=Condition.LIVE if image.log_was_replayed else Condition.WHOLE,
        findings=tuple(filter(None, (*image.findings, map_finding(image.path, image.size)))),
        flaw=f"{image.path}: {errors[0]}" if errors else "",
    )


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
    hosts: "Hosts" = ()
    """What lies in the raw images and block devices that were named."""


def run_scan(
    folders: Sequence[Path],
    tick: Progress = no_progress,
    *,
    is_taken: Callable[[Path], bool] = Path.exists,
    engine_for: EngineFor = lambda _: Here(),
    host_search: "LookInto | None" = None,
) -> Scan:
    """Scan folders (or files); `tick` hears of every file and `is_taken` tells which outputs are there already.

    `engine_for` gives what reads so many files, `host_search` finds the VHDX files in a raw image or a device.

    Raises InputOutputError and NotRegularFileError for a place that was named and cannot be looked at; never for what
    a file in it holds.
    """
    devices = [place for place in folders if is_device(place)]
    found = find_files([place for place in folders if place not in devices])
    looked = look_at(found.files, engine_for(len(found.files)), tick)
    of_type = looked.of_type
    readings = [*looked.readings, *_renamed(looked)]
    outside = read_named([reading.record for reading in readings], engine_for, tick)
    forest = build_forest([reading.record for reading in (*readings, *outside)])
    layers = {reading.record.path: reading.layer for reading in (*readings, *outside)}
    weights = {path: weight for tree in forest.trees for path, weight in weigh(tree, layers, _measure_again).items()}
    configurations = of_type[FileType.CONFIGURATION]
    machines = read_machines(configurations) if configurations and can_read_machines() else ()
    used_by = match_disks(machines, [record.path for record in forest.records])
    evidence = _gather(forest, used_by)
    companions = companions_of(forest.records, of_type[FileType.COMPANION])
    known = Known(forest=forest, evidence=evidence, weights=weights, used_by=_running(used_by), is_taken=is_taken)
    return Scan(
        folders=tuple(folders),
        files=len(found.files),
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
        notes=(
            *_notes(found.skipped, configurations, machines),
            *_unused_maps(of_type[FileType.SOURCE_MAP], [record.path for record in forest.records]),
        ),
        hosts=_hosts(devices, [file.path for file in of_type[FileType.OTHER] if file.path in folders], host_search),
    )


def _hosts(devices: Sequence[Path], named: Sequence[Path], how: "LookInto | None") -> "Hosts":
    """What lies in devices and raw images that were named: what is merely in a folder may be terabytes of anything."""
    if not devices and not named:
        return ()
    # What reads file systems is loaded where there may be one.
    from analyzer.scan.hosts import look_into, search_hosts

    return search_hosts(devices, named, how or look_into)


def _measure_again(path: Path, most: int) -> Layer:
    layer = measure_file(path, most)
    with suppress(VhdxError):
        return measure_vhd(path, most) if layer is UNKNOWN else layer
    return layer


def _gather(forest: Forest, used_by: Mapping[Path, Sequence[Machine]]) -> dict[Path, Evidence]:
    """The evidence on every link that does not hold and has a file at its other end."""
    states = {LinkState.MISMATCH, LinkState.STRANGER}
    parents = {path: link.parent for path, link in forest.links.items() if link.parent and link.state in states}
    above = [list(islice(forest.above(path), MOST_ABOVE)) for path in parents]
    files = zip(parents.items(), above, strict=True)
    pending = (_merging((child, parent, *others), used_by) for (child, parent), others in files)
    with ThreadPoolExecutor(THREADS) as pool:
        found = zip(parents, pool.map(_evidence_on, parents, parents.values(), above, pending), strict=True)
        return {path: evidence for path, evidence in found if evidence}


def _merging(paths: Iterable[Path], used_by: Mapping[Path, Sequence[Machine]]) -> str:
    """The first machine that has any of these files, and disks that are still to be merged; "" where there is none."""
    machines = (machine for path in paths for machine in used_by.get(path, ()) if machine.merge_pending)
    return next((machine.name or machine.path.name for machine in machines), "")


def _evidence_on(child: Path, parent: Path, above: Sequence[Path], pending: str) -> Evidence | None:
    with suppress(VhdxError), open_image(child) as upper, open_image(parent) as lower:
        return gather_evidence(upper, lower, above=_opened(above), pending=pending)
    return None


def _opened(paths: Sequence[Path]) -> Iterator[Image]:
    """Those that open, one after the other."""
    for path in paths:
        with suppress(VhdxError), open_image(path) as image:
            yield image


def _running(used_by: Mapping[Path, Sequence[Machine]]) -> dict[Path, str]:
    """The name of the machine that has a file as its current disk; checkpoints do not count."""
    return {
        path: machine.name or machine.path.name
        for path, machines in used_by.items()
        for machine in reversed(machines)  # the first one stays
        if machine.role is Role.MACHINE
    }


def _notes(
    skipped: Iterable[tuple[Path, str]], configurations: Sequence[FoundFile], machines: Sequence[Machine]
) -> tuple[str, ...]:
    notes = [f"{path}: {reason}" for path, reason in skipped]
    if configurations and not can_read_machines():
        notes.append(MISSING_EXTRA)
    return (*notes, *(machine.error for machine in machines if machine.error))


def _unused_maps(maps: Sequence[FoundFile], disks: Sequence[Path]) -> Iterator[str]:
    """What is to be said of maps of ddrescue by which no file is read, since their names do not tell of which they are.

    A copy that is read without its map has zeros for what was not read.
    """
    used = {path for disk in disks for path in maps_beside(disk)} if maps else set()
    for path in (found.path for found in maps if found.path not in used):
        fitting = files_of(path, disks)
        of_which = "it fits none of the disks here"
        if fitting:
            command = shell_command(["vhdx", "info", str(fitting[0]), "--source-map", f"{fitting[0]}={path}"])
            of_which = f"it can be of {', '.join(map(str, fitting))}: give it with --source-map, as in `{command}`"
        yield f"{path} is a map of GNU ddrescue, and no file is read by it: {of_which}"
