"""Maps of GNU ddrescue: which bytes of a file were read from its medium when it was copied, and which never were.

A copy has zeros where reading failed, and nothing in it says so. The map does, and is looked for wherever a file is
opened ([GNU ddrescue manual], "Mapfile structure").
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import TypeVar

import numpy as np

from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity, counted
from vhdx.ranges import Range, Ranges, union
from vhdx.source import ByteSource, FileSource, Unread, file_identity, read_at, unread_of

TITLES = (b"# Mapfile. Created by GNU ddrescue", b"# Rescue Logfile. Created by GNU ddrescue")
"""How its maps begin, and those of versions before 1.20; `ddrescuelog` writes the same."""
SUFFIXES = (".map", ".mapfile", ".log", ".ddrescue", ".ddrescue.map")
"""What is put behind the name of a file for its map; ddrescue has no name of its own for it."""
Source = TypeVar("Source", bound=FileSource)
_COMMAND, _HEAD_LENGTH = "# Command line:", 1 << 12
_FINISHED, _SIGNS = "+", frozenset("?*/-+")
# A map that is longer is none.
_MOST_BYTES = 1 << 30


class SourceMapError(VhdxError):
    """A map cannot be read, or is not of the file that it is beside, or was given for."""

    path: Path
    file: Path
    reason: str
    text = (
        "{path} does not fit {file}: {reason}; give the map that ddrescue wrote with this copy by --source-map "
        "FILE=MAP, or move this one away if all of the file was read"
    )


@dataclass(frozen=True, slots=True)
class SourceMaps:
    """Opens files by the maps that are beside them; `given` are those of other names, as (file, map)."""

    given: tuple[tuple[Path, Path], ...] = ()

    def source(self, path: Path, kind: type[Source] = FileSource) -> Source:  # type: ignore[assignment]
        """The file, opened as a source of that kind; raises SourceMapError, and as FileSource does."""
        source = kind(path)
        try:
            identity = file_identity(path) if self.given else None
            given = [place for file, place in self.given if file == path or file_identity(file) == identity]
            found = [(place, unread_by(place, path, source.size)) for place in given or maps_beside(path)]
            found = [(place, ranges) for place, ranges in found if len(ranges)]
            # Unread is what any of the maps has so: no byte is given out that one of them does not vouch for.
            source.unread = Unread(found[0][0], union(ranges for _, ranges in found)) if found else None
        except BaseException:
            source.close()
            raise
        return source


BESIDE = SourceMaps()
"""The maps that are beside files, and no others."""


def maps_beside(path: Path) -> tuple[Path, ...]:
    """The maps that ddrescue left under a file's name, or under that of what a link of this name leads to.

    Those in whose name the file's own ending is replaced count where they name the file: disk.log may be another's.
    """
    names = [name for name in ((path, path.resolve()) if path.is_symlink() else (path,)) if name.name]
    # Text: of a thousand files ten thousand names are asked for, and a path takes longer to make than the answer.
    appended = _there(f"{name}{suffix}" for name, suffix in product(names, SUFFIXES))
    bare = [str(name)[: -len(name.suffix)] for name in names if name.suffix]
    replaced = _there(f"{name}{suffix}" for name, suffix in product(bare, SUFFIXES))
    found = [place for place in appended if is_source_map(place)]
    found += [place for place in replaced if is_source_map(place) and names_as_copy(place, path)]
    return tuple(dict.fromkeys(found))


def _there(names: Iterable[str]) -> Iterator[Path]:
    """Those names that are regular files'."""
    return (Path(name) for name in names if os.path.isfile(name))  # noqa: PTH113 - never raises


def names_as_copy(map_path: Path, file: Path) -> bool:
    """Whether a map says in its first lines that the run of ddrescue which wrote it made the file of this name."""
    try:
        with FileSource(map_path) as source:
            head = read_at(source, 0, min(source.size, _HEAD_LENGTH)).decode("utf-8", "surrogateescape")
    except VhdxError:
        return False
    commands = (line.split() for line in head.splitlines() if line.startswith(_COMMAND))
    # By the last part of each word: the folder is another one by now, or Windows wrote it with its own slashes.
    return any(file.name in {word.replace("\\", "/").rsplit("/", 1)[-1] for word in words} for words in commands)


def files_of(map_path: Path, files: Sequence[Path]) -> list[Path]:
    """The files that a map can be of: by its length, and where that fits several by the names in the map and of it."""
    fitting = [file for file in files if _fits(map_path, file)]
    named = [file for file in fitting if names_as_copy(map_path, file) or map_path.name.startswith(file.name)]
    return named if len(fitting) > 1 and named else fitting


def _fits(map_path: Path, file: Path) -> bool:
    try:
        unread_by(map_path, file, file.stat().st_size)
    except (OSError, SourceMapError):
        return False
    return True


def is_source_map(path: Path) -> bool:
    """Whether a file begins as a map of ddrescue does; False for what cannot be read."""
    if not os.path.isfile(path):  # noqa: PTH113 - never raises
        return False
    try:
        with FileSource(path) as file:
            return read_at(file, 0, min(file.size, max(map(len, TITLES)))).startswith(TITLES)
    except VhdxError:
        return False


def unread_by(path: Path, file: Path, size: int) -> Ranges:
    """What of a file of `size` bytes was not read, by the map at `path`: all but what that has as finished.

    A file may end before its map where the rest of that is not finished: ddrescue writes no further than it has read.
    Raises SourceMapError.
    """
    try:
        with FileSource(path) as source:
            text = read_at(source, 0, source.size).decode("latin-1") if source.size <= _MOST_BYTES else ""
        rows = list(rows_of(text))
    except (VhdxError, ValueError) as error:
        raise SourceMapError(path, file, f"it cannot be read as a map ({error})") from error
    if any(after.start < part.end for (part, _), (after, _) in pairwise(rows)):
        raise SourceMapError(path, file, "its ranges overlap")
    end = rows[-1][0].end if rows else 0
    finished = Ranges.of(part for part, sign in rows if sign == _FINISHED)
    if end < size:
        raise SourceMapError(path, file, f"it covers {counted(end, 'byte')} and the file has {size}")
    if len(finished) and finished.end[-1] > size:
        raise SourceMapError(path, file, f"it has {finished.end[-1]} bytes as read and the file has {size}")
    return finished.gaps(Range(0, size))


def rows_of(text: str) -> Iterator[tuple[Range, str]]:
    """The ranges of a map in their order, each with its sign; raises ValueError for what is no map."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    next(lines, None)  # where ddrescue itself is
    for line in lines:
        start, length, sign = line.split()[:3]
        part = Range(int(start, 0), int(length, 0))
        if sign not in _SIGNS or part.start < 0 or part.length <= 0 or part.end > np.iinfo(np.int64).max:
            raise ValueError(f"{line!r} is no range")
        yield part, sign


def unread_findings(source: ByteSource, severity: Severity) -> Iterator[Finding]:
    """FID-12, of a source of which something was not read."""
    unread = unread_of(source)
    if unread is not None:
        ranges = unread.ranges
        text = (
            f"{counted(ranges.size, 'byte')} of the file in {counted(len(ranges), 'range')} were not read when it was "
            f"copied, by {unread.map}: what they held is lost"
        )
        yield Finding("FID-12", severity, text, int(ranges.start[0]), int(ranges.length[0]))
