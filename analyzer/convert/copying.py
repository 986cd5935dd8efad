"""Copy a disk cell by cell, remember what was written, and read it back to see that it is there."""

from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np

from analyzer.convert.cells import CELL, Bytes, nonzero_ranges, read_cells
from analyzer.progress import Progress
from vhdx.errors import VerificationError
from vhdx.ranges import Range
from vhdx.reader import Reader, RunSource
from vhdx.structures.fields import crc32c

THREADS = 2
"""That copy to a target which takes any order; more gain nothing where two already fill the memory's bandwidth."""
# A lock for 16 MiB, not for each: threads meet rarely, and the last share is short enough that none waits long.
SHARE = 16
"""Cells that a thread takes at a time."""


# Enough that no thread waits for the writer, few enough that memory stays at some cells.
WAITING = 4 * THREADS
"""Cells that are packed or wait to be written: what bounds the memory."""

Given = TypeVar("Given")
Made = TypeVar("Made")
Write = Callable[[int, memoryview], None]
"""Puts bytes at a place of the disk, none across a cell."""


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
        cells, sums = (np.concatenate(columns) for columns in zip(*((p.cells, p.sums) for p in parts), strict=True))
        order = np.argsort(cells, kind="stable")
        return cls(array("q", cells[order].tobytes()), array("I", sums[order].tobytes()))


def copy_in_any_order(disk: RunSource, cells: Iterable[int], write: Write, progress: Progress) -> CellChecksums:
    """As `copy_cells`, for a file in which every byte has its place: several threads write at a time."""
    left, lock = iter(cells), Lock()

    def taken() -> list[int]:
        with lock:
            return list(islice(left, SHARE))

    def dealt() -> Iterator[int]:
        while share := taken():
            yield from share

    def report(count: int) -> None:
        with lock:  # progress hears of one thread at a time
            progress(count)

    with ThreadPoolExecutor(THREADS) as pool:
        try:
            work = [pool.submit(copy_cells, disk, dealt(), write, report) for _ in range(THREADS)]
            # what one thread cannot read or write ends the others too
            done = wait(work, return_when=FIRST_EXCEPTION).done
        finally:
            with lock:
                left = iter(())
    for future in done:
        future.result()
    return CellChecksums.joined([future.result() for future in work])


def copy_cells(disk: RunSource, cells: Iterable[int], write: Write, progress: Progress) -> CellChecksums:
    """Copy these cells in their order, leaving zeros out; raises what reading and writing raise."""
    checksums = CellChecksums()
    for cell, data in read_cells(disk, cells):
        ranges = nonzero_ranges(data)
        if ranges:
            checksums.note(cell, data)
        for part in ranges:
            write(cell * CELL + part.start, data[part.start : part.end].data)
        progress(len(data))
    return checksums


def in_order(work: Callable[[Given], Made], things: Iterable[Given]) -> Generator[Made, None, None]:
    """What `work` makes of each thing, done by threads, in the order of the things; few are under way at a time."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for thing in things:
                waiting.append(pool.submit(work, thing))
                if len(waiting) >= WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()  # what has not begun need not be packed: nobody writes it any more


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
