"""A partial disk as an output takes it: every byte has a value, and what is lost is filled as it was asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np

from analyzer.recover.disk.fill_pattern import pattern
from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.previous_run import EarlierRun
from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.image import Image
from vhdx.ranges import GrowingRanges, Range, Ranges
from vhdx.reader import GRANULE
from vhdx.runs import Kind, Run, RunTable, concatenate, merge_neighbours, overlay
from vhdx.source import ByteSource

_KEPT_GRANULES = 16
_SHORT = 1 << 16


class Fill(Enum):
    """What stands in the output where the disk is lost."""

    ZERO = "zero"
    PATTERN = "pattern"
    """A sentence in every sector, with the sector's place on the disk: it cannot pass for data."""


class FilledDisk:
    """What `convert` reads: one source, whose bytes stand where the disk has them."""

    def __init__(self, disk: PartialDisk, fill: Fill, earlier: EarlierRun | None = None) -> None:
        """`earlier` is what a run before this one has already."""
        self.disk, self.fill, self.earlier = disk, fill, earlier or EarlierRun()
        self._rescue = RescueSource(disk, fill, self.earlier)
        self.findings: tuple[Finding, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self.disk.size

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector."""
        return self.disk.sector_size

    @property
    def layers(self) -> Sequence[Image]:
        """The files that are there, base first."""
        return self.disk.images

    @property
    def base(self) -> Image:
        """The lowest of them."""
        return self.disk.images[0]

    @property
    def leaf(self) -> Image:
        """The uppermost of them."""
        return self.disk.images[-1]

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The one source, in bytes of the disk."""
        return (self._rescue,)

    @property
    def faults(self) -> Ranges:
        """The ranges of the disk that could not be read so far."""
        return self._rescue.faults.ranges

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """See RunSource: DATA for all that may be other than zero."""
        for table in self.disk.windows(start, end):
            yield self._with_kept(self._as_output(table))

    def refusal(self, _run: Run) -> VhdxError | None:
        """Everything can be read: what is lost is filled."""
        return None

    def require_unchanged(self) -> None:
        """A source that changes, one that is still being copied, is what this is for: the account tells of it."""

    def _as_output(self, table: RunTable) -> RunTable:
        held = table.kind == Kind.DATA
        if self.fill is Fill.PATTERN:
            held |= table.kind == Kind.LOST
        # Short gaps are read along: the source gives zeros there, and a call for every sector would cost more.
        held |= table.length < _SHORT
        nothing = np.zeros_like(table.layer)
        kind = np.where(held, Kind.DATA, Kind.ZERO)
        return merge_neighbours(replace(table, kind=kind, layer=nothing, file_offset=np.where(held, table.start, 0)))

    def _with_kept(self, table: RunTable) -> RunTable:
        """All that the earlier run has something of is DATA: the source says where it is taken from."""
        for had in (self.earlier.known, self.earlier.stale):
            if had.touches(table.range):
                kept = RunTable.marking(had, table.range, Kind.DATA)
                table = overlay(replace(kept, file_offset=np.where(kept.kind == Kind.DATA, kept.start, 0)), table)
        return table


class RescueSource:
    """The disk as one source, from which every read succeeds: what fails is filled, and noted in `faults`."""

    def __init__(self, disk: PartialDisk, fill: Fill, earlier: EarlierRun) -> None:
        """Read `disk`, but what an earlier run knew from that."""
        self.path: Path = disk.images[-1].path
        self.size, self.faults = disk.size, GrowingRanges()
        self._disk, self._fill, self._earlier = disk, fill, earlier
        self._lock = Lock()
        self._runs = lru_cache(maxsize=_KEPT_GRANULES)(self._list_runs)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource. One thread reads at a time: two on a failing medium only make it slower."""
        with self._lock:
            for one, is_kept in self._earlier.known.split(Range(offset, len(buffer))):
                part = buffer[one.start - offset : one.end - offset]
                if is_kept:
                    self._earlier.read(one.start, part)
                else:
                    self._read(one.start, part)

    def _read(self, start: int, buffer: memoryview) -> None:
        position, end = start, start + len(buffer)
        while position < end:
            granule = position // GRANULE
            upto = min(end, (granule + 1) * GRANULE)
            for run in _between(self._runs(granule), position, upto):
                self._read_run(run, buffer[run.start - start : run.end - start])
            position = upto

    def _list_runs(self, granule: int) -> RunTable:
        start = granule * GRANULE
        return concatenate(self._disk.windows(start, min(start + GRANULE, self.size)))

    def _read_run(self, run: Run, part: memoryview) -> None:
        if run.kind is Kind.LOST:
            self._put_fill(run.start, part)
        elif run.kind is not Kind.DATA:
            part[:] = bytes(len(part))
        else:
            for lost in self._disk.rescue(run, part):
                self.faults.add(lost)
                self._put_fill(lost.start, part[lost.start - run.start : lost.end - run.start])

    def _put_fill(self, start: int, part: memoryview) -> None:
        for one, is_stale in self._earlier.stale.split(Range(start, len(part))):
            piece = part[one.start - start : one.end - start]
            if is_stale:
                self._earlier.read(one.start, piece)
            elif self._fill is Fill.ZERO:
                piece[:] = bytes(len(piece))
            else:
                piece[:] = pattern(one.start, len(piece), self._disk.sector_size)


def _between(table: RunTable, start: int, end: int) -> RunTable:
    """As `clip`, without a look at all the runs of a long table."""
    first = int(table.start.searchsorted(start, "right")) - 1
    window = slice(max(0, first), int(table.start.searchsorted(end)))
    columns = (table.start, table.length, table.kind, table.layer, table.file_offset)
    return RunTable(*(column[window] for column in columns)).clip(start, end)
