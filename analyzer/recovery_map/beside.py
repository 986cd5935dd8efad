"""What `vhdx recover` leaves beside an image, by name: its map and its account. Most images have neither."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vhdx.errors import VhdxError
from vhdx.source import FileSource, read_at
from vhdx.source_map import TITLES


def map_of(target: Path) -> Path:
    """Where the mapfile of an output is."""
    return target.with_name(target.name + ".map")


def account_of(target: Path) -> Path:
    """Where the account of an output is."""
    return target.with_name(target.name + ".json")


def maps_beside(image: Path) -> tuple[Path, ...]:
    """Files with the name of an image's map, whatever they hold; what ddrescue itself left is not meant."""
    longest = max(map(len, TITLES))
    return tuple(path for path in _beside(image, map_of) if not front_of(path, longest).startswith(TITLES))


def accounts_beside(image: Path) -> tuple[Path, ...]:
    """Files with the name of an image's account, whatever they hold."""
    return tuple(_beside(image, account_of))


def is_accompanied(image: Path) -> bool:
    """Whether anything beside an image could be its map or its account."""
    return bool(maps_beside(image) or accounts_beside(image))


def _beside(image: Path, name_of: Callable[[Path], Path]) -> Iterator[Path]:
    """Files of that name beside the image, and beside what a link of its name leads to."""
    for path in map(name_of, (image, image.resolve()) if image.is_symlink() else (image,)):
        try:
            if path.is_file():
                yield path
        except OSError:  # a name too long for the system is none of a file that is there
            continue


def front_of(path: Path, length: int) -> bytes:
    """The first bytes of a file; b"" where it cannot be read, and of what is no file: a pipe is never waited for."""
    try:
        with FileSource(path) as source:
            return read_at(source, 0, min(length, source.size))
    except VhdxError:
        return b""
