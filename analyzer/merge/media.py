"""How the files are opened that a merge changes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from vhdx.edit.medium import Medium
from vhdx.in_place import open_edited

Media = Callable[[Path], AbstractContextManager[Medium]]
"""Opens a file to be changed in its place."""


@contextmanager
def in_place(path: Path) -> Iterator[Medium]:
    """The file itself, locked meanwhile; raises OutputError, InputOutputError."""
    with open_edited(path) as medium:
        yield medium
