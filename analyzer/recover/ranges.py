"""A set of ranges of bytes that grows: what could not be read, or what an earlier run has already."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]
"""(start, end) in bytes."""


class Ranges:
    """Ranges, rising and apart; those that overlap or touch are one."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """Begin with these, in any order."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Take a range in; nothing happens when it is empty."""
        if start >= end:
            return
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def within(self, start: int, end: int) -> Iterator[Range]:
        """The parts of the ranges that lie in [start, end), rising."""
        first = bisect_right(self._ends, start)
        for index in range(first, bisect_left(self._starts, end)):
            yield max(start, self._starts[index]), min(end, self._ends[index])

    def split(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """[start, end) in pieces, rising: (start, end, whether it is in the set)."""
        position = start
        for lower, upper in self.within(start, end):
            if position < lower:
                yield position, lower, False
            yield lower, upper, True
            position = upper
        if position < end:
            yield position, end, False

    def touches(self, start: int, end: int) -> bool:
        """Whether any byte of [start, end) is in the set."""
        index = bisect_right(self._ends, start)
        return index < len(self._starts) and self._starts[index] < end

    def __iter__(self) -> Iterator[Range]:
        """All ranges, rising."""
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._starts)
