"""Maps of ddrescue among the files that were named: which file each of them is of."""

from collections.abc import Sequence
from pathlib import Path

from vhdx.errors import ChainError
from vhdx.source_map import SourceMapError, SourceMaps, is_source_map, unread_by

# A mapfile names its program in its first lines.
_HEAD_LENGTH = 1 << 12


class UnclearMapError(ChainError):
    """A map was given that could be of several files, or of none."""

    path: Path
    files: tuple[Path, ...]

    def __str__(self) -> str:
        which = f"could be of {', '.join(map(str, self.files))}" if self.files else "fits none of the files named"
        return f"{self.path} is a map of ddrescue that {which}; say which file it is of with --source-map FILE=MAP"


def take_maps(inputs: Sequence[Path], maps: SourceMaps) -> tuple[tuple[Path, ...], SourceMaps]:
    """The inputs that are no maps, and the maps with those among the inputs; raises UnclearMapError."""
    given = [path for path in inputs if is_source_map(path)]
    files = tuple(path for path in inputs if path not in given)
    return files, SourceMaps((*maps.given, *((_file_of(path, files), path) for path in given)))


def _file_of(path: Path, files: Sequence[Path]) -> Path:
    """The file that a map is of: by its length, and where that fits several, by the names in the map and of it."""
    fitting = [file for file in files if _fits(path, file)]
    with path.open("rb") as file_of_map:
        head = file_of_map.read(_HEAD_LENGTH).decode("utf-8", "replace")
    named = [file for file in fitting if file.name in head or path.name.startswith(file.name)]
    found = fitting if len(fitting) == 1 else named
    if len(found) != 1:
        raise UnclearMapError(path, tuple(fitting))
    return found[0]


def _fits(path: Path, file: Path) -> bool:
    try:
        unread_by(path, file, file.stat().st_size)
    except (OSError, SourceMapError):
        return False
    return True
