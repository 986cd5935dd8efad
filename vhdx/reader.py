"""Bytes of a disk, by position: runs in, one buffer filled."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from vhdx.errors import VhdxError
from vhdx.runs import Kind, Run, RunTable
from vhdx.source import ByteSource
from vhdx.structures.constants import MIB

GRANULE = 64 * MIB
"""The range of the disk whose runs are made at once and kept: the worst one, all single sectors, has 131072."""
_KEPT_GRANULES = 32
_ZEROS = memoryview(bytes(MIB))


class RunSource(Protocol):
    """What a reader reads: something of a size, made of runs of bytes of some files."""

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        ...

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The file of each layer, base first."""
        ...

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """Run tables that follow one another from `start` to `end`."""
        ...

    def refusal(self, run: Run) -> VhdxError | None:
        """The error that reading the run must raise; None when it can be read."""
        ...


class _Plan(NamedTuple):
    """The runs of one granule as Python values, which a loop walks faster than an array."""

    starts: list[int]
    runs: list[tuple[int, int, int, int, int]]


class Reader:
    """Fills buffers from a disk, keeping the runs of what was read last. Not to be shared between threads."""

    def __init__(self, disk: RunSource) -> None:
        """Read from `disk`."""
        self._disk = disk
        self._plan = lru_cache(maxsize=_KEPT_GRANULES)(self._make_plan)

    def read_into(self, start: int, buffer: memoryview) -> None:
        """Fill the buffer from byte `start` of the disk, all of it inside the disk.

        Raises LostDataError, NeedsParentError, InputOutputError, ShortReadError.
        """
        end = start + len(buffer)
        position = start
        while position < end:
            granule = position // GRANULE
            upto = min(end, (granule + 1) * GRANULE)
            self._fill(self._plan(granule), position, buffer[position - start : upto - start])
            position = upto

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes of the disk from `start`; see `read_into`."""
        buffer = bytearray(length)
        self.read_into(start, memoryview(buffer))
        return bytes(buffer)

    def _make_plan(self, granule: int) -> _Plan:
        start = granule * GRANULE
        tables = self._disk.windows(start, min(start + GRANULE, self._disk.size))
        runs: list[tuple[int, int, int, int, int]] = []
        for table in tables:
            columns = (table.start, table.start + table.length, table.kind, table.layer, table.file_offset)
            runs.extend(zip(*(column.tolist() for column in columns), strict=True))
        return _Plan([run[0] for run in runs], runs)

    def _fill(self, plan: _Plan, start: int, buffer: memoryview) -> None:
        stop = start + len(buffer)
        sources = self._disk.sources
        first = bisect_right(plan.starts, start) - 1
        last = bisect_right(plan.starts, stop - 1)
        for begin, end, kind, layer, offset in plan.runs[first:last]:
            lower, upper = max(begin, start), min(end, stop)
            part = buffer[lower - start : upper - start]
            if kind == 0:  # Kind.DATA: enum look-ups would cost as much as the read
                sources[layer].read_into(offset + lower - begin, part)
            else:
                self._fill_absent(Run(lower, upper - lower, Kind(kind), layer, offset), part)

    def _fill_absent(self, run: Run, part: memoryview) -> None:
        refusal = self._disk.refusal(run)
        if refusal is not None:
            raise refusal
        for at in range(0, len(part), len(_ZEROS)):
            step = part[at : at + len(_ZEROS)]
            step[:] = _ZEROS[: len(step)]
