"""Ranges that differ, in columns, and what the new state has there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from vhdx.ranges import Column
from vhdx.runs import Kind, RunTable


class Change(IntEnum):
    """What the new state has where it differs."""

    GONE = 0
    """Nothing: the old state goes on past the new one's end."""
    ZERO = 1
    """Zeros, known to be such without reading."""
    DATA = 2
    """Stored bytes."""
    LOST = 3
    """It cannot be known, and so it counts as changed."""


_OF_KIND = np.array([{Kind.DATA: Change.DATA, Kind.LOST: Change.LOST}.get(kind, Change.ZERO) for kind in Kind])


@dataclass(frozen=True, slots=True, eq=False)
class ChangeTable:
    """Ranges in columns of int64, equally long: rising and apart; guest bytes, `kind` a Change."""

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

    def select(self, chosen: npt.NDArray[np.bool_] | slice) -> "ChangeTable":
        """The ranges that a mask or a slice chooses."""
        return ChangeTable(self.start[chosen], self.length[chosen], self.kind[chosen])


def joined(tables: Iterable[ChangeTable]) -> Iterator[ChangeTable]:
    """The same ranges, those of one kind that touch made one, across tables too."""
    last = ChangeTable.of(0, 0, Change.ZERO)
    for table in tables:
        merged = _merge(_concatenate(last, table))
        yield merged.select(slice(0, -1))
        last = merged.select(slice(-1, None))
    yield last


def _concatenate(first: ChangeTable, second: ChangeTable) -> ChangeTable:
    columns = ((first.start, second.start), (first.length, second.length), (first.kind, second.kind))
    return ChangeTable(*(np.concatenate(pair) for pair in columns))


def _merge(table: ChangeTable) -> ChangeTable:
    touches = table.start[1:] == table.start[:-1] + table.length[:-1]
    goes_on = touches & (table.kind[1:] == table.kind[:-1])
    if not goes_on.any():
        return table
    first = np.flatnonzero(np.concatenate(([True], ~goes_on)))
    return ChangeTable(table.start[first], np.add.reduceat(table.length, first), table.kind[first])
