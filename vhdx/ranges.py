"""Sets of bytes as sorted, disjoint ranges: union, intersection, difference, search.

Four words for a part of something, here and everywhere:

* A *range* is bytes that follow one another, of a disk or of a file: start and length, and nothing about what is in it.
* A *run* (`vhdx.runs`) is a range of the disk together with where its bytes come from.
* A *cell* is one of the equally long ranges that something is divided into, counted from 0: a unit of work.
* A *window* is the range whose table is in memory at one time, so that memory does not grow with the disk.

A set may as well be of cells or of MiB: the unit is the caller's.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.int64]
MOST = (1 << 63) - 1
"""The greatest end of a range in a set."""
_ROWS = np.dtype((np.int64, 2))
# So many rows are turned into tuples at a time: quick enough, and memory stays small.
_AT_ONCE = 1 << 14


class Range(NamedTuple):
    """`length` bytes from `start`."""

    start: int
    length: int

    @classmethod
    def between(cls, start: int, end: int) -> Self:
        """The bytes from `start` up to `end`, which is not one of them."""
        return cls(start, end - start)

    @property
    def end(self) -> int:
        """The first byte after the range."""
        return self.start + self.length

    def pieces(self, most: int) -> Iterator["Range"]:
        """The range in ranges of `most` bytes that follow one another, the last one perhaps shorter."""
        return (Range(at, min(most, self.end - at)) for at in range(self.start, self.end, most))


class NamedRange(NamedTuple):
    """A range of a file, and what is there, as messages name it."""

    start: int
    length: int
    name: str

    @property
    def end(self) -> int:
        """The first byte after the range."""
        return self.start + self.length


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """A set of bytes, which never changes: ranges in two columns, sorted and disjoint, none empty, no two touching.

    The columns are made by `of`, `of_columns` and `between`, never by hand. Single ranges may have any numbers, as
    hostile files do, and are cut at MOST; in columns that are handed in all ends are at most that.
    """

    start: Column
    length: Column

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> "Ranges":
        """The bytes of any ranges: in any order, overlapping, touching or empty."""
        edges = ((min(one.start, MOST), min(one.end, MOST)) for one in ranges)
        rows: Column = np.fromiter(edges, dtype=_ROWS)
        return cls.between(rows[:, 0], rows[:, 1])

    @classmethod
    def single(cls, part: Range) -> "Ranges":
        """As `of`, of one range that is not empty and ends at MOST or before: ten times as fast."""
        return cls(*np.array([[part.start], [part.length]], dtype=np.int64))

    @classmethod
    def of_columns(cls, start: Column, length: Column) -> "Ranges":
        """As `of`, from a column of starts and one of lengths."""
        return cls.between(start, start + length)

    @classmethod
    def between(cls, start: Column, end: Column) -> "Ranges":
        """As `of`, from a column of starts and one of ends; a range whose end is not behind its start is empty."""
        filled = start < end
        start, end = start[filled], end[filled]
        order = start.argsort(kind="stable")
        start, reach = start[order], np.maximum.accumulate(end[order])
        apart = start[1:] > reach[:-1]
        first, last = np.append(True, apart)[: len(start)], np.append(apart, True)[: len(start)]
        return cls(start[first], reach[last] - start[first])

    @classmethod
    def where(cls, marks: npt.NDArray[np.bool_]) -> "Ranges":
        """The places of an array that are set."""
        turns = np.flatnonzero(np.diff(marks, prepend=False, append=False)).astype(np.int64, copy=False)
        return cls(turns[::2], turns[1::2] - turns[::2])

    def __len__(self) -> int:
        """How many ranges."""
        return len(self.start)

    def __iter__(self) -> Iterator[Range]:
        """The ranges, sorted."""
        for index in range(0, len(self), _AT_ONCE):
            some = slice(index, index + _AT_ONCE)
            yield from map(Range, self.start[some].tolist(), self.length[some].tolist())

    def __eq__(self, other: object) -> bool:
        """Whether both are the same bytes."""
        if not isinstance(other, Ranges):
            return NotImplemented
        return np.array_equal(self.start, other.start) and np.array_equal(self.length, other.length)

    def __hash__(self) -> int:
        return hash((self.start.tobytes(), self.length.tobytes()))

    @property
    def size(self) -> int:
        """Bytes of all ranges together."""
        return int(self.length.sum())

    @property
    def end(self) -> Column:
        """The first byte after each range."""
        return self.start + self.length

    def __or__(self, other: "Ranges") -> "Ranges":
        """The bytes of either."""
        return union((self, other))

    def __and__(self, other: "Ranges") -> "Ranges":
        """The bytes of both."""
        return covered((self, other), at_least=2)

    def __sub__(self, other: "Ranges") -> "Ranges":
        """The bytes of this set that are not in the other."""
        if not len(self):
            return self
        return self & other.gaps(Range.between(int(self.start[0]), int(self.end[-1])))

    def gaps(self, part: Range) -> "Ranges":
        """The bytes of a range that are not in the set."""
        inside, start, end = self.within(part), min(part.start, MOST), min(part.end, MOST)
        return Ranges.between(np.append(start, inside.end), np.append(inside.start, end))

    def within(self, part: Range) -> "Ranges":
        """The bytes of the set that are in a range."""
        first, last = self._touched(part)
        if first == last:
            return NO_RANGES
        some = slice(first, last)
        start = np.maximum(self.start[some], part.start)
        return Ranges(start, np.minimum(self.start[some] + self.length[some], min(part.end, MOST)) - start)

    def split(self, part: Range) -> Iterator[tuple[Range, bool]]:
        """A range in pieces, sorted, each with whether it is in the set."""
        position = part.start
        for one in self.within(part):
            if position < one.start:
                yield Range.between(position, one.start), False
            yield one, True
            position = one.end
        if position < part.end:
            yield Range.between(position, part.end), False

    def touches(self, part: Range) -> bool:
        """Whether any byte of a range is in the set."""
        first, last = self._touched(part)
        return first < last

    def touches_any(self, parts: Iterable[Range]) -> bool:
        """Whether any byte of any of these ranges is in the set."""
        return len(self) > 0 and any(map(self.touches, parts))

    def covers(self, part: Range) -> bool:
        """Whether every byte of a range is in the set."""
        return self.within(part).size == max(0, part.length)

    def places_in(self, starts: Column) -> tuple[Column, npt.NDArray[np.bool_]]:
        """The number of the range that each byte is in, and whether it is in one: else the number says nothing."""
        if not len(self):
            return np.zeros(len(starts), dtype=np.int64), np.zeros(len(starts), dtype=np.bool_)
        index: Column = np.maximum(self.start.searchsorted(starts, "right") - 1, 0)
        return index, (self.start[index] <= starts) & (starts < self.end[index])

    def _touched(self, part: Range) -> tuple[int, int]:
        """The numbers of the first range that has a byte in `part`, and of the first one behind it."""
        if not len(self.start) or part.length <= 0:
            return 0, 0
        first = int(self.start.searchsorted(part.start, "right"))
        if first and self.start[first - 1] + self.length[first - 1] > part.start:
            first -= 1
        return first, max(first, int(self.start.searchsorted(part.end)))


NO_RANGES = Ranges.of(())
"""No bytes at all."""


def repeated(times: Column) -> tuple[Column, Column]:
    """Each index of `times` as often as it says there, and with each which of its times it is, from 0."""
    index = np.arange(len(times)).repeat(times)
    return index, np.arange(len(index)) - (times.cumsum() - times)[index]


def union(sets: Iterable[Ranges]) -> Ranges:
    """The bytes that are in any of the sets."""
    return covered([NO_RANGES, *sets], at_least=1)


def covered(sets: Sequence[Ranges], *, at_least: int) -> Ranges:
    """The bytes that are in at least so many of the sets: 1 is their union, all of them their intersection."""
    edges = np.concatenate([one.start for one in sets] + [one.end for one in sets])
    steps = np.repeat(np.array((1, -1)), len(edges) // 2)
    order = edges.argsort(kind="stable")  # sorted columns one after the other: merged, not sorted anew
    edges, level = edges[order], steps[order].cumsum()
    # Where several edges meet, only the level after the last of them counts: ranges that touch are one.
    last = np.append(edges[1:] != edges[:-1], True)[: len(edges)]
    edges, inside = edges[last], level[last] >= at_least
    turns = edges[np.diff(inside, prepend=False)]
    return Ranges(turns[::2], turns[1::2] - turns[::2])


def joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """Ranges that come sorted, those that overlap or touch made one: a set of which only one range is in memory."""
    pending = Range(0, 0)
    for one in ranges:
        if one.start <= pending.end and pending.length:
            pending = Range.between(pending.start, max(pending.end, one.end))
        elif one.length > 0:
            if pending.length:
                yield pending
            pending = one
    if pending.length:
        yield pending


class GrowingRanges:
    """A set of bytes that takes in one range after another and is asked in between.

    A new `Ranges` for each range would cost the square of their number; here it is a search and the shift of a list.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._ranges: Ranges | None = NO_RANGES

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._starts)

    def add(self, part: Range) -> None:
        """Take a range in; nothing happens when it is empty."""
        if part.length <= 0:
            return
        start, end = min(part.start, MOST), min(part.end, MOST)
        some = slice(bisect_left(self._ends, start), bisect_right(self._starts, end))
        self._starts[some], self._ends[some] = [min([start, *self._starts[some]])], [max([end, *self._ends[some]])]
        self._ranges = None

    def touches(self, part: Range) -> bool:
        """Whether any byte of a range is in the set."""
        index = bisect_right(self._ends, part.start)
        return part.length > 0 and index < len(self._starts) and self._starts[index] < part.end

    @property
    def ranges(self) -> Ranges:
        """The set as it is now; made anew only after something was added."""
        if self._ranges is None:
            edges = (np.array(column, dtype=np.int64) for column in (self._starts, self._ends))
            self._ranges = Ranges.between(*edges)
        return self._ranges
