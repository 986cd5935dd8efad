"""A disk cut into cells of 1 MiB: which of them hold data, and what is in them.

A cell never crosses a block, whatever the block size. Cells are the unit of copying and of verification.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import cycle

import numpy as np
import numpy.typing as npt

from analyzer.convert.disks import KeptRuns
from analyzer.convert.threads import ALIVE, ahead
from analyzer.progress import Progress, no_progress
from vhdx.disk import DiskSource
from vhdx.errors import VhdxError
from vhdx.plans import RunSource
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind, RunTable

# The least block size: so a cell is in one block whatever the block size, and one checksum stands for it on both
# sides.
CELL = 1 << 20
# The block of most host file systems. A hole smaller than that does not exist there.
GRAIN = 4096
"""Zeros inside a cell are left out of the output in units of this."""

Bytes = npt.NDArray[np.uint8]
_ZEROS = bytes(CELL)


class MisplacedRunsError(VhdxError):
    """The runs of a disk are not those of one state of it: they go back, or past its end."""

    start: int
    size: int
    text = (
        "what is copied has data at byte {start} that goes back, or is past the end of its disk of {size} bytes: what "
        "it is read from changed meanwhile; run again, and report it if it stays so"
    )


class InOrder:
    """Bytes of a disk that come in ascending order, given on with the zeros that are between them."""

    def __init__(self, take: Callable[[bytes | memoryview], object], progress: Progress = no_progress) -> None:
        """Give on to `take`, from the disk's first byte; `progress` counts zeros alone."""
        self._take, self._progress, self._position = take, progress, 0

    def put(self, start: int, data: bytes | memoryview) -> None:
        """Take the bytes at `start`."""
        self.zeros_until(start)
        self._take(data)
        self._position = start + len(data)

    def zeros_until(self, end: int) -> None:
        """Give on zeros up to a place, a cell at a time: progress moves, and an interruption comes through."""
        while self._position < end:
            step = min(CELL, end - self._position)
            self._take(_ZEROS if step == CELL else _ZEROS[:step])
            self._progress(step)
            self._position += step


def cells_with_data(tables: Iterable[RunTable]) -> Iterator[int]:
    """The numbers of the cells that hold any DATA, ascending; `tables` follow one another along the disk."""
    return units_touched((table.of_kind(Kind.DATA) for table in tables), CELL)


def units_touched(tables: Iterable[RunTable | Ranges], unit: int) -> Iterator[int]:
    """The numbers, ascending, of the ranges of `unit` bytes that any run or range touches; gaps may be between."""
    after = 0
    for table in tables:
        last = (table.start + table.length - 1) // unit
        # Only runs that touch a unit that none before them did: most are many to a unit.
        first = np.maximum(table.start // unit, np.concatenate(([after], last[:-1] + 1))[: len(last)])
        new = first <= last
        for begin, end in zip(first[new].tolist(), last[new].tolist(), strict=True):
            yield from range(begin, end + 1)
            after = end + 1


def count_cells_with_data(tables: Iterable[RunTable], unit: int = CELL) -> int:
    """How many cells, or other ranges of `unit` bytes, hold any DATA."""
    total, after = 0, 0
    for table in tables:
        data = table.of_kind(Kind.DATA)
        if not len(data):
            continue
        last = (data.start + data.length - 1) // unit
        previous = np.concatenate(([after - 1], last[:-1]))
        total += int(np.maximum(0, last - np.maximum(data.start // unit, previous + 1) + 1).sum())
        after = int(last[-1]) + 1
    return total


def require_known(disk: RunSource, tables: Iterable[RunTable]) -> Iterator[RunTable]:
    """The tables as they come; raises what reading would raise at the first run that cannot be known."""
    for table in tables:
        lost = next(iter(table.of_kind(Kind.LOST)), None)
        error = disk.error_for(lost) if lost else None
        if error is not None:
            raise error
        yield table


def read_cells(disk: RunSource, cells: Iterable[int], alive: int = 1) -> Iterator[tuple[int, Bytes]]:
    """Number and content of each cell; the contents of so many, the newest ones, are good at any time.

    Raises MisplacedRunsError for cells that do not ascend, or are past the disk's end.
    """
    reader, buffers = Reader(disk), np.empty((alive, CELL), dtype=np.uint8)
    before, count = -1, -(-disk.size // CELL)
    for cell, buffer in zip(cells, cycle(buffers), strict=False):
        # No format has a place for what is past the disk's end, and none goes back.
        if not before < cell < count:
            raise MisplacedRunsError(cell * CELL, disk.size)
        before = cell
        data = buffer[: disk.size - cell * CELL]
        reader.read_into(cell * CELL, data.data)
        yield cell, data


def give_flat(disk: DiskSource, take: Callable[[bytes | memoryview], object], progress: Progress = no_progress) -> None:
    """Give every byte of a disk on, in order; raises what reading raises, LostDataError for what cannot be known.

    What is known to be zeros is given on from memory: most of a large disk is holes, which cost no read.
    """
    disk = KeptRuns(disk)
    for _ in require_known(disk, disk.windows(0, disk.size)):
        pass  # all runs are made once, and what is lost is said before anything is read
    flat = InOrder(take, progress)
    with closing(ahead(read_cells(disk, cells_with_data(disk.windows(0, disk.size)), ALIVE))) as read:
        for cell, data in read:
            flat.put(cell * CELL, data.data)
            progress(len(data))
    flat.zeros_until(disk.size)
    # A source that was written to meanwhile gives a state that never was.
    disk.require_unchanged()


def sha256_of(disk: DiskSource, progress: Progress = no_progress) -> str:
    """The SHA-256 of all of it, in hex; raises as `give_flat` does."""
    digest = hashlib.sha256()
    give_flat(disk, digest.update, progress)
    return digest.hexdigest()


def nonzero_ranges(cell: Bytes) -> list[Range]:
    """The ranges of a cell that are not zero, in bytes from its start; whole grains."""
    whole = len(cell) // GRAIN * GRAIN
    words = cell[:whole].view(np.uint64).reshape(-1, GRAIN // 8)
    # Most grains show in their first word that they hold something: 4 microseconds for most cells.
    filled = words[:, 0] != 0
    if not filled.all():
        # The greatest word of each: 18 microseconds, where `any` takes 34, and to take out the unsure ones more.
        filled = words.max(axis=1) != 0
    if whole < len(cell):
        filled = np.append(filled, cell[whole:].any())
    if filled.all():
        return [Range(0, len(cell))]
    return list(_set_ranges(filled.tobytes(), len(cell)))


def _set_ranges(grains: bytes, size: int) -> Iterator[Range]:
    """The ranges of grains that are 1, in bytes; the last grain ends where the cell does, at `size`."""
    # Sought by the C library: half of what columns of numpy take, for few grains are in a cell and few ranges.
    end, last = 0, len(grains)
    while (start := grains.find(1, end)) >= 0:
        end = grains.find(0, start)
        end = last if end < 0 else end
        yield Range.between(start * GRAIN, min(end * GRAIN, size))
