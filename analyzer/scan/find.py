"""Walk folders and say by content what each file is. Links to folders, devices and pipes are never followed."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from construct import ConstructError

from analyzer.linkage.record import FileId
from vhdx.contents import Structures, is_vhd_file
from vhdx.errors import InputOutputError, NotRegularFileError, VhdxError
from vhdx.findings import Severity
from vhdx.source import FileSource, read_at
from vhdx.source_map import TITLES, is_source_map
from vhdx.structures.constants import HEADER_AREA_SIZE, HEADER_OFFSETS, METADATA_TABLE_SIZE, MIB, REGION_TABLE_OFFSETS
from vhdx.structures.header import SIGNATURE as HEADER
from vhdx.structures.metadata import SIGNATURE as METADATA
from vhdx.structures.metadata import check_metadata_table, parse_metadata_table
from vhdx.structures.region import SIGNATURE as REGIONS
from vhdx.system import files

THREADS = 4
"""Files that are looked at together: on a network share the wait for one is spent on the others."""

# Files are known by these, never by their names: evidence is often renamed.
_VHDX, _HYPERV_STORE = b"vhdxfile", b"\x14\x20\x28\x01"
_DISK_NAMES, _CONFIGURATION_NAMES = {".vhdx", ".avhdx", ".vhd", ".avhd"}, {".vmcx", ".vmrs"}
_COMPANION_NAMES = {".rct", ".mrt", ".vhds"}
_PLACES = (*((at, HEADER) for at in HEADER_OFFSETS), *((at, REGIONS) for at in REGION_TABLE_OFFSETS))
# Windows and QEMU put the metadata region 2 and 3 MiB into the file, behind the log or the block table; one read for
# each MiB up to here costs a folder of other large files little.
_FARTHEST = 16 * MIB


class FileType(Enum):
    """What a file is to a scan."""

    DISK = "disk"
    CONFIGURATION = "configuration"
    COMPANION = "companion"
    SOURCE_MAP = "source map"
    """A map of GNU ddrescue."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file; times are seconds since 1970."""

    @classmethod
    def of(cls, path: Path, status: os.stat_result) -> "FoundFile":
        """The file of a path, from what the system says of it."""
        created = getattr(status, "st_birthtime", None)
        file_id = status.st_dev, status.st_ino
        return cls(path, file_id, status.st_size, status.st_mtime, None if created is None else float(created))

    path: Path
    file_id: FileId
    size: int
    modified: float
    created: float | None
    """Where the system keeps it."""


@dataclass(slots=True)
class FoundFiles:
    """What the folders hold, each file once, in the order of their paths."""

    files: tuple[FoundFile, ...] = ()
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Folders and files that could not be looked at, and why."""
    mounted: set[int] = field(default_factory=set)
    """Volumes that were come upon in a folder; each is looked at once."""


def find_files(places: Sequence[Path]) -> FoundFiles:
    """Every file in these folders (or these files), of whatever type it will turn out to be.

    Raises InputOutputError and NotRegularFileError for a place that was named and cannot be looked at.
    """
    found = FoundFiles()
    once: dict[object, FoundFile] = {}
    for file in (file for place in places for file in _named(place, found)):
        once.setdefault(file.file_id if file.file_id[1] else file.path, file)  # 0: the file system numbers no files
    found.files = tuple(once.values())
    return found


def _named(place: Path, found: FoundFiles) -> Iterator[FoundFile]:
    try:
        status = place.stat()
    except (OSError, ValueError) as error:
        raise InputOutputError(place, "look at", getattr(error, "strerror", None) or str(error)) from error
    if stat.S_ISREG(status.st_mode):
        yield FoundFile.of(place, status)
    elif stat.S_ISDIR(status.st_mode):
        yield from _walk(place, found)
    else:
        raise NotRegularFileError(place)


def _walk(top: Path, found: FoundFiles) -> Iterator[FoundFile]:
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
            found.skipped.append((folder, f"it cannot be listed: {reason}"))
            continue
        first = False
        waiting += reversed([Path(entry.path) for entry in entries if _is_folder(entry, found)])
        yield from _files_of(entries)


def _is_folder(entry: "os.DirEntry[str]", found: FoundFiles) -> bool:
    """A true folder, or a volume mounted there: links are left alone, so that no walk goes in circles."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            return False
        path, status = Path(entry.path), entry.stat(follow_symlinks=False)
        if not files.leads_elsewhere(status):
            return True
        if not files.is_mounted_volume(path):  # a junction of Windows: to Python it is no link
            found.skipped.append((path, "it leads to another folder; name that to have it looked at"))
            return False
        volume = path.stat().st_dev
    except OSError:
        return False
    # A volume may be mounted in itself.
    is_new = volume not in found.mounted
    found.mounted.add(volume)
    return is_new


def _files_of(entries: Iterable["os.DirEntry[str]"]) -> Iterator[FoundFile]:
    """The regular files, those that are links after those that are not: the true name is the one to show."""
    for entry in sorted(entries, key=lambda entry: entry.is_symlink()):
        try:
            status = Path(entry.path).stat()  # DirEntry.stat has no file number on Windows
        except (OSError, ValueError):  # a link to nowhere, or gone since
            continue
        if stat.S_ISREG(status.st_mode):
            yield FoundFile.of(Path(entry.path), status)


def type_of(file: FoundFile) -> FileType:
    """What a file is, by its first bytes; by its name where that alone can tell. Never raises for what it holds."""
    suffix = file.path.suffix.lower()
    start, is_rest, is_named = b"", False, suffix in _DISK_NAMES | _CONFIGURATION_NAMES | _COMPANION_NAMES
    with suppress(VhdxError, ConstructError), FileSource(file.path) as source:
        start = read_at(source, 0, min(source.size, len(_VHDX)))
        is_rest = start != _VHDX and not is_named and (is_vhd_file(source) or _is_rest(source))
    if start == _VHDX:
        return FileType.DISK
    if suffix in _CONFIGURATION_NAMES or start.startswith(_HYPERV_STORE):
        return FileType.CONFIGURATION
    if suffix in _COMPANION_NAMES:
        return FileType.COMPANION
    if any(title.startswith(start) for title in TITLES) and is_source_map(file.path):
        return FileType.SOURCE_MAP
    return FileType.DISK if is_rest or suffix in _DISK_NAMES else FileType.OTHER


def _is_rest(source: FileSource) -> bool:
    """Whether a file whose front says nothing is what is left of a VHDX: encrypted or overwritten, and renamed."""
    # A signature may stand anywhere by chance; a checksum that fits, or a table without errors, does not.
    structures = Structures(source)
    for at, signature in _PLACES:
        if source.size >= HEADER_AREA_SIZE and read_at(source, at, len(signature)) == signature:
            regions = structures.regions.value
            return structures.header is not None or (regions is not None and regions.current_copy is not None)
    for at in range(HEADER_AREA_SIZE, min(source.size - METADATA_TABLE_SIZE, _FARTHEST), MIB):
        mark = read_at(source, at, len(METADATA))
        if mark == _VHDX:  # a disk or an archive that holds a whole file
            return False
        if mark == METADATA:
            table = parse_metadata_table(read_at(source, at, METADATA_TABLE_SIZE))
            found = check_metadata_table(table, at, MIB)
            return not any(finding.severity is Severity.ERROR for finding in found)
    return False
