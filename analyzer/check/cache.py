"""Files that chains have in common: each is opened once and looked at once, however many chains lead to it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Self

from analyzer.check.file import check_structures, unreadable
from analyzer.recovery_map.beside import accounts_beside, maps_beside
from analyzer.recovery_map.disk import map_finding
from vhdx.contents import Structures
from vhdx.errors import VhdxError, located
from vhdx.findings import Finding
from vhdx.image import image_of
from vhdx.source import FileSource
from vhdx.source_map import BESIDE, SourceMaps

# Files that stay open; systems have few descriptors. Others are opened again, and looked at once all the same.
# Linux gives a process 1024 descriptors, macOS 256 unless asked; a chain has at most 256 files.
_MOST_OPEN = 256


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


class FileCache:
    """Open files and what was found in them, for several threads at once. It closes them when it is left."""

    def __init__(self, maps: SourceMaps = BESIDE) -> None:
        """Begin with nothing; files are read by these maps of ddrescue."""
        self._maps = maps
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
            source = self._maps.source(path, _KeptSource)
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

    def __enter__(self) -> Self:
        """The cache itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all files."""
        for source in self._sources:
            source.is_kept = False
            source.close()


def _check_beside(structures: Structures) -> Iterator[Finding]:
    """CHN-14, of a file that opens: how large its disk is tells whether a map can be about it."""
    path = structures.file.path
    if not maps_beside(path) and not accounts_beside(path):
        return
    try:
        finding = map_finding(path, image_of(structures).size)
    except VhdxError:  # the file's own findings say why
        return
    if finding:
        yield finding
