"""A disk cut into cells of 1 MiB: which of them hold data, and what is in them.

A cell never crosses a block, whatever the block size. Cells are the unit of copying and of verification.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from vhdx.disk import Disk
from vhdx.runs import Kind, RunTable

CELL = 1 << 20
GRAIN = 4096
"""Zeros inside a cell are left out of the output in units of this."""
_ZEROS = bytes(CELL)


def cells_with_data(tables: Iterable[RunTable]) -> Iterator[int]:
    """The numbers of the cells that hold any DATA, rising; `tables` follow one another along the disk."""
    after = 0
    for table in tables:
        data = table.of_kind(Kind.DATA)
        first = np.maximum(data.start // CELL, after)
        last = (data.start + data.length - 1) // CELL
        for begin, end in zip(first.tolist(), last.tolist(), strict=True):
            yield from range(max(begin, after), end + 1)
            after = max(after, end + 1)


def count_cells_with_data(tables: Iterable[RunTable]) -> int:
    """How many cells hold any DATA."""
    total, after = 0, 0
    for table in tables:
        data = table.of_kind(Kind.DATA)
        if not len(data):
            continue
        last = (data.start + data.length - 1) // CELL
        previous = np.concatenate(([after - 1], last[:-1]))
        total += int(np.maximum(0, last - np.maximum(data.start // CELL, previous + 1) + 1).sum())
        after = int(last[-1]) + 1
    return total


def require_known(disk: Disk, tables: Iterable[RunTable]) -> Iterator[RunTable]:
    """The tables as they come; raises what reading would raise at the first run that cannot be known."""
    for table in tables:
        lost = next(iter(table.of_kind(Kind.LOST)), None)
        refusal = disk.refusal(lost) if lost else None
        if refusal is not None:
            raise refusal
        yield table


def is_zero(cell: bytes) -> bool:
    """The cell holds nothing but zeros."""
    return cell == (_ZEROS if len(cell) == CELL else bytes(len(cell)))


def nonzero_spans(cell: bytes) -> Iterator[tuple[int, int]]:
    """Parts of a cell, as (start, end) within it, that are not zero; whole grains."""
    whole = len(cell) // GRAIN * GRAIN
    words = np.frombuffer(cell, dtype=np.uint64, count=whole // 8).reshape(-1, GRAIN // 8)
    # Most grains show in their first word that they hold something; only the others are looked at whole.
    filled = words[:, 0] != 0
    unsure = np.flatnonzero(~filled)
    if len(unsure):
        filled[unsure] = words[unsure].any(axis=1)
    if whole < len(cell):
        filled = np.append(filled, any(cell[whole:]))
    if filled.all():
        yield 0, len(cell)
        return
    edges = np.flatnonzero(np.diff(np.concatenate(([0], filled.view(np.int8), [0]))))
    for start, end in edges.reshape(-1, 2).tolist():
        yield start * GRAIN, min(end * GRAIN, len(cell))
