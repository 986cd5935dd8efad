"""Copy a disk cell by cell, remember what was written, and read it back to see that it is there."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from pathlib import Path

import numpy as np

from analyzer.convert.cells import CELL, Bytes, nonzero_ranges, read_cells
from analyzer.convert.threads import ALIVE, THREADS, Deal, ahead, by_threads
from analyzer.progress import Progress
from vhdx.errors import VerificationError
from vhdx.plans import RunSource
from vhdx.ranges import Range
from vhdx.reader import Reader
from vhdx.structures.fields import crc32c

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


class CellsAlone(CellChecksums):
    """The cells that were copied and are not zero, where nobody will ask for their checksums."""

    def note(self, cell: int, data: Bytes) -> None:  # noqa: ARG002 - what the others need
        """Remember that a cell holds something."""
        self.cells.append(cell)
        self.sums.append(0)


def copy_cells(
    disk: RunSource,
    cells: Iterable[int],
    write: Write,
    progress: Progress,
    noting: type[CellChecksums] = CellChecksums,
) -> CellChecksums:
    """Copy these cells in their order, leaving zeros out; raises what reading and writing raise.

    A thread of its own reads ahead and looks for zeros, so that this one does nothing but write.
    """
    noted = noting()
    with closing(ahead(_looked_at(disk, cells, noted))) as read:
        for cell, data, ranges in read:
            for part in ranges:
                write(cell * CELL + part.start, data[part.start : part.end].data)
            progress(len(data))
    return noted


def _looked_at(
    disk: RunSource, cells: Iterable[int], noted: CellChecksums
) -> Iterator[tuple[int, Bytes, Sequence[Range]]]:
    """Number, content and what is not zero of each cell; noted while it is in the processor's cache."""
    for cell, data in read_cells(disk, cells, ALIVE):
        ranges = nonzero_ranges(data)
        if ranges:
            noted.note(cell, data)
        yield cell, data, ranges


def verify_cells(
    checksums: CellChecksums,
    source: RunSource,
    written: RunSource,
    cells: Iterable[int],
    path: Path,
    progress: Progress,
    *,
    threads: int = THREADS,
) -> None:
    """Read back every cell that the output holds; raises VerificationError at one that is not as it should be.

    `written` is the output, freshly opened, and `cells` those in which it has data of its own, ascending. A noted cell
    must have its checksum and must be among them; any other must be what the source has there.
    """

    def verify(some: Iterator[int], report: Progress) -> "array[int]":
        return _verify_some(checksums, Reader(source), read_cells(written, some), path, report)

    if threads == 1:  # each cell is read before the next one is looked for, as formats judge their tables
        seen = [verify(iter(cells), progress)]
    else:
        seen = by_threads(verify, Deal(cells), progress, threads=threads)
    unseen = np.setdiff1d(checksums.cells, np.concatenate(seen), assume_unique=True)
    if len(unseen):
        raise VerificationError(path, int(unseen[0]) * CELL, CELL)


def _verify_some(
    checksums: CellChecksums, origin: Reader, read: Iterable[tuple[int, Bytes]], path: Path, progress: Progress
) -> "array[int]":
    """The cells that were noted, among those that were read."""
    seen, at = array("q"), 0
    for cell, data in read:
        at = bisect_left(checksums.cells, cell, at)
        # A cell that was noted is judged by its checksum, without the source: that is what makes verification one
        # reading. One that was not noted should be zeros, or left to a parent; the source says which.
        if at < len(checksums.cells) and checksums.cells[at] == cell:
            good = checksums.sums[at] == crc32c(data)
            seen.append(cell)
        else:
            good = data.tobytes() == origin.read(cell * CELL, len(data))
        if not good:
            raise VerificationError(path, cell * CELL, len(data))
        progress(len(data))
    return seen


def of_either(first: Iterable[int], second: Iterable[int]) -> Iterator[int]:
    """The numbers that are in either of two sequences, which ascend, as it does."""
    return (number for number, _ in groupby(merge(first, second)))


def cells_of_extents(extents: Iterable[Range]) -> Iterator[int]:
    """The numbers of the cells that sorted ranges of bytes touch, sorted as well."""
    after = 0
    for part in extents:
        for cell in range(max(part.start // CELL, after), -(-part.end // CELL)):
            yield cell
            after = cell + 1
