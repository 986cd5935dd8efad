"""Which files a check is about, those named and those that folders hold; and each of them opened and looked at once.

However many chains lead to a file.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Lock

from analyzer.check.file import check_structures, unreadable
from analyzer.recovery_map.beside import accounts_beside, front_of, maps_beside
from analyzer.recovery_map.note import map_finding
from vhdx.contents import Structures
from vhdx.errors import VhdxError, located
from vhdx.findings import Finding
from vhdx.image import image_of
from vhdx.source import Closing, FileSource
from vhdx.source_map import BESIDE, SourceMaps
from vhdx.structures.identifier import SIGNATURE
from vhdx.system import files

# Files that stay open; systems have few descriptors. Others are opened again, and looked at once all the same.
# Linux gives a process 1024 descriptors, macOS 256 unless asked; a chain has at most 256 files.
_MOST_OPEN = 256


class Depth(Enum):
    """How far folders are looked into."""

    FOLDER = "folder"
    TREE = "tree"


def files_in(paths: Sequence[Path], depth: Depth) -> Iterator[Path]:
    """The files named, whatever they are, and of each folder those that look like VHDX by name or by content.

    Links to folders are not followed. A folder that cannot be listed, or that has none, is given itself, for the check
    to say so.
    """
    for path in paths:
        if path.is_dir():
            found = list(_of_folder(path, depth))
            yield from found or [path]  # a folder without any is reported, not passed over
        else:
            yield path


def _of_folder(folder: Path, depth: Depth) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            # A junction of Windows is no link to Python, and may lead round in a circle.
            if depth is Depth.TREE and not files.leads_elsewhere(entry.stat(follow_symlinks=False)):
                yield from _of_folder(path, depth)
        elif os.path.isfile(path) and _is_vhdx(path):  # noqa: PTH113 - never raises, as for a link in a circle
            yield path


def _is_vhdx(path: Path) -> bool:
    if path.suffix.lower() in {".vhdx", ".avhdx", ".vhds", ".vhd", ".avhd"}:
        return True
    return front_of(path, len(SIGNATURE)) == SIGNATURE


class _KeptSource(FileSource):
    """A file that stays open, whoever closes it, while it is kept."""

    is_kept = False

    def close(self) -> None:
        """See FileSource."""
        if not self.is_kept:
            super().close()


@dataclass(slots=True)
class _Look:
    """What a check of one file found; None before it."""

    lock: Lock = field(default_factory=Lock)
    found: tuple[Finding, ...] | None = None


class FileCache(Closing):
    """Open files and what was found in them, for several threads at once. It closes them when it is left."""

    def __init__(self, maps: SourceMaps = BESIDE) -> None:
        """Begin with nothing; files are read by these maps of ddrescue."""
        self.maps = maps
        self._lock = Lock()
        self._sources: list[_KeptSource] = []
        self._files: dict[Path, Structures] = {}
        self._looks: dict[object, _Look] = {}

    def structures(self, path: Path) -> Structures:
        """The structures of a file, open; an Opener."""
        with self._lock:
            known = self._files.get(path)
            if known is not None:
                return known
            source = self.maps.source(path, _KeptSource)
            structures = Structures(source)
            if len(self._files) < _MOST_OPEN:
                self._files[path] = structures
                self._sources.append(source)
                source.is_kept = True
            return structures

    def findings(self, path: Path) -> tuple[Finding, ...]:
        """Everything about one file, which is looked at once, by whatever paths it is named.

        Never raises for what is in it, or is not.
        """
        try:
            with closing(self.structures(path)) as structures:
                return (*located(path, self._looked_at(structures)), *_check_beside(structures))
        except VhdxError as error:
            return (unreadable(error, path),)

    def _looked_at(self, structures: Structures) -> tuple[Finding, ...]:
        file = structures.file
        with self._lock:
            look = self._looks.setdefault(file.identity if isinstance(file, FileSource) else file, _Look())
        with look.lock:
            if look.found is None:
                look.found = tuple(check_structures(structures))
            return look.found

    def close(self) -> None:
        """Close all files."""
        for source in self._sources:
            source.is_kept = False
            source.close()


def _check_beside(structures: Structures) -> Iterator[Finding]:
    """CHN-14, of a file that opens: how large its disk is tells whether a map can be about it."""
    path = structures.file.path
    if maps_beside(path) or accounts_beside(path):
        with suppress(VhdxError):  # the file's own findings say why
            finding = map_finding(path, image_of(structures).size)
            yield from [finding] if finding else ()
