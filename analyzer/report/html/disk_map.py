"""A map of a disk that stays small: its runs where they are few, else cells that say what they mostly hold.

Windows of runs come one at a time and are let go, so that a disk of 64 TiB or of a million runs takes no more memory
than its cells.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vhdx.ranges import Column
from vhdx.runs import Kind, Run, RunTable, concatenate, cut_evenly, merge_neighbours

MOST_RUNS = 20_000
"""As many runs are told one by one."""
# More cells than a screen has pixels in a map, and a page of some hundred KiB.
MOST_CELLS = 1 << 16
MOST_LOST = 200
"""Ranges that cannot be known which are listed one by one."""
# More than there are kinds, so that one number holds layer and kind.
_KINDS = 8
# The most that a chain has: bytes are added up by layer and kind.
_LAYERS = 256
# Added to the bytes of what is lost: it decides a cell however little of it there is.
_LOST_FIRST = 1 << 50
WHOLE = 100


class Category(NamedTuple):
    """What a part of the disk is, and which layer says so; a HOLE is nobody's and has layer 0."""

    kind: Kind
    layer: int


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Parts of a disk one after the other. Part n is `lengths[n]` times `grain` bytes of `categories[n]`.

    `shares` is how much of a part is of its category, in percent; what is lost names its part however small it is.
    `offsets` are the host bytes of DATA where the parts are the runs themselves, else None.
    """

    grain: int
    lengths: Sequence[int]
    categories: Sequence[Category]
    shares: Sequence[int]
    offsets: Sequence[int] | None


@dataclass(frozen=True, kw_only=True)
class DiskMap(Parts):
    """What the parts are of, and what is known of all of it."""

    size: int
    totals: Mapping[Category, int]
    """Bytes of the disk, exactly."""
    lost: tuple[Run, ...]
    """The first ranges that cannot be known."""
    lost_count: int
    run_count: int

    def bytes_of(self, kind: Kind, layer: int | None = None) -> int:
        """Bytes of the disk of one kind, of one layer or of all."""
        return sum(count for key, count in self.totals.items() if key.kind is kind and layer in {None, key.layer})


def map_of(size: int, windows: Iterable[RunTable]) -> DiskMap:
    """The map of a disk of `size` bytes whose runs come in windows."""
    gathered = _Gathered(cell_size(size))
    for table in windows:
        gathered.add(table)
    return DiskMap(
        size=size,
        **vars(gathered.coarse() if gathered.runs is None else gathered.exact(gathered.runs)),
        lost=tuple(gathered.lost),
        lost_count=gathered.lost_count,
        run_count=gathered.run_count,
        totals={_category(key): int(gathered.totals[key]) for key in np.flatnonzero(gathered.totals).tolist()},
    )


def cell_size(size: int) -> int:
    """Bytes of a cell: a power of two from 4 KiB up, so that there are at most MOST_CELLS."""
    return int(max(4096, 1 << max(0, -(-size // MOST_CELLS) - 1).bit_length()))


class _Gathered:
    """What is kept of the windows that have been seen; of cells only the last, where the next begins, is open."""

    def __init__(self, cell: int) -> None:
        self.runs: list[RunTable] | None = []
        self.lost: list[Run] = []
        self.totals = np.zeros(_LAYERS * _KINDS, dtype=np.int64)
        self.run_count = self.lost_count = 0
        self._cell, self._keys, self._shares = cell, list[Column](), list[Column]()
        self._open = (np.zeros(0, dtype=np.int64),) * 3

    def add(self, table: RunTable) -> None:
        """Take one window in."""
        pieces = cut_evenly(table, self._cell)
        keys = np.where(pieces.kind == Kind.HOLE, 0, pieces.layer) * _KINDS + pieces.kind
        np.add.at(self.totals, keys, pieces.length)
        lost = table.of_kind(Kind.LOST)
        self.lost += lost.first(max(0, MOST_LOST - len(self.lost)))
        self.lost_count += len(lost)
        self.run_count += len(table)
        if len(table):
            columns = pieces.start // self._cell, keys, pieces.length
            rows = tuple(np.concatenate(pair) for pair in zip(self._open, columns, strict=True))
            done = rows[0] < rows[0].max()
            self._close(*(row[done] for row in rows))
            self._open = (rows[0][~done], rows[1][~done], rows[2][~done])
        if self.run_count > MOST_RUNS:
            self.runs = None
        if self.runs is not None:
            self.runs.append(table)

    def exact(self, runs: Sequence[RunTable]) -> Parts:
        """The runs themselves."""
        table = concatenate(runs)
        categories = [Category(run.kind, 0 if run.kind is Kind.HOLE else run.layer) for run in table]
        return Parts(
            grain=1, lengths=table.length.tolist(), categories=categories, shares=[WHOLE] * len(table),
            offsets=table.file_offset.tolist(),
        )  # fmt: skip

    def coarse(self) -> Parts:
        """The cells, equal neighbours as one part."""
        self._close(*self._open)
        keys, shares = np.concatenate(self._keys), np.concatenate(self._shares)
        parts = merge_neighbours(
            # Cells as runs of kind `key` and layer `share`: what goes on from its neighbour is one run.
            RunTable(np.arange(len(keys)), np.ones(len(keys), dtype=np.int64), keys + _KINDS, shares, shares * 0)
        )
        return Parts(
            grain=self._cell, lengths=parts.length.tolist(), shares=parts.layer.tolist(), offsets=None,
            categories=[_category(key - _KINDS) for key in parts.kind.tolist()],
        )  # fmt: skip

    def _close(self, cell: Column, key: Column, count: Column) -> None:
        if not len(cell):
            return
        # Bytes of each category in each cell, cells sorted.
        order = np.lexsort((key, cell))
        cell, key, count = cell[order], key[order], count[order]
        first = np.flatnonzero((np.diff(cell, prepend=-1) != 0) | (np.diff(key, prepend=-1) != 0))
        cell, key, count = cell[first], key[first], np.add.reduceat(count, first)
        score = count + np.where(key % _KINDS == Kind.LOST, _LOST_FIRST, 0)
        order = np.lexsort((score, cell))
        chosen = order[np.append(np.diff(cell[order]) != 0, [True])]  # the last of each cell
        whole = np.add.reduceat(count, np.flatnonzero(np.diff(cell, prepend=-1)))
        percent = count[chosen] * WHOLE // whole
        self._keys.append(key[chosen])
        self._shares.append(np.where(count[chosen] == whole, WHOLE, np.clip(percent, 1, WHOLE - 1)))


def _category(key: int) -> Category:
    return Category(Kind(key % _KINDS), key // _KINDS)


def ranges_of(disk: DiskMap) -> Iterator[tuple[int, int, Category, int]]:
    """Start, length in bytes, category and share of each part; the last one ends with the disk."""
    start = 0
    for length, category, share in zip(disk.lengths, disk.categories, disk.shares, strict=True):
        count = min(length * disk.grain, disk.size - start)
        yield start, count, category, share
        start += count
