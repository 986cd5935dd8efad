"""Whether an output may be written where it is wanted: asked before anything is, by all that writes files."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from vhdx.contents import open_structures
from vhdx.errors import FileSystemFullError, InputOutputError, NoSpaceError, OutputError, VhdxError
from vhdx.sink import Existing, part_of, refuse_left_over
from vhdx.source import file_identity
from vhdx.system import files


def check_target(target: Path, sources: Sequence[Path], existing: Existing) -> None:
    """Refuse a target that is a source, that exists, or that is no regular file; raises OutputError.

    A differencing file is never replaced, even with `--force`: it may be the newest state of somebody's disk, and who
    gives two arguments in the wrong order asks for just that.
    """
    if not target.name or target.name == ".." or target.is_dir():
        raise OutputError(target, "it is a folder", "name a file in it")
    if files.is_stream(target.name):
        raise OutputError(target, "it would be a stream of another file", "leave the colon out")
    for place in (target, part_of(target)):
        same = [source for source in sources if file_identity(place) == file_identity(source) is not None]
        if same:
            raise OutputError(place, f"it is a source ({same[0]}), which is never written to", "name another target")
        if place.is_symlink() or place.exists():
            _refuse_existing(place, target, existing)
    if not target.parent.is_dir():
        raise OutputError(target, "its folder does not exist", "make the folder first")


def _refuse_existing(place: Path, target: Path, existing: Existing) -> None:
    if place.exists() and not place.is_file():
        raise OutputError(place, "it is not a regular file", "name a new file")
    if existing is not Existing.REPLACE and place == target:
        raise OutputError(place, "it exists already", "name another target, or replace it with --force")
    if place == target and _is_differencing(target):
        raise OutputError(place, "it is a checkpoint (a differencing file)", "move it away first if it may go")
    if existing is Existing.REFUSE:
        refuse_left_over(place)
    if reason := files.why_not_replaceable(place):
        raise OutputError(place, reason, "close or change it first, or name another target")


def check_space(target: Path, needed: int) -> None:
    """Refuse a target whose file system has less than `needed` bytes free; raises NoSpaceError."""
    # statvfs by way of shutil: the same call on every system, for the folder that will hold the file.
    import shutil

    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise NoSpaceError(target, needed, free)


def _is_differencing(path: Path) -> bool:
    """Whether a file is a VHDX with a parent, or was one before it was damaged: its parameters or locator say so."""
    try:
        structures = open_structures(path)
    except VhdxError:
        return False
    with closing(structures):
        return bool(structures.has_parent) or structures.locator.value is not None


def make_folder(root: Path) -> None:
    """Make the folder that outputs go to, where there is none. Raises OutputError, InputOutputError."""
    try:
        root.mkdir(exist_ok=True)
    except FileNotFoundError:
        raise OutputError(root, "the folder above it does not exist", "make that first") from None
    except FileExistsError:
        raise OutputError(root, "it is no folder", "name another one") from None
    except OSError as error:
        if files.is_full(error):
            raise FileSystemFullError(root) from error
        raise InputOutputError(root, "make the folder", error.strerror or str(error)) from error
