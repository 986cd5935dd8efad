"""Scratch files by their names: made new, or taken over from a run that ended or was killed."""

from pathlib import Path

from analyzer.serve.scratch import Scratch
from analyzer.serve.scratch_layout import PAGE, ScratchHeader, build_header, parse_header
from vhdx.errors import OutputError
from vhdx.in_place import EditedFile, open_edited
from vhdx.sink import Existing, Sink
from vhdx.source import Closing, read_if_possible
from vhdx.targets import check_target

SUFFIX = ".scratch"


class ScratchFile(Closing):
    """A scratch file that is open, and locked."""

    def __init__(self, medium: EditedFile, scratch: Scratch) -> None:
        """Both are closed with this; what was written is made durable first."""
        self.path, self.scratch, self._medium = medium.path, scratch, medium

    def close(self) -> None:
        """Make all of it durable, and close the file."""
        try:
            self.scratch.flush()
        finally:
            self._medium.close()

    def remove(self) -> None:
        """Close the file, and remove it."""
        self._medium.close()
        self.path.unlink()


def create_scratch(path: Path, header: ScratchHeader) -> ScratchFile:
    """A new file, empty; raises OutputError, InputOutputError."""
    check_target(path, (), Existing.REFUSE)
    with Sink(path) as sink:
        sink.make_sparse()
        sink.write_at(0, build_header(header))
        sink.set_size(header.first_place)
        sink.commit()
    medium = open_edited(path)
    return ScratchFile(medium, Scratch(medium, header))


def resume_scratch(path: Path, header: ScratchHeader) -> ScratchFile:
    """What an earlier run left; raises OutputError where it is none, is damaged, or belongs to another disk."""
    medium = open_edited(path)
    try:
        return ScratchFile(medium, _resumed(medium, header))
    except BaseException:
        medium.close()
        raise


def _resumed(medium: EditedFile, header: ScratchHeader) -> Scratch:
    path, found = medium.path, parse_header(read_if_possible(medium, 0, PAGE).ljust(PAGE, b"\0"))
    if found is None:
        raise OutputError(path, "it is no scratch file of `vhdx serve`", "name the file that it wrote")
    if (found.identity, found.size, found.sector_size) != (header.identity, header.size, header.sector_size):
        reason = f"it was written over another disk, {found.below}, or that was changed since"
        raise OutputError(path, reason, "serve that disk, as it was then, with this file")
    scratch = Scratch(medium, found)
    if not scratch.load():
        raise OutputError(path, "its table leads out of it: it is damaged", "get a whole copy of it")
    return scratch
