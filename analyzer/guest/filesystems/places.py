"""Ranges of a disk in columns, and which of many others they touch: interval search."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.guest.filesystems.record import Place
from vhdx.runs import Column


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Ranges of bytes, rising and apart."""

    start: Column
    end: Column

    @classmethod
    def of(cls, ranges: Iterable[Place]) -> "Places":
        """The ranges (start, length), in any order; those that overlap or touch become one."""
        rows = np.array([row for row in ranges if row[1] > 0], dtype=np.int64).reshape(-1, 2)
        start, end = rows[:, 0], rows[:, 0] + rows[:, 1]
        order = np.argsort(start, kind="stable")
        start, reach = start[order], np.maximum.accumulate(end[order]) if len(end) else end
        first = np.concatenate(([True], start[1:] > reach[:-1]))[: len(start)]
        last = np.concatenate((first[1:], [True]))[: len(start)]
        return cls(start[first], reach[last])

    def __len__(self) -> int:
        """How many ranges."""
        return len(self.start)

    def __iter__(self) -> Iterator[Place]:
        """The ranges, (start, length)."""
        yield from zip(self.start.tolist(), (self.end - self.start).tolist(), strict=True)

    def touch(self, places: Iterable[Place]) -> bool:
        """Whether any byte of these other places, (start, length), is in one of the ranges."""
        if not len(self.start):
            return False
        for start, length in places:
            index = int(self.end.searchsorted(start, "right"))
            if length > 0 and index < len(self.start) and self.start[index] < start + length:
                return True
        return False

    def within(self, start: int, length: int) -> list[Place]:
        """The parts of the ranges that lie in `length` bytes from `start`."""
        first = int(self.end.searchsorted(start, "right"))
        last = int(self.start.searchsorted(start + length, "left"))
        lower = np.maximum(self.start[first:last], start)
        upper = np.minimum(self.end[first:last], start + length)
        return list(zip(lower.tolist(), (upper - lower).tolist(), strict=True))

    def shared_with(self, places: Iterable[Place]) -> "Places":
        """What the ranges have in common with others."""
        return Places.of(part for start, length in places for part in self.within(start, length))

    @property
    def size(self) -> int:
        """Bytes of all ranges together."""
        return int((self.end - self.start).sum())


NOWHERE = Places.of(())
"""No bytes at all."""
