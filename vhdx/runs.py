"""Runs, the currency: which bytes of the disk come from where.

A RunTable is a sorted, gapless table over a range of the disk. Reading, converting, merging, comparing and mapping
all take tables and give tables.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from vhdx import kernels

Column = npt.NDArray[np.int64]


class Kind(IntEnum):
    """What a run is made of."""

    DATA = kernels.DATA
    """Bytes at `file_offset` of the layer's file."""
    ZERO = kernels.ZERO
    """Zeros, which hide the parent."""
    TRIM = kernels.TRIM
    """Unmapped or undefined: reads as zeros and hides the parent, nothing more is promised."""
    HOLE = kernels.HOLE
    """Nothing here: the parent shows; zeros at the base."""
    LOST = kernels.LOST
    """It was there and cannot be known: missing layer, truncated file, invalid table entry."""


class Run(NamedTuple):
    """One run: `length` bytes of the disk from `start`; `file_offset` is a host byte and counts for DATA alone."""

    start: int
    length: int
    kind: Kind
    layer: int
    file_offset: int

    @property
    def end(self) -> int:
        """The first byte of the disk after the run."""
        return self.start + self.length


@dataclass(frozen=True, slots=True, eq=False)
class RunTable:
    """Runs in columns of int64, equally long: sorted, without gaps, neighbours never mergeable.

    `start` and `length` are guest bytes, `kind` holds the values of Kind, `layer` counts from 0, the base,
    `file_offset` is host bytes and 0 where the kind is not DATA.
    """

    start: Column
    length: Column
    kind: Column
    layer: Column
    file_offset: Column

    @classmethod
    def of(cls, runs: Iterable[tuple[int, int, int, int, int]]) -> Self:
        """The table of (start, length, kind, layer, file_offset) tuples, which are taken as they are."""
        rows = np.array(list(runs), dtype=np.int64).reshape(-1, 5)
        return cls(*(np.ascontiguousarray(rows[:, column]) for column in range(5)))

    @classmethod
    def filled(cls, start: int, end: int, kind: Kind, layer: int) -> Self:
        """One run from `start` to `end`; no run when they are equal."""
        return cls.of([(start, end - start, kind, layer, 0)] if end > start else [])

    def __len__(self) -> int:
        """How many runs."""
        return len(self.start)

    def __iter__(self) -> Iterator[Run]:
        """The runs, one by one, for people and small tables."""
        columns = (self.start, self.length, self.kind, self.layer, self.file_offset)
        for start, length, kind, layer, offset in zip(*(column.tolist() for column in columns), strict=True):
            yield Run(start, length, Kind(kind), layer, offset)

    @property
    def end(self) -> int:
        """The first byte of the disk after the last run; 0 for an empty table."""
        return int(self.start[-1] + self.length[-1]) if len(self) else 0

    def select(self, mask: npt.NDArray[np.bool_]) -> "RunTable":
        """The runs that a mask marks: a table that may have gaps."""
        return RunTable(self.start[mask], self.length[mask], self.kind[mask], self.layer[mask], self.file_offset[mask])

    def of_kind(self, kind: Kind) -> "RunTable":
        """The runs of one kind: a table that may have gaps."""
        return self.select(self.kind == kind)

    def bytes_of(self, kind: Kind) -> int:
        """How many bytes of the disk are of one kind."""
        return int(self.length[self.kind == kind].sum())

    def clip(self, start: int, end: int) -> "RunTable":
        """The part from byte `start` to byte `end` of the disk."""
        if not len(self) or (start <= self.start[0] and end >= self.end):
            return self
        first = int(np.searchsorted(self.start + self.length, start, side="right"))
        last = max(first, int(np.searchsorted(self.start, end, side="left"))) if end > start else first
        window = slice(first, last)
        begin = np.maximum(self.start[window], start)
        finish = np.minimum(self.start[window] + self.length[window], end)
        skipped = np.where(self.kind[window] == Kind.DATA, begin - self.start[window], 0)
        offset = self.file_offset[window] + skipped
        return RunTable(begin, finish - begin, self.kind[window], self.layer[window], offset)


def overlay(upper: RunTable, lower: RunTable) -> RunTable:
    """The disk that shows when `upper`'s holes let `lower` through. Both cover the same range."""
    return _combine(kernels.overlay, upper, lower)


def changed(old: RunTable, new: RunTable) -> RunTable:
    """What of `new` does not come from the very place where `old` has it; HOLE elsewhere. Both cover the same range.

    `overlay(changed(old, new), old)` reads as `new` does. The layers of both tables must be counted in one chain, and
    must not have been written since: what was overwritten in place is not seen.
    """
    return _combine(kernels.changed, new, old)


def concatenate(tables: Iterable[RunTable]) -> RunTable:
    """Tables that follow one another as one; neighbours that meet at a seam are merged."""
    parts = [table for table in tables if len(table)]
    if len(parts) <= 1:
        return parts[0] if parts else RunTable.of([])
    columns = zip(*((part.start, part.length, part.kind, part.layer, part.file_offset) for part in parts), strict=True)
    joined = RunTable(*(np.concatenate(column) for column in columns))
    return _merge_neighbours(joined)


def _merge_neighbours(table: RunTable) -> RunTable:
    same = (table.kind[1:] == table.kind[:-1]) & (table.layer[1:] == table.layer[:-1])
    goes_on = table.file_offset[:-1] + table.length[:-1] == table.file_offset[1:]
    mergeable = same & ((table.kind[1:] != Kind.DATA) | goes_on)
    if not mergeable.any():
        return table
    first = np.flatnonzero(np.concatenate(([True], ~mergeable)))
    length = np.add.reduceat(table.length, first)
    return RunTable(table.start[first], length, table.kind[first], table.layer[first], table.file_offset[first])


def _combine(kernel: Callable[..., int], first: RunTable, second: RunTable) -> RunTable:
    if not len(first):
        return first
    room = len(first) + len(second)
    outputs = [np.empty(room, dtype=np.int64) for _ in range(5)]
    inputs = [
        column for table in (first, second) for column in (table.length, table.kind, table.layer, table.file_offset)
    ]
    count = kernels.call(kernel, room * kernels.STEPS_OF_RUN, inputs, outputs, int(first.start[0]))
    return RunTable(*(column[:count].copy() for column in outputs))
