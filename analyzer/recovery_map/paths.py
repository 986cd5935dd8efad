"""The map and the account that `vhdx recover` leaves beside an image: their names, and how a map is known."""

from pathlib import Path

TITLE = "# Mapfile. Created by vhdx recover"
# How maps begin that are about the reading of a file, not about the disk in it; `ddrescuelog` writes the same.
_OF_DDRESCUE = (b"# Mapfile. Created by GNU ddrescue", b"# Rescue Logfile. Created by GNU ddrescue")


def map_of(target: Path) -> Path:
    """Where the mapfile of an output is."""
    return target.with_name(target.name + ".map")


def account_of(target: Path) -> Path:
    """Where the account of an output is."""
    return target.with_name(target.name + ".json")


def is_own_mapfile(path: Path) -> bool:
    """Whether a file begins as a mapfile of `vhdx recover` does."""
    return _begins_with(path, (TITLE.encode(),))


def maps_beside(image: Path) -> tuple[Path, ...]:
    """What is there under the name of an image's map, whatever it holds; what ddrescue itself left is not meant."""
    return tuple(
        path for path in map(map_of, _names(image)) if _is_there(path) and not _begins_with(path, _OF_DDRESCUE)
    )


def accounts_beside(image: Path) -> tuple[Path, ...]:
    """What is there under the name of an image's account, whatever it holds."""
    return tuple(path for path in map(account_of, _names(image)) if _is_there(path))


def _names(image: Path) -> tuple[Path, ...]:
    """The image, and what a link of its name leads to."""
    return (image, image.resolve()) if image.is_symlink() else (image,)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the system is none of a file that is there
        return False


def _begins_with(path: Path, beginnings: tuple[bytes, ...]) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(max(map(len, beginnings))).startswith(beginnings)
    except OSError:
        return False
