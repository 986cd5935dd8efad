"""What block status says of a disk, by three contexts, made of its runs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from analyzer.nbd.numbers import Allocation
from analyzer.nbd.transmission import Extent
from analyzer.serve.export import Export
from vhdx.plans import GRANULE
from vhdx.ranges import Column, Ranges
from vhdx.runs import Kind, RunTable, cut_at, overlay

# Ranges of one reply: half a MiB of it, and more than most clients take in at a time.
MOST_EXTENTS = 1 << 16
WORTH_TELLING = 256 << 10
"""Bytes of zeros that are told as such, as many as nbdcopy reads at a time.

A client asks for each range by a request of its own. Of fewer zeros between data it is cheaper to ask for all in one,
whose reply has them by their number.
"""
NO_LAYER = 0xFFFFFFFF
"""What `vhdx:layer` says where no layer holds anything."""
KNOWN, STALE, LOST = 0, 1, 2
"""What `vhdx:status` says: the state that is meant; an older or unproved one; not known, and an error to read."""


class Context(Enum):
    """The contexts, by their names."""

    ALLOCATION = "base:allocation"
    """As every client knows it: 0 data or a few zeros, 3 zeros. What is LOST is 0: it has to be read, and fails."""
    LAYER = "vhdx:layer"
    """The number of the layer that decides, 0 for the base."""
    STATUS = "vhdx:status"
    """Whether it is known: KNOWN, STALE, LOST."""


NUMBERS = {context: number for number, context in enumerate(Context, 1)}
"""The number of each context on every connection."""
_BY_NUMBER = {number: context for context, number in NUMBERS.items()}


Value = TypeVar("Value", bound=np.generic)


def matching(query: str) -> Iterator[Context]:
    """The contexts that a client means by one query of a list: a whole name, or a namespace with its colon."""
    return (context for context in Context if query in {context.value, f"{context.value.partition(':')[0]}:"})


class BlockStatus:
    """Answers for one connection; keeps the runs asked for last, since most clients go on where they were."""

    def __init__(self, export: Export) -> None:
        """Answer for this export."""
        self._export, self._kept = export, RunTable.of([])

    def extents(self, number: int, start: int, end: int, most: int = MOST_EXTENTS) -> Sequence[Extent]:
        """What the context of a number says of the ranges from `start` on: at least one, none past `end`."""
        table = self._with_written(self._table_at(start).clip(start, end))
        lengths, values = _joined(*_statuses(_BY_NUMBER[number], table, self._export.stale))
        return [Extent(*one) for one in zip(lengths[:most].tolist(), values[:most].tolist(), strict=True)]

    def _with_written(self, table: RunTable) -> RunTable:
        """The runs with what clients have written up to now, as a layer above all others."""
        if self._export.scratch is None:
            return table
        sector, above = self._export.disk.sector_size, len(self._export.disk.sources)
        first = table.range.start // sector * sector
        written = next(self._export.scratch.windows(first, table.end)).clip(*_edges(table))
        upper = replace(written, layer=np.full_like(written.layer, above))
        return overlay(upper, table.clip(*_edges(written)))

    def _table_at(self, start: int) -> RunTable:
        if not len(self._kept) or not self._kept.range.start <= start < self._kept.end:
            granule = start // GRANULE
            self._kept = (self._export.plans.kept(granule) or self._export.plans.keep(granule)).table
        return self._kept


def _edges(table: RunTable) -> tuple[int, int]:
    return table.range.start, table.end


def _statuses(context: Context, table: RunTable, stale: Ranges) -> tuple[Column, Column]:
    """Lengths and values of a table's ranges."""
    if context is Context.LAYER:
        return table.length, np.where(table.kind == Kind.HOLE, NO_LAYER, table.layer)
    if context is Context.STATUS:
        cut, is_stale = cut_at(table, stale)
        return cut.length, np.where(cut.kind == Kind.LOST, LOST, np.where(is_stale, STALE, KNOWN))
    # Neighbours are one before they are measured: zeros of two layers are as long as both.
    lengths, is_zero = _joined(table.length, ~np.isin(table.kind, (Kind.DATA, Kind.LOST)))
    is_told = is_zero & (lengths >= WORTH_TELLING)
    is_told[[0, -1]] = is_zero[[0, -1]]  # there may be more of them outside
    return lengths, np.where(is_told, np.int64(Allocation.HOLE | Allocation.ZERO), np.int64(0))


def _joined(lengths: Column, values: npt.NDArray[Value]) -> tuple[Column, npt.NDArray[Value]]:
    """The same with neighbours of one value made one."""
    first = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    return np.add.reduceat(lengths, first), values[first]
