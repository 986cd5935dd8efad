"""What of a disk rests on structures that were lost and rebuilt, and are likely, not certain."""

from collections.abc import Iterator, Sequence

from analyzer.recover.levels import Level
from analyzer.recover.ranges import Ranges


class Doubts:
    """The doubted ranges of each level: what shows from below such a range is in doubt, too."""

    def __init__(self, levels: Sequence[Level]) -> None:
        """Of levels, base first."""
        self._ranges = [(number, Ranges(level.doubted)) for number, level in enumerate(levels) if level.doubted]

    def __bool__(self) -> bool:
        """Whether anything is in doubt."""
        return bool(self._ranges)

    def split(self, start: int, end: int, level: int) -> Iterator[tuple[int, int, int | None]]:
        """What `level` settles in pieces, rising: (start, end, the uppermost level at or above it that is in doubt)."""
        above = [(number, ranges) for number, ranges in self._ranges if number >= level]
        pieces: list[tuple[int, int, int | None]] = [(start, end, None)]
        for number, ranges in reversed(above):
            pieces = [part for piece in pieces for part in _cut(piece, number, ranges)]
        yield from pieces


def _cut(piece: tuple[int, int, int | None], number: int, ranges: Ranges) -> Iterator[tuple[int, int, int | None]]:
    start, end, cause = piece
    if cause is not None:
        yield piece
        return
    for lower, upper, doubted in ranges.split(start, end):
        yield lower, upper, number if doubted else None
