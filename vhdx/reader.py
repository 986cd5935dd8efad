"""Bytes of a disk, by position: runs in, one buffer filled."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple, Protocol

from vhdx.errors import VhdxError
from vhdx.runs import Kind, Run, RunTable, concatenate
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
    """The runs of one granule in lists: a loop walks them faster than arrays, and the garbage collector need not."""

    start: list[int]
    end: list[int]
    kind: list[int]
    layer: list[int]
    file_offset: list[int]


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
        # The bytes that a BytesIO was made from and that nobody else holds can be filled in place: no second copy.
        holder = BytesIO(bytes(length))
        with holder.getbuffer() as buffer:
            self.read_into(start, buffer)
        return holder.getvalue()

    def _make_plan(self, granule: int) -> _Plan:
        start = granule * GRANULE
        table = concatenate(self._disk.windows(start, min(start + GRANULE, self._disk.size)))
        columns = (table.start, table.start + table.length, table.kind, table.layer, table.file_offset)
        return _Plan(*(column.tolist() for column in columns))

    def _fill(self, plan: _Plan, start: int, buffer: memoryview) -> None:
        stop = start + len(buffer)
        sources = self._disk.sources
        wanted = slice(bisect_right(plan.start, start) - 1, bisect_left(plan.start, stop))
        for begin, end, kind, layer, offset in zip(*(column[wanted] for column in plan), strict=True):
            # No enum, no min, no max: each would cost as much as the system call.
            lower = begin if begin > start else start
            part = buffer[lower - start : (end if end < stop else stop) - start]
            if kind == 0:
                sources[layer].read_into(offset + lower - begin, part)
            else:
                self._fill_absent(Run(lower, len(part), Kind(kind), layer, 0), part)

    def _fill_absent(self, run: Run, part: memoryview) -> None:
        refusal = self._disk.refusal(run)
        if refusal is not None:
            raise refusal
        for at in range(0, len(part), len(_ZEROS)):
            step = part[at : at + len(_ZEROS)]
            step[:] = _ZEROS[: len(step)]
