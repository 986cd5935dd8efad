"""Walk folders and tell by content what each file is. Links to folders, devices and pipes are never followed."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from analyzer.linkage.record import FileId
from vhdx.errors import InputOutputError, NotRegularFileError, VhdxError
from vhdx.source import FileSource, read_at

THREADS = 4
"""Files that are looked at together: on a network share the wait for one is spent on the others."""

# Files are known by these, never by their names: evidence is often renamed.
_VHDX, _HYPERV_STORE = b"vhdxfile", b"\x14\x20\x28\x01"
_DISK_NAMES, _CONFIGURATION_NAMES = {".vhdx", ".avhdx"}, {".vmcx", ".vmrs"}
_COMPANION_NAMES = {".rct", ".mrt", ".vhds"}


class Sort(Enum):
    """What a file is to a scan."""

    DISK = "disk"
    CONFIGURATION = "configuration"
    COMPANION = "companion"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A regular file that was come upon; `modified` is seconds since 1970."""

    path: Path
    file_id: FileId
    size: int
    modified: float


@dataclass(slots=True)
class Finds:
    """What the folders hold, each file once, in the order of their paths."""

    disks: list[Sighting] = field(default_factory=list)
    configurations: list[Sighting] = field(default_factory=list)
    companions: list[Sighting] = field(default_factory=list)
    files: int = 0
    """How many files were looked at."""
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Folders and files that could not be looked at, and why."""


def find_files(places: Sequence[Path], tick: Callable[[int], None]) -> Finds:
    """Everything of interest in these folders (or files); `tick` hears of each file that is no disk.

    Raises InputOutputError and NotRegularFileError for a place that was named and cannot be looked at.
    """
    finds = Finds()
    sightings = list(_once(sighting for place in places for sighting in _named(place, finds)))
    with ThreadPoolExecutor(THREADS) as pool:
        for sighting, sort in zip(sightings, pool.map(sort_of, sightings), strict=True):
            finds.files += 1
            _put(finds, sighting, sort)
            if sort is not Sort.DISK:  # those that are disks count when they are read
                tick(1)
    return finds


def _put(finds: Finds, sighting: Sighting, sort: Sort) -> None:
    match sort:
        case Sort.DISK:
            finds.disks.append(sighting)
        case Sort.CONFIGURATION:
            finds.configurations.append(sighting)
        case Sort.COMPANION:
            finds.companions.append(sighting)


def _once(sightings: Iterable[Sighting]) -> Iterator[Sighting]:
    seen: set[FileId] = set()
    for sighting in sightings:
        if sighting.file_id not in seen or not sighting.file_id[1]:  # 0: the file system numbers no files
            seen.add(sighting.file_id)
            yield sighting


def _named(place: Path, finds: Finds) -> Iterator[Sighting]:
    try:
        status = place.stat()
    except (OSError, ValueError) as error:
        raise InputOutputError(place, "look at", getattr(error, "strerror", None) or str(error)) from error
    if stat.S_ISREG(status.st_mode):
        yield _sighting(place, status)
    elif stat.S_ISDIR(status.st_mode):
        yield from _walk(place, finds)
    else:
        raise NotRegularFileError(place)


def _walk(top: Path, finds: Finds) -> Iterator[Sighting]:
    """Files before folders, names in order; a stack, for a tree of folders may be deeper than Python's."""
    waiting, first = [top], True
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            reason = error.strerror or str(error)
            if first:
                raise InputOutputError(folder, "list", reason) from error
            finds.skipped.append((folder, f"it cannot be listed: {reason}"))
            continue
        first = False
        waiting += [Path(entry.path) for entry in reversed(entries) if _is_folder(entry)]
        yield from _files_of(entries)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """A true folder: links are left alone, so that no walk goes in circles."""
    try:
        return entry.is_dir(follow_symlinks=False) and not _is_junction(entry)
    except OSError:
        return False


def _is_junction(entry: "os.DirEntry[str]") -> bool:
    """Windows' other kind of link to a folder, which is_symlink does not tell."""
    attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    return bool(attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT)


def _files_of(entries: Iterable["os.DirEntry[str]"]) -> Iterator[Sighting]:
    """The regular files, those that are links after those that are not: the true name is the one to show."""
    for entry in sorted(entries, key=lambda entry: entry.is_symlink()):
        try:
            status = Path(entry.path).stat()  # DirEntry.stat has no file number on Windows
        except (OSError, ValueError):  # a link to nowhere, or gone since
            continue
        if stat.S_ISREG(status.st_mode):
            yield _sighting(Path(entry.path), status)


def _sighting(path: Path, status: os.stat_result) -> Sighting:
    return Sighting(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime)


def sort_of(sighting: Sighting) -> Sort:
    """What a file is, by its first bytes; by its name where that alone can tell. Never raises for what it holds."""
    suffix = sighting.path.suffix.lower()
    start = _first_bytes(sighting)
    if start == _VHDX:
        return Sort.DISK
    if suffix in _CONFIGURATION_NAMES or start.startswith(_HYPERV_STORE):
        return Sort.CONFIGURATION
    if suffix in _COMPANION_NAMES:
        return Sort.COMPANION
    return Sort.DISK if suffix in _DISK_NAMES else Sort.OTHER


def _first_bytes(sighting: Sighting) -> bytes:
    try:
        with FileSource(sighting.path) as source:
            return read_at(source, 0, min(source.size, len(_VHDX)))
    except VhdxError:
        return b""
