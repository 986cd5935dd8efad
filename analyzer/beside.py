"""The map and the account that `vhdx recover` leaves beside an image: their names, and how a map is known."""

from pathlib import Path

TITLE = "# Mapfile. Created by vhdx recover"


def map_of(target: Path) -> Path:
    """Where the mapfile of an output is."""
    return target.with_name(target.name + ".map")


def account_of(target: Path) -> Path:
    """Where the account of an output is."""
    return target.with_name(target.name + ".json")


def is_own_mapfile(path: Path) -> bool:
    """Whether a file begins as a mapfile of `vhdx recover` does."""
    try:
        with path.open("rb") as handle:
            return handle.read(len(TITLE)) == TITLE.encode()
    except OSError:
        return False
