"""What of a disk is likely, not certain: it rests on structures that were rebuilt, or on an earlier state of a file."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analyzer.recover.inputs.layers import Level, Reason
from analyzer.recover.ranges import Ranges


class Cause(NamedTuple):
    """Why a range is in doubt, and by which level."""

    level: int
    reason: Reason


Piece = tuple[int, int, Cause | None]
"""(start, end, cause) in bytes of the disk."""


class Doubts:
    """The doubted ranges of each level: what shows from below such a range is in doubt, too."""

    def __init__(self, levels: Sequence[Level]) -> None:
        """Of levels, base first."""
        self._ranges = [
            (Cause(number, doubt.reason), Ranges(doubt.ranges))
            for number, level in reversed(list(enumerate(levels)))
            for doubt in level.doubts
            if doubt.ranges
        ]

    def __bool__(self) -> bool:
        """Whether anything is in doubt."""
        return bool(self._ranges)

    def split(self, start: int, end: int, level: int) -> Iterator[Piece]:
        """What `level` settles in pieces, rising, each with the uppermost doubt at or above that level."""
        pieces: list[Piece] = [(start, end, None)]
        for cause, ranges in self._ranges:
            if cause.level >= level:
                pieces = [part for piece in pieces for part in _cut(piece, cause, ranges)]
        yield from pieces


def _cut(piece: Piece, cause: Cause, ranges: Ranges) -> Iterator[Piece]:
    start, end, known = piece
    if known is not None:
        yield piece
        return
    for lower, upper, doubted in ranges.split(start, end):
        yield lower, upper, cause if doubted else None
