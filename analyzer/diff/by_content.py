"""What differs by content, among the ranges that may."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from analyzer.convert.cells import CELL, Bytes, units_touched
from analyzer.diff.ranges import ChangeTable
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.ranges import Column
from vhdx.reader import GRANULE, Reader
from vhdx.runs import Kind, RunTable, cut_alike

UNIT = 512
"""Bytes that are compared as one: the smallest sector. What is compared starts upon a multiple of it."""
_WORTH_READING = 1 << 16
"""Bytes between two candidates that are sooner read than skipped."""


def compare(
    old: Disk, new: Disk, candidates: Iterable[tuple[RunTable, RunTable]], progress: Progress = no_progress
) -> Iterator[ChangeTable]:
    """Of windows of candidates, each beside the old disk's own window, the units that really differ.

    What is LOST on either side cannot be compared and stays. Raises what reading raises.
    """
    comparer = _Comparer(old, new, progress)
    for table, before in candidates:
        held = table.select(table.kind != Kind.HOLE)
        # Ranges of bounded length: a single run of a window may be the whole disk.
        for number in units_touched([held], GRANULE):
            start, end = number * GRANULE, (number + 1) * GRANULE
            yield comparer.differing(table.clip(start, end), before.clip(start, end))


class _Comparer:
    """Two disks, and the buffers that their bytes are compared in."""

    def __init__(self, old: Disk, new: Disk, progress: Progress) -> None:
        self._old, self._new, self._progress = Reader(old), Reader(new), progress
        self._buffers = np.empty((2, CELL), dtype=np.uint8)

    def differing(self, table: RunTable, before: RunTable) -> ChangeTable:
        """What of one range of candidates differs."""
        table, before = cut_alike(table, before)
        maybe = table.kind != Kind.HOLE
        unknown = maybe & ((table.kind == Kind.LOST) | (before.kind == Kind.LOST))
        lost = (table.kind == Kind.LOST) | (before.kind == Kind.LOST)
        found = [self._edges(start, end) for start, end in spans(table, maybe & ~unknown, lost)]
        lower, upper = table.start[unknown], table.start[unknown] + table.length[unknown]
        edges = np.concatenate([np.empty((0, 2), np.int64), np.column_stack((lower, upper)), *found])
        edges = edges[np.argsort(edges[:, 0], kind="stable")]
        marked, table = cut_alike(_covering(edges, int(table.start[0]), table.end), table)
        return ChangeTable.of_runs(table.select(marked.kind == Kind.DATA))

    def _edges(self, start: int, end: int) -> Column:
        """(start, end) of the units that differ in a range of at most a cell; neighbours are one."""
        first, second = (buffer[: end - start] for buffer in self._buffers)
        self._old.read_into(start, first.data)
        self._new.read_into(start, second.data)
        self._progress(end - start)
        bounds = np.flatnonzero(np.diff(np.concatenate(([0], differing_units(first, second).view(np.int8), [0]))))
        return np.minimum(bounds.reshape(-1, 2).astype(np.int64) * UNIT + start, end)


def differing_units(first: Bytes, second: Bytes) -> npt.NDArray[np.bool_]:
    """For each unit of two equally long pieces, the last one perhaps shorter, whether any byte differs."""
    whole = len(first) // UNIT * UNIT
    words = (part[:whole].view(np.uint64).reshape(-1, UNIT // 8) for part in (first, second))
    differs = np.not_equal(*words).any(axis=1)
    tail = np.array([(first[whole:] != second[whole:]).any()] if whole < len(first) else [], dtype=np.bool_)
    return np.concatenate((differs, tail))


def spans(table: RunTable, chosen: npt.NDArray[np.bool_], barred: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """(start, end) of ranges, at most a cell long, that cover the chosen runs and what is little between them.

    No span holds a barred run.
    """
    start = end = -1
    for lower, length, wanted, no_entry in zip(
        *(column.tolist() for column in (table.start, table.length, chosen, barred)), strict=True
    ):
        if start >= 0 and (no_entry or (wanted and lower - end > _WORTH_READING)):
            yield from _cells(start, end)
            start = -1
        if wanted:
            start, end = (start if start >= 0 else lower), lower + length
    if start >= 0:
        yield from _cells(start, end)


def _cells(start: int, end: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, CELL):
        yield at, min(at + CELL, end)


def _covering(edges: Column, start: int, end: int) -> RunTable:
    """A gapless table from `start` to `end`: DATA between each pair of edges, which rise and are apart, else HOLE."""
    bounds = np.concatenate(([start], edges.ravel(), [end]))
    length = np.diff(bounds)
    kind = np.where(np.arange(len(length)) % 2, np.int64(Kind.DATA), np.int64(Kind.HOLE))
    zeros = np.zeros_like(length)
    return RunTable(bounds[:-1], length, kind, zeros, zeros).select(length > 0)
