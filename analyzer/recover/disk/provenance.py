"""What each range of the recovered disk is, from where, and by what evidence: the rows of the map."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from analyzer.recover.disk.partial import Origin, PartialDisk
from analyzer.recover.inputs.layers import Basis
from analyzer.recovery_map.mapfile import Status
from vhdx.ranges import NO_RANGES, Column, Range, Ranges, union
from vhdx.runs import Kind, RunTable, concatenate, cut_at, merge_neighbours

_STATUSES = list(Status)
Read = Callable[[int, memoryview], None]
"""Fills a buffer from byte `start` of the disk as an earlier run wrote it."""


def _nothing(start: int, buffer: memoryview) -> None:
    raise ValueError(f"no earlier run has {len(buffer)} bytes at {start}")


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """What an earlier run has of a disk, in its map and its image.

    `known` ranges are taken from it; `stale` ones only where this run has nothing: it is never worse than before.
    """

    known: Ranges = NO_RANGES
    stale: Ranges = NO_RANGES
    read: Read = _nothing
    close: Callable[[], None] = lambda: None
    """Lets go of its image, which Windows replaces only when nobody has it open."""


class Row(NamedTuple):
    """One range: `layer` and `file_offset` say from where it is taken, `cause` which level's loss gives its status."""

    start: int
    length: int
    status: Status
    kind: Kind
    layer: int | None
    file_offset: int | None
    basis: Basis
    cause: int | None

    @property
    def end(self) -> int:
        """The first byte of the disk after it."""
        return self.start + self.length

    @property
    def range(self) -> Range:
        """Where it is on the disk."""
        return Range(self.start, self.length)


@dataclass(frozen=True, slots=True)
class Totals:
    """Bytes of the disk by status."""

    bytes_of: dict[Status, int]
    likely: int
    """Of the stale bytes, those that are in doubt only because they rest on what was rebuilt."""
    guessed: int
    """Of the stale bytes, those that are as the user chose."""
    left_out: int = 0
    """Of the lost bytes, those that were not asked for."""

    @property
    def complete(self) -> bool:
        """Every byte is known."""
        return not self.bytes_of[Status.STALE] and not self.bytes_of[Status.LOST]


class Evidence(NamedTuple):
    """What a row says besides its place; the names are a row's."""

    status: Status
    kind: Kind
    layer: int | None
    basis: Basis
    cause: int | None

    @property
    def has_place(self) -> bool:
        """Whether a file that was given holds the bytes."""
        return self.kind is Kind.DATA and self.layer is not None


Change = Callable[[Evidence], Evidence]
"""What some ranges make of the evidence; the same where they say nothing against it."""


class Provenance:
    """The disk as tables whose `layer` is a number in a list of evidence: each step is taken by windows, not by runs.

    A checkpoint written in single sectors has 262,144 runs in 128 MiB. To ask of each whether it failed, is in doubt or
    was read by an earlier run took 0.7 s of processor time per 131,072 rows, and a recovery goes over its rows five
    times.
    """

    def __init__(
        self,
        disk: PartialDisk,
        faults: Ranges,
        earlier: EarlierRun,
        contradicted: Iterable[tuple[int, Ranges]] = (),
        left_out: Ranges = NO_RANGES,
    ) -> None:
        """Of a disk of which the ranges `faults` could not be read, and what an earlier run has of it.

        `left_out` was not asked of the files.
        `contradicted`: by level, where what it holds contradicts its place.
        """
        self._disk = disk
        self._evidence = [_first(disk, origin, kind) for kind in Kind for origin in disk.origins]
        self._changes: list[tuple[Ranges, Change]] = [
            (earlier.known, _known_before),
            (faults, _unreadable),
            (left_out, _left_out),
            (earlier.stale, _stale_before),
            # Before other doubts: what is likely by its table is not so by its content.
            *((ranges, partial(_contradicted, number)) for number, ranges in contradicted),
            # Of several doubts that of the uppermost level counts, and of its own the first.
            *(
                (doubt.ranges, partial(_doubted, number, doubt.reason))
                for number, level in reversed(list(enumerate(disk.levels)))
                for doubt in level.doubts
            ),
        ]

    def rows(self) -> Iterator[Row]:
        """All ranges of the disk, sorted and without gaps, neighbours never mergeable."""
        pending = RunTable.of([])
        for table in self._tables():
            joined = concatenate((pending, table))
            yield from self._rows_of(joined.first(len(joined) - 1))
            pending = joined.select(np.arange(len(joined)) == len(joined) - 1)
        yield from self._rows_of(pending)

    def statuses(self) -> Iterator[tuple[Range, Status]]:
        """All ranges of the disk, sorted, by their status alone; those of one window that touch are one."""
        for table in self._tables():
            status = self._of_each(table, lambda one: _STATUSES.index(one.status))
            for run in merge_neighbours(replace(table, kind=np.full_like(table.kind, Kind.HOLE), layer=status)):
                yield Range(run.start, run.length), _STATUSES[run.layer]

    def ranges(self, status: Status) -> Ranges:
        """The ranges of one status."""
        return Ranges.of(part for part, found in self.statuses() if found is status)

    def likely(self) -> Ranges:
        """The ranges that are stale only because they rest on what was rebuilt."""
        found = list[Ranges]()
        for table in self._tables():
            likely = self._of_each(table, lambda one: one.basis is Basis.REBUILT)
            found.append(table.select(likely.astype(np.bool_)).ranges)
        return union(found)

    def totals(self) -> Totals:
        """Bytes by status."""
        counts: Counter[Evidence] = Counter()
        for table in self._tables():
            for number in np.unique(table.layer).tolist():
                counts[self._evidence[number]] += int(table.length[table.layer == number].sum())
        return Totals(
            {status: sum(count for one, count in counts.items() if one.status is status) for status in Status},
            likely=sum(count for one, count in counts.items() if one.basis is Basis.REBUILT),
            guessed=sum(count for one, count in counts.items() if one.basis is Basis.CHOSEN),
            left_out=sum(count for one, count in counts.items() if one.basis is Basis.LEFT_OUT),
        )

    def _rows_of(self, table: RunTable) -> Iterator[Row]:
        columns = (table.start, table.length, table.layer, table.file_offset)
        for start, length, number, offset in zip(*(column.tolist() for column in columns), strict=True):
            evidence = self._evidence[number]
            status, kind, layer, basis, cause = evidence
            yield Row(start, length, status, kind, layer, offset if evidence.has_place else None, basis, cause)

    def _tables(self) -> Iterator[RunTable]:
        for window in self._disk.windows(0, self._disk.size):
            table = replace(window, layer=window.kind * len(self._disk.origins) + window.layer)
            for ranges, change in self._changes:
                table = self._changed(table, ranges, change)
            # Only what is read from a file's place must go on there to be one row.
            kind = np.where(self._of_each(table, lambda one: one.has_place), Kind.DATA, Kind.HOLE)
            yield merge_neighbours(replace(table, kind=kind))

    def _of_each(self, table: RunTable, fact: Callable[[Evidence], int]) -> Column:
        return np.array([fact(one) for one in self._evidence], dtype=np.int64)[table.layer]

    def _changed(self, table: RunTable, ranges: Ranges, change: Change) -> RunTable:
        """The table, with other evidence in these ranges."""
        if not ranges.touches(table.range):
            return table
        table, inside = cut_at(table, ranges)
        numbers = np.arange(len(self._evidence))
        for number in np.unique(table.layer[inside]).tolist():
            evidence = change(self._evidence[number])
            if evidence not in self._evidence:
                self._evidence.append(evidence)
            numbers[number] = self._evidence.index(evidence)
        return replace(table, layer=np.where(inside, numbers[table.layer], table.layer))


def _first(disk: PartialDisk, origin: Origin, kind: Kind) -> Evidence:
    """What the levels say of a run."""
    level, cause = origin
    if kind is Kind.LOST:
        basis = Basis.MISSING if disk.levels[level].image is None else Basis.DAMAGED
        return Evidence(Status.LOST, kind, None, basis, level)
    if cause is None:
        return Evidence(Status.KNOWN, kind, level, Basis.HELD, None)
    return Evidence(Status.STALE, kind, level, Basis.BELOW_GAP, cause)


def _known_before(evidence: Evidence) -> Evidence:
    return evidence._replace(status=Status.KNOWN, basis=Basis.EARLIER, cause=None)


def _unreadable(evidence: Evidence) -> Evidence:
    if evidence.kind is not Kind.DATA or evidence.basis is Basis.EARLIER:
        return evidence
    return Evidence(Status.LOST, Kind.LOST, None, Basis.UNREADABLE, evidence.layer)


def _left_out(evidence: Evidence) -> Evidence:
    if evidence.basis is Basis.EARLIER:
        return evidence
    return Evidence(Status.LOST, Kind.LOST, None, Basis.LEFT_OUT, None)


def _stale_before(evidence: Evidence) -> Evidence:
    """Where this run has nothing, what an earlier one had, although it was no more than stale."""
    if evidence.status is not Status.LOST:
        return evidence
    return evidence._replace(status=Status.STALE, kind=Kind.DATA, basis=Basis.EARLIER)


def _contradicted(level: int, evidence: Evidence) -> Evidence:
    """What the level itself holds; older states that show there are stale already."""
    if evidence.basis is not Basis.HELD or evidence.layer != level or evidence.kind is not Kind.DATA:
        return evidence
    return evidence._replace(status=Status.STALE, basis=Basis.CONTRADICTED, cause=level)


def _doubted(level: int, reason: Basis, evidence: Evidence) -> Evidence:
    """What shows from below a doubted range is in doubt, too."""
    if reason is Basis.RECOVERED and evidence.basis is Basis.DAMAGED and evidence.cause == level:
        return evidence._replace(basis=reason)
    if evidence.basis is not Basis.HELD or evidence.layer is None or level < evidence.layer:
        return evidence
    return evidence._replace(status=Status.STALE, basis=reason, cause=level)
