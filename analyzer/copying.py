"""Copy a disk cell by cell, remember what was written, and read it back to see that it is there."""

from array import array
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from analyzer.cells import CELL, Bytes, nonzero_spans, read_cells
from analyzer.progress import Progress
from vhdx.disk import Disk
from vhdx.errors import VerificationError
from vhdx.reader import Reader, RunSource
from vhdx.structures.checksum import crc32c


class Target(Protocol):
    """Takes bytes of the disk, in the order of the disk, none across a cell."""

    def write(self, start: int, data: memoryview) -> None:
        """Put bytes at `start` of the disk."""
        ...


@dataclass
class Journal:
    """The checksums of the cells that were copied and are not zero, in rising order: 12 bytes for each MiB."""

    cells: "array[int]" = field(default_factory=lambda: array("q"))
    sums: "array[int]" = field(default_factory=lambda: array("I"))

    def note(self, cell: int, data: Bytes) -> None:
        """Remember the content of a cell."""
        self.cells.append(cell)
        self.sums.append(crc32c(data))


def copy_cells(disk: Disk, cells: Iterable[int], target: Target, progress: Progress) -> Journal:
    """Copy these cells, leaving zeros out; raises what reading and writing raise."""
    journal = Journal()
    with ThreadPoolExecutor(1) as writer:  # writes one cell while the next one is read
        pending: Future[None] | None = None
        for cell, data in read_cells(disk, cells):
            if pending is not None:
                pending.result()
            pending = writer.submit(_put, cell, data, target, journal)
            progress(len(data))
        if pending is not None:
            pending.result()
    return journal


def _put(cell: int, data: Bytes, target: Target, journal: Journal) -> None:
    spans = nonzero_spans(data)
    if spans:
        journal.note(cell, data)
    for lower, upper in spans:
        target.write(cell * CELL + lower, data[lower:upper].data)


def verify_cells(
    journal: Journal, source: RunSource, written: RunSource, cells: Iterable[int], path: Path, progress: Progress
) -> None:
    """Read back every cell that the output holds; raises VerificationError at the first that is not as it should be.

    `written` is the output, freshly opened, and `cells` those in which it has data of its own, rising. A noted cell
    must have its checksum and must be among them; any other must be what the source has there.
    """
    origin = Reader(source)
    expected = iter(zip(journal.cells, journal.sums, strict=True))
    noted = next(expected, None)
    for cell, data in read_cells(written, cells):
        start = cell * CELL
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


def cells_of_extents(extents: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The numbers of the cells that (start, end) ranges of bytes touch, rising, as the ranges do."""
    after = 0
    for start, end in extents:
        for cell in range(max(start // CELL, after), -(-end // CELL)):
            yield cell
            after = cell + 1
