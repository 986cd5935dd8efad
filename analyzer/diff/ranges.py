"""Ranges that differ, in columns, and what the new state has there; rounded outward to granules of any size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vhdx.ranges import Column
from vhdx.runs import Kind, RunTable


class Change(IntEnum):
    """What the new state has where it differs."""

    GONE = 0
    """Nothing: the old state continues past the new one's end."""
    ZERO = 1
    """Zeros, known to be such without reading."""
    DATA = 2
    """Stored bytes."""
    LOST = 3
    """It cannot be known, and so it counts as changed."""


_OF_KIND = np.array([{Kind.DATA: Change.DATA, Kind.LOST: Change.LOST}.get(kind, Change.ZERO) for kind in Kind])


@dataclass(frozen=True, slots=True, eq=False)
class ChangeTable:
    """Ranges in columns of int64, equally long: sorted and disjoint; guest bytes, `kind` a Change."""

    start: Column
    length: Column
    kind: Column

    @classmethod
    def of(cls, start: int, end: int, kind: Change) -> "ChangeTable":
        """One range from `start` to `end`; none when they are equal."""
        rows = np.array([(start, end - start, kind)] if end > start else [], dtype=np.int64).reshape(-1, 3)
        return cls(rows[:, 0], rows[:, 1], rows[:, 2])

    @classmethod
    def of_runs(cls, runs: RunTable) -> "ChangeTable":
        """The runs of a table of changes (see `vhdx.runs.changed`) that are no holes."""
        held = runs.select(runs.kind != Kind.HOLE)
        return cls(held.start, held.length, _OF_KIND[held.kind])

    @classmethod
    def of_content(cls, runs: RunTable) -> "ChangeTable":
        """All runs of a disk, each as a change: holes, which are left at the base, are zeros."""
        return cls(runs.start, runs.length, _OF_KIND[runs.kind])

    def __len__(self) -> int:
        """How many ranges."""
        return len(self.start)

    def __iter__(self) -> Iterator[tuple[int, int, Change]]:
        """The ranges, one by one: start, length, kind."""
        for start, length, kind in zip(*(c.tolist() for c in (self.start, self.length, self.kind)), strict=True):
            yield start, length, Change(kind)

    def select(self, chosen: npt.NDArray[np.bool_ | np.intp] | slice) -> "ChangeTable":
        """The ranges that a mask, a slice or numbers choose."""
        return ChangeTable(self.start[chosen], self.length[chosen], self.kind[chosen])


def joined(tables: Iterable[ChangeTable]) -> Iterator[ChangeTable]:
    """The same ranges, those of one kind that touch made one, across tables too."""
    last = ChangeTable.of(0, 0, Change.ZERO)
    for table in tables:
        whole = _concatenate(last, table)
        touches = whole.start[1:] == whole.start[:-1] + whole.length[:-1]
        goes_on = touches & (whole.kind[1:] == whole.kind[:-1])
        first = np.flatnonzero(np.concatenate((np.ones(min(1, len(whole)), np.bool_), ~goes_on)))
        length = np.add.reduceat(whole.length, first) if len(first) else whole.length
        merged = ChangeTable(whole.start[first], length, whole.kind[first])
        yield merged.select(slice(0, -1))
        last = merged.select(slice(-1, None))
    yield last


def _concatenate(first: ChangeTable, second: ChangeTable) -> ChangeTable:
    columns = ((first.start, second.start), (first.length, second.length), (first.kind, second.kind))
    return ChangeTable(*(np.concatenate(pair) for pair in columns))


class _Pieces(NamedTuple):
    """Granules that a range begins or ends in: which, the least and the greatest kind, and how many bytes changed."""

    granule: Column
    least: Column
    most: Column
    covered: Column


_NONE = _Pieces(*(np.empty(0, dtype=np.int64) for _ in range(4)))


def rounded(tables: Iterable[ChangeTable], granularity: int, end: int) -> Iterator[ChangeTable]:
    """The granules of `granularity` bytes, the last one cut at `end`, that any range touches, neighbours joined.

    A granule that is of one kind throughout keeps it. One that was enlarged, or holds several kinds, is DATA: a reader
    who skips what is ZERO must not skip bytes that are merely beside zeros. One with anything LOST is LOST.
    """
    return joined(_rounded(tables, granularity, end))


def _rounded(tables: Iterable[ChangeTable], granularity: int, end: int) -> Iterator[ChangeTable]:
    held = _NONE
    for table in tables:
        if not len(table):
            continue
        pieces = _together(held, _pieces(table, granularity))
        # The next table may add to the last granule.
        ready, held = (_Pieces(*(column[part] for column in pieces)) for part in (slice(0, -1), slice(-1, None)))
        # The granules that are wholly within a range, its first and last one left out.
        first = (table.start // granularity + 1) * granularity
        last = (table.start + table.length - 1) // granularity * granularity
        inner = ChangeTable(first, last - first, table.kind).select(last > first)
        both = _concatenate(inner, _decided(ready, granularity, end))
        yield both.select(np.argsort(both.start, kind="stable"))
    yield _decided(held, granularity, end)


def _pieces(table: ChangeTable, granularity: int) -> _Pieces:
    end = table.start + table.length
    first, last = table.start // granularity, (end - 1) // granularity
    crosses = last > first
    granule = np.concatenate((first, last[crosses]))
    kind = np.concatenate((table.kind, table.kind[crosses]))
    head = np.minimum(end, (first + 1) * granularity) - table.start
    tail = (end - last * granularity)[crosses]
    return _Pieces(granule, kind, kind, np.concatenate((head, tail)))


def _together(first: _Pieces, second: _Pieces) -> _Pieces:
    """All pieces, sorted, those of one granule made one."""
    granule, least, most, covered = (np.concatenate(pair) for pair in zip(first, second, strict=True))
    order = np.argsort(granule, kind="stable")
    granule, least, most, covered = (column[order] for column in (granule, least, most, covered))
    begins = np.flatnonzero(np.concatenate(([True], granule[1:] != granule[:-1])))
    return _Pieces(
        granule[begins],
        np.minimum.reduceat(least, begins),
        np.maximum.reduceat(most, begins),
        np.add.reduceat(covered, begins),
    )


def _decided(pieces: _Pieces, granularity: int, end: int) -> ChangeTable:
    start = pieces.granule * granularity
    length = np.minimum(start + granularity, end) - start
    # A granule that is partly ZERO is DATA: a reader who skips zeros would skip the bytes beside them. LOST is the
    # strongest, because nothing may hide it.
    pure = (pieces.least == pieces.most) & (pieces.covered == length)
    kind = np.where(pieces.most == Change.LOST, Change.LOST, np.where(pure, pieces.least, Change.DATA))
    return ChangeTable(start, length, kind.astype(np.int64))
