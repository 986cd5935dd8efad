"""Runs, the currency: which bytes of the disk come from where.

A RunTable is a sorted, gapless table over a range of the disk. Reading, converting, merging, comparing and mapping
all take tables and give tables.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from vhdx import kernels
from vhdx.kernels import DATA, HOLE, LOST, ZERO
from vhdx.ranges import Column, Range, Ranges, repeated


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

    @classmethod
    def marking(cls, ranges: Ranges, part: Range, kind: Kind, layer: int = 0) -> Self:
        """A gapless table over `part`: in the ranges runs of `kind` and `layer` that have no place, HOLE elsewhere."""
        inside = ranges.within(part)
        edges = np.concatenate(([part.start], np.column_stack((inside.start, inside.end)).ravel(), [part.end]))
        length = np.diff(edges)
        kinds = np.where(np.arange(len(length)) % 2, np.int64(kind), np.int64(HOLE))[length > 0]
        return cls(edges[:-1][length > 0], length[length > 0], kinds, np.full_like(kinds, layer), np.zeros_like(kinds))

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

    @property
    def range(self) -> Range:
        """From the first run to the last one, of a table that is not empty."""
        return Range.between(int(self.start[0]), self.end)

    @property
    def ranges(self) -> Ranges:
        """The bytes of the disk that the runs are about."""
        return Ranges.of_columns(self.start, self.length)

    def bytes_of(self, kind: Kind) -> int:
        """How many bytes of the disk are of one kind."""
        return int(self.length[self.kind == kind].sum())

    def first(self, count: int) -> "RunTable":
        """The first `count` runs."""
        return self if count >= len(self) else self.select(np.arange(len(self)) < count)

    def clip(self, start: int, end: int) -> "RunTable":
        """The part from byte `start` to byte `end` of the disk."""
        if not len(self) or (start <= self.start[0] and end >= self.end):
            return self
        # Starts alone are searched, for a table may be long and the part short.
        first = max(0, int(np.searchsorted(self.start, start, side="right")) - 1)
        first += int(self.start[first] + self.length[first] <= start)
        last = max(first, int(np.searchsorted(self.start, end, side="left"))) if end > start else first
        window = slice(first, last)
        begin = np.maximum(self.start[window], start)
        finish = np.minimum(self.start[window] + self.length[window], end)
        skipped = np.where(self.kind[window] == DATA, begin - self.start[window], 0)
        offset = self.file_offset[window] + skipped
        return RunTable(begin, finish - begin, self.kind[window], self.layer[window], offset)


def overlay(upper: RunTable, *lower: RunTable) -> RunTable:
    """The disk that shows when each table's holes let the next lower one through. All cover the same range."""
    tables = [upper, *lower]
    # Neighbours in pairs, again and again: a run is laid over as often as the number of layers can be halved, not once
    # for each layer below it. Which pair comes first does not matter to what shows.
    while len(tables) > 1:
        pairs = zip(tables[::2], tables[1::2], strict=False)
        tables = [merge_neighbours(_lay_over(*pair)) for pair in pairs] + tables[len(tables) // 2 * 2 :]
    return merge_neighbours(tables[0])


def with_lost(table: RunTable, lost: Ranges, layer: int = 0) -> RunTable:
    """The runs, with these ranges of the disk LOST in them, as runs of layer `layer`."""
    if not len(table) or not lost.touches(table.range):
        return table
    return overlay(RunTable.marking(lost, table.range, Kind.LOST, layer), table)


def _lay_over(upper: RunTable, lower: RunTable) -> RunTable:
    start, ends, of_upper, of_lower = _common_edges(upper, lower)
    # One index into both tables, one after the other: half the work of cutting both and choosing.
    index = np.where(upper.kind[of_upper] == HOLE, of_lower + len(upper), of_upper)
    kind, layer, offset, was = (
        np.concatenate(columns)[index]
        for columns in (
            (upper.kind, lower.kind),
            (upper.layer, lower.layer),
            (upper.file_offset, lower.file_offset),
            (upper.start, lower.start),
        )
    )
    return RunTable(start, ends - start, kind, layer, np.where(kind == DATA, offset + start - was, 0))


def changed(old: RunTable, new: RunTable) -> RunTable:
    """What of `new` does not come from the very place where `old` has it; HOLE elsewhere. Both cover the same range.

    `overlay(changed(old, new), old)` reads as `new` does. The layers of both tables must be counted in one chain, and
    must not have been written since: what was overwritten in place is not seen. Zeros of whatever kind are the same
    zeros. A hole of `new` where `old` has anything else comes out as ZERO.
    """
    now, before = cut_alike(new, old)
    known, was_known = _has_place(now), _has_place(before)
    # The same byte of the same file is the same byte. Equal content at another place counts as a change here; only
    # reading can find out, which is analyzer/diff/ranges.py.
    same_place = (now.kind == before.kind) & (now.layer == before.layer) & (now.file_offset == before.file_offset)
    stays = np.where(known, same_place, ~was_known)
    kind = np.where(stays, HOLE, np.where(now.kind == HOLE, ZERO, now.kind))
    layer, offset = np.where(stays, 0, now.layer), np.where(stays, 0, now.file_offset)
    return merge_neighbours(RunTable(now.start, now.length, kind, layer, offset))


def _has_place(table: RunTable) -> npt.NDArray[np.bool_]:
    """Where a table's bytes have a home, known or lost: where they are not zeros of whatever kind."""
    return np.isin(table.kind, (DATA, LOST))


def cut_alike(first: RunTable, second: RunTable) -> tuple[RunTable, RunTable]:
    """Both tables, over the same range, cut wherever either has an edge: run n of one is beside run n of the other."""
    start, ends, of_first, of_second = _common_edges(first, second)
    return _cut(first, start, ends, of_first), _cut(second, start, ends, of_second)


def cut_at(table: RunTable, ranges: Ranges) -> tuple[RunTable, npt.NDArray[np.bool_]]:
    """The table cut at the edges of ranges, and which of its runs are inside of them."""
    marks, table = cut_alike(RunTable.marking(ranges, table.range, Kind.DATA), table)
    return table, marks.kind == DATA


def cut_evenly(table: RunTable, unit: int) -> RunTable:
    """The table cut at every multiple of `unit` bytes of the disk; there may be gaps between its runs."""
    end = table.start + table.length
    first = table.start // unit
    index, step = repeated((end - 1) // unit - first + 1)
    start = (first[index] + step) * unit
    return _cut(table, np.maximum(table.start[index], start), np.minimum(end[index], start + unit), index)


def _common_edges(first: RunTable, second: RunTable) -> tuple[Column, Column, Column, Column]:
    """Start and end of each range between edges of either table, and the run of each table that it belongs to."""
    ends = np.concatenate((first.start + first.length, second.start + second.length))
    order = ends.argsort(kind="stable")  # two sorted sequences: merged in one pass, at a tie the first one's end first
    ends, of_first = ends[order], order < len(first)
    once = np.concatenate(([True], ends[1:] != ends[:-1]))[: len(ends)]
    # The run that an end belongs to is the one that as many ends of its table come before.
    index: Column = np.cumsum(of_first) - of_first
    ends, index, place = ends[once], index[once], np.flatnonzero(once)
    return np.concatenate((first.start[:1], ends[:-1])), ends, index, place - index


def _cut(table: RunTable, start: Column, ends: Column, index: Column) -> RunTable:
    kind = table.kind[index]
    offset = np.where(kind == DATA, table.file_offset[index] + start - table.start[index], 0)
    return RunTable(start, ends - start, kind, table.layer[index], offset)


def choose(mask: npt.NDArray[np.bool_], chosen: RunTable, other: RunTable) -> RunTable:
    """The runs of `chosen` where the mask is set, else those of `other`; both are cut alike."""
    kind, layer = np.where(mask, chosen.kind, other.kind), np.where(mask, chosen.layer, other.layer)
    return RunTable(other.start, other.length, kind, layer, np.where(mask, chosen.file_offset, other.file_offset))


def concatenate(tables: Iterable[RunTable]) -> RunTable:
    """Tables that follow one another as one; neighbours that meet at a seam are merged."""
    parts = [table for table in tables if len(table)]
    if len(parts) <= 1:
        return parts[0] if parts else RunTable.of([])
    columns = zip(*((part.start, part.length, part.kind, part.layer, part.file_offset) for part in parts), strict=True)
    joined = RunTable(*(np.concatenate(column) for column in columns))
    return merge_neighbours(joined)


def merge_neighbours(table: RunTable) -> RunTable:
    """The same runs, those that continue one another made one."""
    same = (table.kind[1:] == table.kind[:-1]) & (table.layer[1:] == table.layer[:-1])
    goes_on = table.file_offset[:-1] + table.length[:-1] == table.file_offset[1:]
    mergeable = same & ((table.kind[1:] != DATA) | goes_on)
    if not mergeable.any():
        return table
    first = np.flatnonzero(np.concatenate(([True], ~mergeable)))
    length = np.add.reduceat(table.length, first)
    return RunTable(table.start[first], length, table.kind[first], table.layer[first], table.file_offset[first])
