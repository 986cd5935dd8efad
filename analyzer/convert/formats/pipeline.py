"""Copying with work between reading and writing: cells are packed by threads, and written in the disk's order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np

from analyzer.convert.cells import CELL, Bytes, nonzero_ranges, read_cells
from analyzer.convert.copying import THREADS, CellChecksums
from analyzer.convert.formats.format import Form, ImageWriter, Piece
from analyzer.progress import Progress
from vhdx.reader import RunSource

# Enough that no thread waits for the writer, few enough that memory stays at some cells.
WAITING = 4 * THREADS
"""Cells that are packed or wait to be written: what bounds the memory."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def copy_packed(
    disk: RunSource, cells: Iterable[int], writer: ImageWriter, progress: Progress
) -> tuple[CellChecksums, Mapping[str, str]]:
    """Copy these cells, leaving zeros out; returns also the digests that the format has.

    Raises what reading and writing raise.
    """
    checksums = CellChecksums()

    def pack(given: tuple[int, Bytes]) -> tuple[int, Bytes, list[Piece]]:
        return *given, writer.pack(given[1])

    # A copy for each cell: `read_cells` uses two buffers in turn, and more than two are under way here.
    copies = ((cell, data.copy()) for cell, data in read_cells(disk, cells))
    with closing(in_order(pack, copies)) as packed:
        for cell, data, pieces in packed:
            if pieces:
                checksums.note(cell, data)
            for piece in pieces:
                writer.put(cell * CELL + piece.start, piece)
            progress(len(data))
    return checksums, writer.finish() or {}


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


def units_with_data(data: Bytes, unit: int) -> Iterator[tuple[int, bytes]]:
    """(start, content) of each unit of a cell that is not zeros; the last one is filled up with zeros."""
    if len(data) % unit:
        data = np.append(data, np.zeros(-len(data) % unit, dtype=np.uint8))
    # By words: eight times fewer of them to look at.
    for number in np.flatnonzero(data.view(np.uint64).reshape(-1, unit // 8).any(axis=1)).tolist():
        yield number * unit, data[number * unit : (number + 1) * unit].tobytes()


def pieces_with_data(data: Bytes) -> list[Piece]:
    """A cell as it is, without the grains of zeros."""
    return [Piece(part.start, data[part.start : part.end].data, Form.STORED) for part in nonzero_ranges(data)]
