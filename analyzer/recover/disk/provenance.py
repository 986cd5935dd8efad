"""What each range of the recovered disk is, from where, and by what evidence: the rows of the map."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.previous_run import EarlierRun
from analyzer.recover.disk.uncertain import Cause, Doubts
from analyzer.recovery_map.mapfile import Status
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, Run


class Basis(Enum):
    """By what evidence a range has its status."""

    HELD = "held"
    """A file holds it, and every level above that file is there."""
    BELOW_GAP = "below gap"
    """A file holds it, below a level (`cause`) that is missing or lost the range."""
    MISSING = "missing"
    """A level that is missing (`cause`) may have held it, and nothing below does."""
    DAMAGED = "damaged"
    """The file of a level (`cause`) held it: past its end now, or by a table that cannot be believed.

    In a file that is taken as it was, also what stood where something else stands since.
    """
    UNREADABLE = "unreadable"
    """The medium failed where the file of a level (`cause`) holds it."""
    REBUILT = "rebuilt"
    """A file holds it by a structure of a level (`cause`) that was lost and made anew: likely so, not certain."""
    ORDER = "order"
    """A file holds it, and only names and times tell that no other of the files (`cause` is uppermost) is newer."""
    CHOSEN = "chosen"
    """It is as the user chose (`--lost-bitmaps`), without evidence: a structure of a level (`cause`) was lost."""
    AS_OF = "as of"
    """A file (`cause`) is taken as it was: by its tables of then, with the data that stands there now."""
    UNREACHED = "unreached"
    """As AS_OF, and the log does not tell what the table of then had for it: the nearest copy is taken."""
    ANCHORED = "anchored"
    """A block of a file (`cause`) that was let go: the data where its entry still points."""
    EARLIER = "earlier"
    """An earlier run read it; it is taken from that run's output."""


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


@dataclass(slots=True)
class Totals:
    """Bytes of the disk by status."""

    bytes_of: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    likely: int = 0
    """Of the stale bytes, those that are in doubt only because they rest on what was rebuilt."""
    guessed: int = 0
    """Of the stale bytes, those that are as the user chose."""

    def counting(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows as they come, counted."""
        for row in rows:
            self.bytes_of[row.status] += row.length
            self.likely += row.length * (row.basis is Basis.REBUILT)
            self.guessed += row.length * (row.basis is Basis.CHOSEN)
            yield row

    @property
    def complete(self) -> bool:
        """Every byte is known."""
        return not self.bytes_of[Status.STALE] and not self.bytes_of[Status.LOST]


def rows_of(disk: PartialDisk, faults: Ranges, earlier: EarlierRun) -> Iterator[Row]:
    """All ranges of the disk, rising and without gaps; `faults` could not be read."""
    rows, doubts = _with_earlier(_pieces(disk, faults, earlier.known), earlier.stale), Doubts(disk.levels)
    return _joined(_with_doubts(rows, doubts) if doubts else rows)


def _with_doubts(rows: Iterable[Row], doubts: Doubts) -> Iterator[Row]:
    for row in rows:
        if row.basis is not Basis.HELD or row.layer is None:
            yield row
            continue
        for part, cause in doubts.split(row.range, row.layer):
            piece = _part(row, part)
            yield piece if cause is None else _doubted(piece, cause)


def _doubted(row: Row, cause: Cause) -> Row:
    return row._replace(status=Status.STALE, basis=Basis(cause.reason.value), cause=cause.level)


def _pieces(disk: PartialDisk, faults: Ranges, kept: Ranges) -> Iterator[Row]:
    for table in disk.windows(0, disk.size):
        for run in table:
            row = _row_of(disk, run)
            if not kept and not faults:
                yield row
                continue
            for part, is_kept in kept.split(row.range):
                if is_kept:
                    yield _part(row, part)._replace(status=Status.KNOWN, basis=Basis.EARLIER, cause=None)
                else:
                    yield from _with_faults(_part(row, part), faults)


def _with_earlier(rows: Iterable[Row], stale: Ranges) -> Iterator[Row]:
    """Where this run has nothing, what an earlier one had, although it was no more than stale."""
    for row in rows:
        if not stale or row.status is not Status.LOST:
            yield row
            continue
        for part, had in stale.split(row.range):
            piece = _part(row, part)
            yield piece._replace(status=Status.STALE, kind=Kind.DATA, basis=Basis.EARLIER) if had else piece


def _with_faults(row: Row, faults: Ranges) -> Iterator[Row]:
    if row.kind is not Kind.DATA:
        yield row
        return
    for part, failed in faults.split(row.range):
        piece = _part(row, part)
        yield _unreadable(piece) if failed else piece


def _row_of(disk: PartialDisk, run: Run) -> Row:
    level, cause = disk.origins[run.layer]
    offset = run.file_offset if run.kind is Kind.DATA else None
    if run.kind is Kind.LOST:
        basis = Basis.MISSING if disk.levels[level].image is None else Basis.DAMAGED
        return Row(run.start, run.length, Status.LOST, Kind.LOST, None, None, basis, level)
    status, basis = (Status.KNOWN, Basis.HELD) if cause is None else (Status.STALE, Basis.BELOW_GAP)
    return Row(run.start, run.length, status, run.kind, level, offset, basis, cause)


def _unreadable(row: Row) -> Row:
    return Row(row.start, row.length, Status.LOST, Kind.LOST, None, None, Basis.UNREADABLE, row.layer)


def _part(row: Row, part: Range) -> Row:
    offset = None if row.file_offset is None else row.file_offset + part.start - row.start
    return row._replace(start=part.start, length=part.length, file_offset=offset)


def _joined(rows: Iterable[Row]) -> Iterator[Row]:
    pending: Row | None = None
    for row in rows:
        if pending and _goes_on(pending, row):
            pending = pending._replace(length=pending.length + row.length)
        else:
            if pending:
                yield pending
            pending = row
    if pending:
        yield pending


def _goes_on(row: Row, after: Row) -> bool:
    if row.kind is not after.kind or row.status is not after.status:  # most often
        return False
    if (row.layer, row.basis, row.cause) != (after.layer, after.basis, after.cause):
        return False
    return row.file_offset is None or row.file_offset + row.length == after.file_offset
