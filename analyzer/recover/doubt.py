"""What of a disk rests on structures that were lost and rebuilt, and are likely, not certain, or merely guessed."""

from collections.abc import Iterator, Sequence

from analyzer.recover.levels import Level
from analyzer.recover.ranges import Ranges
from analyzer.salvage import Certainty

Doubt = tuple[int, Certainty]
"""The level that is in doubt, and how far it can be believed."""
Piece = tuple[int, int, Doubt | None]
"""(start, end, why it is in doubt) in bytes of the disk."""


class Doubts:
    """The doubted ranges of each level: what shows from below such a range is in doubt, too."""

    def __init__(self, levels: Sequence[Level]) -> None:
        """Of levels, base first."""
        kinds = (
            ((number, certainty), ranges)
            for number, level in enumerate(levels)
            for certainty, ranges in ((Certainty.LIKELY, level.doubted), (Certainty.GUESSED, level.guessed))
        )
        self._ranges = [(doubt, Ranges(ranges)) for doubt, ranges in kinds if ranges]

    def __bool__(self) -> bool:
        """Whether anything is in doubt."""
        return bool(self._ranges)

    def split(self, start: int, end: int, level: int) -> Iterator[Piece]:
        """What `level` settles in pieces, rising, with the doubt of the uppermost level at or above it that has one.

        Of one level a guess says more than a likelihood.
        """
        above = [(doubt, ranges) for doubt, ranges in self._ranges if doubt[0] >= level]
        pieces: list[Piece] = [(start, end, None)]
        for doubt, ranges in reversed(above):
            pieces = [part for piece in pieces for part in _cut(piece, doubt, ranges)]
        yield from pieces


def _cut(piece: Piece, doubt: Doubt, ranges: Ranges) -> Iterator[Piece]:
    start, end, known = piece
    if known is not None:
        yield piece
        return
    for lower, upper, doubted in ranges.split(start, end):
        yield lower, upper, doubt if doubted else None
