"""What of a disk is likely, not certain: it rests on structures that were rebuilt, or on an earlier state of a file."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analyzer.recover.inputs.layers import Level, Reason
from vhdx.ranges import Range, Ranges


class Cause(NamedTuple):
    """Why a range is in doubt, and by which level."""

    level: int
    reason: Reason


Piece = tuple[Range, Cause | None]
"""A range of the disk, and why it is in doubt."""


class Doubts:
    """The doubted ranges of each level: what shows from below such a range is in doubt, too."""

    def __init__(self, levels: Sequence[Level]) -> None:
        """Of levels, base first."""
        self._ranges = [
            (Cause(number, doubt.reason), doubt.ranges)
            for number, level in reversed(list(enumerate(levels)))
            for doubt in level.doubts
            if doubt.ranges
        ]

    def __bool__(self) -> bool:
        """Whether anything is in doubt."""
        return bool(self._ranges)

    def split(self, part: Range, level: int) -> Iterator[Piece]:
        """What `level` settles in pieces, rising, each with the uppermost doubt at or above that level."""
        pieces: list[Piece] = [(part, None)]
        for cause, ranges in self._ranges:
            if cause.level >= level:
                pieces = [cut for piece in pieces for cut in _cut(piece, cause, ranges)]
        yield from pieces


def _cut(piece: Piece, cause: Cause, ranges: Ranges) -> Iterator[Piece]:
    part, known = piece
    if known is not None:
        yield piece
        return
    for one, doubted in ranges.split(part):
        yield one, cause if doubted else None
