"""Files that chains have in common: each is opened once and looked at once, however many chains lead to it."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Self

from analyzer.check.file import check_source, unreadable
from analyzer.check.recovery_map import check_beside
from vhdx.errors import VhdxError, located
from vhdx.findings import Finding
from vhdx.source import FileSource

_MOST_OPEN = 256
"""Files that stay open; systems have few descriptors. Others are opened again, and looked at once all the same."""


class _Kept(FileSource):
    """A file that stays open whoever closes it, until it is given back."""

    _is_kept = False

    def keep(self) -> None:
        """From now on only `give_back` closes it."""
        self._is_kept = True

    def close(self) -> None:
        """See FileSource."""
        if not self._is_kept:
            super().close()

    def give_back(self) -> None:
        """Close it."""
        self._is_kept = False
        self.close()


@dataclass(slots=True)
class _Look:
    """What a check of one file found; None before it."""

    lock: Lock = field(default_factory=Lock)
    found: tuple[Finding, ...] | None = None


class Shelf:
    """Open files and what was found in them, for several threads at once. Closing it closes the files."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = Lock()
        self._sources: dict[Path, _Kept] = {}
        self._looks: dict[tuple[int, int], _Look] = {}

    def source(self, path: Path) -> FileSource:
        """The file, open; an Opener."""
        with self._lock:
            source = self._sources.get(path) or _Kept(path)
            if len(self._sources) < _MOST_OPEN:
                self._sources[path] = source
                source.keep()
            return source

    def findings(self, path: Path) -> tuple[Finding, ...]:
        """As `check_file_alone`; a file that was looked at before, by whatever path, is not looked at again."""
        try:
            with closing(self.source(path)) as source:
                return (*located(path, self._looked_at(source)), *check_beside(path))
        except VhdxError as error:
            return (unreadable(error, path),)

    def _looked_at(self, source: FileSource) -> tuple[Finding, ...]:
        with self._lock:
            look = self._looks.setdefault(source.identity, _Look())
        with look.lock:
            if look.found is None:
                look.found = tuple(check_source(source))
            return look.found

    def __enter__(self) -> Self:
        """The shelf itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give all files back."""
        for source in self._sources.values():
            source.give_back()
