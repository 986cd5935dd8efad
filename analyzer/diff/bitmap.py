"""Changed granules as a bitmap in a file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from analyzer.diff.ranges import ChangeTable
from vhdx.ranges import Column
from vhdx.sink import Sink

# Granules whose bits are made at once, a multiple of 8: 128 KiB of the file.
_AT_ONCE = 1 << 20


class BitmapFile:
    """A sparse file with one bit for each granule, least significant bit first, set where the granule changed.

    Bit n & 7 of byte n >> 3 stands for the bytes of the disk from n * granularity; bits past the end are 0.
    """

    def __init__(self, sink: Sink, size: int, granularity: int) -> None:
        """Begin the bitmap of a disk of `size` bytes."""
        self._sink, self._granularity = sink, granularity
        self._number, self._bits = -1, np.empty(0, dtype=np.bool_)
        sink.set_size(-(-size // granularity) // 8 + bool(-(-size // granularity) % 8))

    def passing(self, tables: Iterable[ChangeTable]) -> Iterator[ChangeTable]:
        """The tables as they come, of whole granules and rising, each noted; the file is whole when they end."""
        for table in tables:
            self._note(table)
            yield table
        self._write()
        self._sink.flush()

    @property
    def target(self) -> Path:
        """The file's name once it is committed."""
        return self._sink.target

    def _note(self, table: ChangeTable) -> None:
        first = table.start // self._granularity
        last = (table.start + table.length - 1) // self._granularity + 1
        for number in _numbers(first, last):
            if number != self._number:
                self._write()
                self._number, self._bits = number, np.zeros(_AT_ONCE, dtype=np.bool_)
            begin = number * _AT_ONCE
            here = (last > begin) & (first < begin + _AT_ONCE)
            lower, upper = np.maximum(first[here] - begin, 0), np.minimum(last[here] - begin, _AT_ONCE)
            self._bits |= np.cumsum(_steps(lower, upper))[:-1] > 0

    def _write(self) -> None:
        if self._bits.any():
            packed = np.packbits(self._bits, bitorder="little")
            whole = packed[: int(np.flatnonzero(packed)[-1]) + 1]
            self._sink.write_at(self._number * _AT_ONCE // 8, whole.data)


def _steps(lower: Column, upper: Column) -> Column:
    steps = np.zeros(_AT_ONCE + 1, dtype=np.int64)
    np.add.at(steps, lower, 1)
    np.add.at(steps, upper, -1)
    return steps


def _numbers(first: Column, last: Column) -> Iterator[int]:
    """The numbers of the parts of the bitmap that any range touches, rising."""
    after = 0
    for begin, end in zip((first // _AT_ONCE).tolist(), ((last - 1) // _AT_ONCE).tolist(), strict=True):
        yield from range(max(begin, after), end + 1)
        after = max(after, end + 1)
