"""Ranges rounded outward to granules of any size."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from analyzer.diff.ranges import Change, ChangeTable, joined
from vhdx.ranges import Column


class _Pieces(NamedTuple):
    """Granules that a range begins or ends in: which, the least and the greatest kind, and how many bytes changed."""

    granule: Column
    least: Column
    most: Column
    covered: Column


_NONE = _Pieces(*(np.empty(0, dtype=np.int64) for _ in range(4)))


def rounded(tables: Iterable[ChangeTable], granularity: int, end: int) -> Iterator[ChangeTable]:
    """The granules of `granularity` bytes, the last one cut at `end`, that any range touches, neighbours joined.

    A granule that is of one kind throughout keeps it. One that was enlarged, or holds several kinds, is DATA: a reader
    who skips what is ZERO must not skip bytes that merely stand beside zeros. One with anything LOST is LOST.
    """
    return joined(_rounded(tables, granularity, end))


def _rounded(tables: Iterable[ChangeTable], granularity: int, end: int) -> Iterator[ChangeTable]:
    held = _NONE
    for table in tables:
        if not len(table):
            continue
        pieces = _together(held, _pieces(table, granularity))
        # The next table may add to the last granule.
        ready, held = (_Pieces(*(column[part] for column in pieces)) for part in (slice(0, -1), slice(-1, None)))
        yield _sorted(_inner(table, granularity), _decided(ready, granularity, end))
    yield _decided(held, granularity, end)


def _pieces(table: ChangeTable, granularity: int) -> _Pieces:
    end = table.start + table.length
    first, last = table.start // granularity, (end - 1) // granularity
    crosses = last > first
    granule = np.concatenate((first, last[crosses]))
    kind = np.concatenate((table.kind, table.kind[crosses]))
    head = np.minimum(end, (first + 1) * granularity) - table.start
    tail = (end - last * granularity)[crosses]
    return _Pieces(granule, kind, kind, np.concatenate((head, tail)))


def _together(first: _Pieces, second: _Pieces) -> _Pieces:
    """All pieces, rising, those of one granule made one."""
    granule, least, most, covered = (np.concatenate(pair) for pair in zip(first, second, strict=True))
    order = np.argsort(granule, kind="stable")
    granule, least, most, covered = (column[order] for column in (granule, least, most, covered))
    begins = np.flatnonzero(np.concatenate(([True], granule[1:] != granule[:-1])))
    return _Pieces(
        granule[begins],
        np.minimum.reduceat(least, begins),
        np.maximum.reduceat(most, begins),
        np.add.reduceat(covered, begins),
    )


def _decided(pieces: _Pieces, granularity: int, end: int) -> ChangeTable:
    start = pieces.granule * granularity
    length = np.minimum(start + granularity, end) - start
    # A granule that is partly ZERO is DATA: a reader who skips zeros would skip the bytes beside them. LOST is the
    # strongest, because nothing may hide it.
    pure = (pieces.least == pieces.most) & (pieces.covered == length)
    kind = np.where(pieces.most == Change.LOST, Change.LOST, np.where(pure, pieces.least, Change.DATA))
    return ChangeTable(start, length, kind.astype(np.int64))


def _inner(table: ChangeTable, granularity: int) -> ChangeTable:
    """The granules that lie wholly within a range, its first and last one left out."""
    start = (table.start // granularity + 1) * granularity
    end = (table.start + table.length - 1) // granularity * granularity
    return ChangeTable(start, end - start, table.kind).select(end > start)


def _sorted(first: ChangeTable, second: ChangeTable) -> ChangeTable:
    start = np.concatenate((first.start, second.start))
    order = np.argsort(start, kind="stable")
    length, kind = np.concatenate((first.length, second.length)), np.concatenate((first.kind, second.kind))
    return ChangeTable(start[order], length[order], kind[order])
