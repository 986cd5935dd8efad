"""What differs by content, among the ranges that may."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from analyzer.convert.cells import CELL, Bytes, units_touched
from analyzer.diff.ranges import ChangeTable
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.ranges import Range, Ranges, union
from vhdx.reader import GRANULE, Reader
from vhdx.runs import Kind, RunTable, cut_alike

UNIT = 512
"""Bytes that are compared as one: the smallest sector. What is compared starts at a multiple of it."""
# A seek costs about as much as reading this many bytes. No test depends on the number; it changes time alone.
# Bytes between two candidates that are sooner read than skipped.
_WORTH_READING = 1 << 16


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
        """The changes in one range of candidates."""
        table, before = cut_alike(table, before)
        maybe = table.kind != Kind.HOLE
        # LOST on either side cannot be compared. It is kept as a change, since to leave it out would say that it is
        # the same: test_what_cannot_be_known_counts_as_changed_and_is_never_exported.
        lost = (table.kind == Kind.LOST) | (before.kind == Kind.LOST)
        found = union([table.select(maybe & lost).ranges, *map(self._compare, cells_of(table, maybe & ~lost, lost))])
        marked, table = cut_alike(RunTable.marking(found, table.range, Kind.DATA), table)
        return ChangeTable.of_runs(table.select(marked.kind == Kind.DATA))

    def _compare(self, part: Range) -> Ranges:
        """The units that differ in a range of at most a cell."""
        first, second = (buffer[: part.length] for buffer in self._buffers)
        self._old.read_into(part.start, first.data)
        self._new.read_into(part.start, second.data)
        self._progress(part.length)
        units = Ranges.where(differing_units(first, second))
        return Ranges.between(part.start + units.start * UNIT, part.start + np.minimum(units.end * UNIT, part.length))


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
