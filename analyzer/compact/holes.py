"""Holes in the host's file where a file is zeros: the host has that room back, and the file reads the same."""

from pathlib import Path

import numpy as np

from analyzer.convert.cells import nonzero_ranges
from analyzer.merge.media import Media, in_place
from vhdx.errors import OutputError
from vhdx.ranges import Range, Ranges
from vhdx.source import FileSource, read_at
from vhdx.structures.constants import KIB, MIB
from vhdx.system import files, windows

_PIECE = MIB
# A hole ends what the host has in one piece: for less it is not worth that.
_LEAST = 64 * KIB


def require_holes(path: Path) -> None:
    """Raise OutputError where a file must have no holes, or cannot: Windows attaches none that has (0xC03A001A)."""
    advice = "leave out --host-sparse; a file that is smaller needs no holes"
    if windows.HERE or files.is_read_by_windows(path.parent):
        raise OutputError(
            path, "Windows attaches no file with holes (0xC03A001A), and it is where Windows reads", advice
        )
    if not files.keeps_holes(path.parent):
        raise OutputError(path, "its file system keeps no holes", advice)


def make_holes(path: Path, media: Media = in_place) -> int:
    """Make holes of what is zeros and takes room; returns by how many bytes the file takes less of the host's.

    The file reads the same at every moment. Raises as `require_holes` does, and what reading and writing raise.
    """
    require_holes(path)
    with FileSource(path) as source, media(path) as medium:
        before = _held(source)
        for held in source.extents():
            for piece in held.pieces(_PIECE):
                data = np.frombuffer(read_at(source, *piece), dtype=np.uint8)
                filled = Ranges.of(Range(piece.start + one.start, one.length) for one in nonzero_ranges(data))
                for gap in filled.gaps(piece):
                    if gap.length >= _LEAST:
                        medium.zero(gap)
        medium.flush()
        return before - _held(source)


def _held(source: FileSource) -> int:
    return sum(one.length for one in source.extents())
