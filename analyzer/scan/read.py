"""A file's record: by opening it, or, where that fails, from whatever of its headers and metadata can be read."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from construct import ConstructError

from analyzer.linkage.record import Condition, FileRecord, with_structures
from analyzer.recovery_map.disk import map_finding
from analyzer.remedies import describe_error
from analyzer.scan.coverage import UNKNOWN, Layer, measure
from analyzer.scan.find import THREADS, FoundFile
from vhdx import compiling
from vhdx.contents import Structures, open_structures
from vhdx.errors import CorruptFileError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, image_of

# How often parents outside the folders lead to further ones: as deep as a chain may be.
_MOST_ROUNDS = 256
# Files whose tables, small ones together, repay compiling what goes through them.
_MANY = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """A file's record, and what it holds."""

    record: FileRecord
    layer: Layer = UNKNOWN


def read_all(files: Sequence[FoundFile], tick: Callable[[int], None]) -> list[Reading]:
    """The reading of each file, in the order given; never raises for what a file holds."""
    if len(files) >= _MANY:
        compiling.load()
    readings = []
    with ThreadPoolExecutor(THREADS) as pool:
        for reading in pool.map(read_file, files):
            readings.append(reading)
            tick(1)
    return readings


def read_named(records: Sequence[FileRecord], tick: Callable[[int], None]) -> list[Reading]:
    """The parents that these files name by path and that are not among them, and theirs in turn."""
    known = {record.file_id for record in records}
    found: list[Reading] = []
    fresh = list(records)
    for _ in range(_MOST_ROUNDS):
        named = {place.file_id: place.path for record in fresh for place in record.places if place.path}
        paths = [path for file_id, path in named.items() if file_id is not None and file_id not in known]
        known |= set(named)
        files = [file for file in map(_file_at, paths) if file]
        readings = [reading for reading in read_all(files, tick) if reading.record.identity]
        if not readings:
            break
        found += readings
        fresh = [reading.record for reading in readings]
    return found


def _file_at(path: Path) -> FoundFile | None:
    try:
        return FoundFile.of(path, path.stat())
    except (OSError, ValueError):
        return None


def read_file(file: FoundFile) -> Reading:
    """The reading of one file; never raises for what it holds."""
    blank = FileRecord(
        path=file.path,
        file_id=file.file_id,
        condition=Condition.UNREADABLE,
        file_size=file.size,
        modified=file.modified,
        created=file.created,
    )
    try:
        with closing(open_structures(file.path)) as structures:
            return _read(blank, structures)
    except VhdxError as error:
        return Reading(_flawed(blank, str(error)))


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
