"""Which files a check is about: those named, and those that folders hold."""

import os
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

from vhdx.errors import VhdxError
from vhdx.source import FileSource, read_at
from vhdx.structures.identifier import SIGNATURE

_NAMES = {".vhdx", ".avhdx", ".vhds"}


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
        try:
            is_file = entry.is_file()
        except OSError:  # a link that leads in a circle
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth is Depth.TREE:
                yield from _of_folder(path, depth)
        elif is_file and _is_vhdx(path):
            yield path


def _is_vhdx(path: Path) -> bool:
    if path.suffix.lower() in _NAMES:
        return True
    try:
        with FileSource(path) as source:
            return source.size >= len(SIGNATURE) and read_at(source, 0, len(SIGNATURE)) == SIGNATURE
    except VhdxError:
        return False
