"""Copy a disk cell by cell, remember what was written, and read it back to see that it is there."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np

from analyzer.convert.cells import CELL, Bytes, nonzero_ranges, read_cells
from analyzer.progress import Progress
from vhdx.errors import VerificationError
from vhdx.ranges import Range
from vhdx.reader import Reader, RunSource
from vhdx.structures.checksum import crc32c

THREADS = 2
"""That copy to a target which takes any order; more gain nothing where two already fill the memory's bandwidth."""
# A lock for 16 MiB, not for each: threads meet rarely, and the last share is short enough that none waits long.
SHARE = 16
"""Cells that a thread takes at a time."""


class Order(Enum):
    """In which order a target takes cells of the disk."""

    ASCENDING = "ascending"
    """In the order of the disk: a pipe, or a file whose blocks are placed as they come."""
    ANY = "any"
    """In any order, from several threads at a time: a file in which every byte has its place."""


class Target(Protocol):
    """Takes bytes of the disk, none across a cell, in the order that `copy_cells` was asked for."""

    def write(self, start: int, data: memoryview) -> None:
        """Put bytes at `start` of the disk."""
        ...


@dataclass
class CellChecksums:
    """The checksums of the cells that were copied and are not zero, sorted: 12 bytes for each MiB."""

    cells: "array[int]" = field(default_factory=lambda: array("q"))
    sums: "array[int]" = field(default_factory=lambda: array("I"))

    def note(self, cell: int, data: Bytes) -> None:
        """Remember the content of a cell."""
        self.cells.append(cell)
        self.sums.append(crc32c(data))

    @classmethod
    def joined(cls, parts: Sequence["CellChecksums"]) -> "CellChecksums":
        """What several noted, each sorted."""
        if len(parts) == 1:
            return parts[0]
        cells, sums = (np.concatenate(columns) for columns in zip(*((p.cells, p.sums) for p in parts), strict=True))
        order = np.argsort(cells, kind="stable")
        return cls(array("q", cells[order].tobytes()), array("I", sums[order].tobytes()))


class _Shares:
    """Cells dealt out to threads, some at a time, each to one of them."""

    def __init__(self, cells: Iterable[int], progress: Progress) -> None:
        self._cells, self._progress, self._lock = iter(cells), progress, Lock()

    def __iter__(self) -> Iterator[int]:
        while share := self._next():
            yield from share

    def stop(self) -> None:
        """Deal out no more."""
        with self._lock:
            self._cells = iter(())

    def report(self, done: int) -> None:
        """Progress, one thread at a time."""
        with self._lock:
            self._progress(done)

    def _next(self) -> list[int]:
        with self._lock:
            return list(islice(self._cells, SHARE))


def copy_cells(
    disk: RunSource, cells: Iterable[int], target: Target, progress: Progress, *, order: Order = Order.ASCENDING
) -> CellChecksums:
    """Copy these cells, leaving zeros out; raises what reading and writing raise."""
    if order is Order.ASCENDING:
        return _copy_share(disk, cells, target, progress)
    shares = _Shares(cells, progress)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            work = [pool.submit(_copy_share, disk, shares, target, shares.report) for _ in range(THREADS)]
            # what one thread cannot read or write ends the others too
            done = wait(work, return_when=FIRST_EXCEPTION).done
        finally:
            shares.stop()
    for future in done:
        future.result()
    return CellChecksums.joined([future.result() for future in work])


def _copy_share(disk: RunSource, cells: Iterable[int], target: Target, progress: Progress) -> CellChecksums:
    checksums = CellChecksums()
    for cell, data in read_cells(disk, cells):
        ranges = nonzero_ranges(data)
        if ranges:
            checksums.note(cell, data)
        for part in ranges:
            target.write(cell * CELL + part.start, data[part.start : part.end].data)
        progress(len(data))
    return checksums


def verify_cells(
    checksums: CellChecksums,
    source: RunSource,
    written: RunSource,
    cells: Iterable[int],
    path: Path,
    progress: Progress,
) -> None:
    """Read back every cell that the output holds; raises VerificationError at the first that is not as it should be.

    `written` is the output, freshly opened, and `cells` those in which it has data of its own, ascending. A noted cell
    must have its checksum and must be among them; any other must be what the source has there.
    """
    origin = Reader(source)
    expected = iter(zip(checksums.cells, checksums.sums, strict=True))
    noted = next(expected, None)
    for cell, data in read_cells(written, cells):
        start = cell * CELL
        # A cell that was noted is judged by its checksum, without the source: that is what makes verification one
        # reading. One that was not noted should be zeros, or left to a parent; the source says which.
        if noted is not None and noted[0] == cell:
            good = noted[1] == crc32c(data)
            noted = next(expected, None)
        else:
            good = data.tobytes() == origin.read(start, len(data))
        if not good:
            raise VerificationError(path, start, len(data))
        progress(len(data))
    if noted is not None:
        raise VerificationError(path, noted[0] * CELL, CELL)


def cells_of_extents(extents: Iterable[Range]) -> Iterator[int]:
    """The numbers of the cells that sorted ranges of bytes touch, sorted as well."""
    after = 0
    for part in extents:
        for cell in range(max(part.start // CELL, after), -(-part.end // CELL)):
            yield cell
            after = cell + 1
