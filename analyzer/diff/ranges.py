"""Ranges that differ, in columns, and what the new state has there; rounded to granules; compared by content."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from analyzer.convert.cells import CELL, Bytes, units_touched
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.plans import GRANULE
from vhdx.ranges import Column, Range, Ranges, union
from vhdx.reader import Reader
from vhdx.runs import Kind, RunTable, cut_alike, cut_at

UNIT = 512
"""Bytes that are compared as one: the smallest sector. What is compared starts at a multiple of it."""
# Bytes between two candidates that are sooner read than skipped: a seek costs about as much as reading them. No test
# depends on the number; it changes time alone.
_WORTH_READING = 1 << 16


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
        return cls.of_content(runs.select(runs.kind != Kind.HOLE))

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


_Pieces = npt.NDArray[np.int64]
"""Granules that a range begins or ends in, in four rows: which, the least and greatest kind, how many bytes changed."""


def rounded(tables: Iterable[ChangeTable], granularity: int, end: int) -> Iterator[ChangeTable]:
    """The granules of `granularity` bytes, the last one cut at `end`, that any range touches.

    A granule that is of one kind throughout keeps it. One that was enlarged, or holds several kinds, is DATA: a reader
    who skips what is ZERO must not skip bytes that are merely beside zeros. One with anything LOST is LOST.
    """
    held: _Pieces = np.empty((4, 0), dtype=np.int64)
    for table in tables:
        if not len(table):
            continue
        pieces = _together(np.concatenate((held, _pieces(table, granularity)), axis=1))
        # The next table may add to the last granule.
        ready, held = pieces[:, :-1], pieces[:, -1:]
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
    return np.stack((granule, kind, kind, np.concatenate((head, tail))))


def _together(pieces: _Pieces) -> _Pieces:
    """The pieces, sorted, those of one granule made one."""
    granule, least, most, covered = pieces[:, np.argsort(pieces[0], kind="stable")]
    begins = np.flatnonzero(np.concatenate(([True], granule[1:] != granule[:-1])))
    merged = (np.minimum.reduceat(least, begins), np.maximum.reduceat(most, begins), np.add.reduceat(covered, begins))
    return np.stack((granule[begins], *merged))


def _decided(pieces: _Pieces, granularity: int, end: int) -> ChangeTable:
    granule, least, most, covered = pieces
    start = granule * granularity
    length = np.minimum(start + granularity, end) - start
    # LOST is the strongest, because nothing may hide it.
    pure = (least == most) & (covered == length)
    kind = np.where(most == Change.LOST, Change.LOST, np.where(pure, least, Change.DATA))
    return ChangeTable(start, length, kind.astype(np.int64))


def compare(
    old: Disk, new: Disk, candidates: Iterable[tuple[RunTable, RunTable]], progress: Progress = no_progress
) -> Iterator[ChangeTable]:
    """Of windows of candidates, each beside the old disk's own window, the units that really differ.

    What is LOST on either side cannot be compared and stays. Raises what reading raises.
    """
    readers, buffers = (Reader(old), Reader(new)), np.empty((2, CELL), dtype=np.uint8)

    def differing(part: Range) -> Ranges:
        """The units that differ in a range of at most a cell."""
        first, second = (buffer[: part.length] for buffer in buffers)
        for reader, buffer in zip(readers, (first, second), strict=True):
            reader.read_into(part.start, buffer.data)
        progress(part.length)
        units = Ranges.where(differing_units(first, second))
        return Ranges.between(part.start + units.start * UNIT, part.start + np.minimum(units.end * UNIT, part.length))

    for table, before in candidates:
        held = table.select(table.kind != Kind.HOLE)
        # Ranges of bounded length: a single run of a window may be the whole disk.
        for number in units_touched([held], GRANULE):
            start, end = number * GRANULE, (number + 1) * GRANULE
            yield _compared(*cut_alike(table.clip(start, end), before.clip(start, end)), differing)


def _compared(table: RunTable, before: RunTable, differing: Callable[[Range], Ranges]) -> ChangeTable:
    """The changes in one range of candidates, cut alike."""
    maybe = table.kind != Kind.HOLE
    # LOST on either side cannot be compared. It is kept as a change, since to leave it out would say that it is
    # the same: test_what_cannot_be_known_counts_as_changed_and_is_never_exported.
    lost = (table.kind == Kind.LOST) | (before.kind == Kind.LOST)
    found = union([table.select(maybe & lost).ranges, *map(differing, cells_of(table, maybe & ~lost, lost))])
    table, chosen = cut_at(table, found)
    return ChangeTable.of_runs(table.select(chosen))


def differing_units(first: Bytes, second: Bytes) -> npt.NDArray[np.bool_]:
    """For each unit of two equally long pieces, the last one perhaps shorter, whether any byte differs."""
    whole = len(first) // UNIT * UNIT
    # Eight bytes at a time: comparing takes an eighth of the steps.
    words = (part[:whole].view(np.uint64).reshape(-1, UNIT // 8) for part in (first, second))
    differs = np.not_equal(*words).any(axis=1)
    tail = np.array([(first[whole:] != second[whole:]).any()] if whole < len(first) else [], dtype=np.bool_)
    return np.concatenate((differs, tail))


def cells_of(table: RunTable, chosen: npt.NDArray[np.bool_], barred: npt.NDArray[np.bool_]) -> Iterator[Range]:
    """Ranges, at most a cell long, that cover the chosen runs and what is little between them, but no barred run."""
    start = end = -1
    for lower, length, wanted, no_entry in zip(
        *(column.tolist() for column in (table.start, table.length, chosen, barred)), strict=True
    ):
        if start >= 0 and (no_entry or (wanted and lower - end > _WORTH_READING)):
            yield from Range.between(start, end).pieces(CELL)
            start = -1
        if wanted:
            start, end = (start if start >= 0 else lower), lower + length
    if start >= 0:
        yield from Range.between(start, end).pieces(CELL)
