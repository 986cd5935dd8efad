"""Bytes of a disk, by position or as a file object: runs in, one buffer filled."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cached_property
from io import BytesIO, RawIOBase
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vhdx import compiling
from vhdx.errors import InputOutputError, ShortReadError
from vhdx.kernels import DATA, HOLE, LOST
from vhdx.lost import RAISE, LostPolicy, fill_around_failures
from vhdx.plans import GRANULE, Plan, Plans, RunSource, plan_of
from vhdx.runs import Kind, Run, concatenate
from vhdx.structures.constants import MIB

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Bytes of a read for which a plan is not worth making by itself.
_SHORT = MIB
# A plan is made of a granule to which 1 of 8 of the last 2,048 places that were looked up belong: to make it costs as
# much as some 300 lookups, and of granules that are read as often as that there are at most eight at any time, so that
# plans are not made over and over on a disk that is read here and there.
_RECENT, _DENSE = 2048, 256
# Runs read that repay numba's start, 0.35 s from its cache: each takes 0.9 microseconds less, and who has read so many
# reads on.
_WORTH_COMPILING = 1 << 19
# A read so short has few runs: to count them costs as much as to read them.
_PIECE = 64 << 10
# Runs that are read from Python before the compiled reader, whose call costs as much as that many, has begun.
_FEW = 8
_ZEROS = memoryview(bytes(MIB))
# Bytes of a stream's answer whose memory is used again.
_MOST_KEPT = 4 << 20
Find = Callable[[int, int], tuple[int, int, int, int] | None]
"""See `Lookup.find`."""


class Reader:
    """Fills buffers from a disk, keeping the runs of what was read last. Not to be shared between threads."""

    def __init__(self, disk: RunSource, lost: LostPolicy | None = None, plans: Plans | None = None) -> None:
        """Read from `disk`; `lost` decides what bytes that cannot be known read as, else the disk's own policy.

        `plans` are those of the disk that other readers use too, else its own.
        """
        own: LostPolicy = getattr(disk, "policy", RAISE)  # a disk that is being recovered has one
        self._disk, self._lost = disk, lost or own
        self._runs_read, self._plans = 0, plans or Plans(disk)
        self._looked_up, self._recently = dict[int, int](), 0
        self._plan: Plan | None = None
        self._run = 0  # where the last read ended
        self._holes_are_zeros = int(disk.error_for(Run(0, 1, Kind.HOLE, 0, 0)) is None)

    @cached_property
    def find(self) -> Find | None:
        """See `Image.lookup`; None for a disk that has none."""
        # By name, as a policy is: what is no disk of block tables has none.
        lookup: Callable[[], Find | None] = getattr(self._disk, "lookup", lambda: None)
        return lookup()

    def read_into(self, start: int, buffer: memoryview) -> None:
        """Fill the buffer from byte `start` of the disk, all of it inside the disk.

        Raises LostDataError, NeedsParentError, InputOutputError, ShortReadError, as far as the policy does.
        """
        end, plan = start + len(buffer), self._plan
        if plan is not None and plan.views[0][0] <= start and end <= plan.views[1][-1]:
            self._fill(plan, start, buffer)
            return
        position = start
        while position < end:
            granule = position // GRANULE
            upto = min(end, (granule + 1) * GRANULE)
            part = buffer[position - start : upto - start]
            plan = self.plan_for(position, len(part))
            if plan is None and self.find is not None:
                self._fill_by_lookup(self.find, position, part)
            else:
                self._fill(plan or self._keep_plan(granule), position, part)
            position = upto

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes of the disk from `start`; see `read_into`."""
        # The bytes that a BytesIO was made from and that nobody else holds can be filled in place: no second copy.
        holder = BytesIO(bytes(length))
        with holder.getbuffer() as buffer:
            self.read_into(start, buffer)
        return holder.getvalue()

    @property
    def _descriptors(self) -> npt.NDArray[np.int64]:
        """By layer; -1, from which nothing can be read, for what is no plain file. Asked anew: files are closed."""
        return np.array([getattr(source, "descriptor", -1) for source in self._disk.sources], dtype=np.int64)

    def plan_for(self, start: int, length: int) -> Plan | None:
        """The runs around a range inside one granule; None where to make them would cost more than to read the range.

        Raises as reading a table does.
        """
        granule = start // GRANULE
        plan = self._plans.kept(granule)
        if plan is None and (length > _SHORT or self._looked_up.get(granule, 0) >= _DENSE or self.find is None):
            plan = self._keep_plan(granule)
        return plan

    def _keep_plan(self, granule: int) -> Plan:
        plan = self._plans.keep(granule)
        self._looked_up.pop(granule, None)
        return plan

    def _fill_by_lookup(self, find: Find, start: int, buffer: memoryview) -> None:
        """Fill a buffer inside one granule piece by piece, each looked up."""
        position, stop, count = start, start + len(buffer), 0
        while position < stop:
            found = find(position, stop)
            if found is None or (found[1] == HOLE and not self._holes_are_zeros):
                # The runs of all that is left, so that an error says how much of it is lost; and soon those around it.
                plan = plan_of(concatenate(self._disk.windows(position, stop)))
                self._fill(plan, position, buffer[position - start :])
                position, count = stop, _DENSE // 4
            else:
                upto, kind, layer, offset = found
                self._fill_run(position, kind, layer, offset, buffer[position - start : upto - start])
                position, count = upto, count + 1
        granule = start // GRANULE
        self._recently += count
        if self._recently > _RECENT:
            self._looked_up.clear()
            self._recently = count
        self._looked_up[granule] = self._looked_up.get(granule, 0) + count

    def _fill(self, plan: Plan, start: int, buffer: memoryview) -> None:
        run = self._run_at(plan, start)
        if len(buffer) <= _PIECE or not self._fill_compiled(plan, run, start, buffer):
            self._run = self._fill_from(plan, run, start, buffer)
            self._runs_read += self._run - run
        self._plan = plan

    def _run_at(self, plan: Plan, start: int) -> int:
        """The run that a place is in; most reads begin where the last one ended, which costs no search."""
        starts, ends = plan.views[:2]
        if plan is self._plan and self._run < len(starts) and starts[self._run] <= start < ends[self._run]:
            return self._run
        return bisect_right(starts, start) - 1

    def _fill_compiled(self, plan: Plan, run: int, start: int, buffer: memoryview) -> bool:
        """As `_fill_from`, in compiled code; False where that repays nothing."""
        stop = start + len(buffer)
        last = bisect_left(plan.views[0], stop)
        # A source that is no plain file (an overlay, a patched view) has no descriptor, and makes the compiled reader
        # stop at each of its runs. Where no layer is a plain file it is not asked at all.
        repays = last - run > _FEW and (self._runs_read >= _WORTH_COMPILING or compiling.is_loaded())
        quick = compiling.compiled_reader() if repays else None
        if quick is None or self._descriptors.max(initial=-1) < 0:
            return False
        whole, starts, ends = np.frombuffer(buffer, dtype=np.uint8), *plan.views[:2]
        while run < last:
            run = quick(plan.columns, self._descriptors, whole, run, last, start, stop, self._holes_are_zeros)
            if run < last:  # it is no plain file, or fails: read it here, which says why
                lower, upper = max(starts[run], start), min(ends[run], stop)
                self._fill_from(plan, run, lower, buffer[lower - start : upper - start])
                run += 1
        self._run = last
        return True

    def _fill_from(self, plan: Plan, run: int, start: int, buffer: memoryview) -> int:
        """Fill a buffer from byte `start`, which is in a run, on; returns the run that the byte behind it is in."""
        starts, ends, kinds, layers, offsets = plan.views
        sources, position, stop = self._disk.sources, start, start + len(buffer)
        while position < stop:
            # No min, no max, and no call that can be left out: each costs as much as the system's.
            end = ends[run]
            upper = end if end < stop else stop
            part = buffer[position - start : upper - start]
            if kinds[run] == DATA:
                read, offset = sources[layers[run]].read_into, offsets[run] + position - starts[run]
                try:
                    read(offset, part)
                except (InputOutputError, ShortReadError) as error:
                    fill_around_failures(self._lost, read, offset, position, part, error)
            else:
                self._fill_zeros(position, kinds[run], layers[run], part)
            run += end <= stop
            position = upper
        return run

    def _fill_run(self, start: int, kind: int, layer: int, offset: int, part: memoryview) -> None:
        if kind != DATA:
            self._fill_zeros(start, kind, layer, part)
            return
        read = self._disk.sources[layer].read_into
        try:
            read(offset, part)
        except (InputOutputError, ShortReadError) as error:
            fill_around_failures(self._lost, read, offset, start, part, error)

    def _fill_zeros(self, start: int, kind: int, layer: int, part: memoryview) -> None:
        may_fail = kind == LOST or (kind == HOLE and not self._holes_are_zeros)
        absent = self._disk.error_for(Run(start, len(part), Kind(kind), layer, 0)) if may_fail else None
        if absent is not None:
            self._lost.fill(start, part, absent)
        else:
            while len(part) > len(_ZEROS):
                part[: len(_ZEROS)], part = _ZEROS, part[len(_ZEROS) :]
            part[:] = _ZEROS[: len(part)]


class Positioned(RawIOBase):
    """A file object over so many bytes, with a position of its own; a subclass reads from there."""

    def __init__(self, size: int) -> None:
        """At byte 0."""
        super().__init__()
        self._size, self._position = size, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position, bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move, as RawIOBase.seek does; raises ValueError for a place before the start."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}.get(whence)
        if origin is None:
            raise ValueError(f"whence is {whence}; it must be 0, 1 or 2")
        if origin + offset < 0:
            raise ValueError(f"cannot seek to byte {origin + offset}, before the start of the disk")
        self._position = origin + offset
        return self._position


class ChainStream(Positioned):
    """The flat disk, read-only and seekable. Reads raise as `Reader.read_into` does."""

    def __init__(self, disk: RunSource) -> None:
        """A stream of its own position over `disk`, at byte 0."""
        super().__init__(disk.size)
        self._reader, self._kept = Reader(disk), (BytesIO(), BytesIO())

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer as far as the disk goes; returns how many bytes."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._position))
        self._reader.read_into(self._position, view[:length])
        self._position += length
        return length

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that follow when it is negative or None; less only at the disk's end."""
        left = max(0, self._size - self._position)
        length = left if size is None or size < 0 else min(size, left)
        data = self._reader.read(self._position, length) if length > _MOST_KEPT else self._read_in_turn(length)
        self._position += length
        return data

    def _read_in_turn(self, length: int) -> bytes:
        # What a BytesIO holds and nobody else does can be filled in place: neither a second copy, nor zeros first.
        # A caller lets go of what it got last while it takes the next, so that two of them serve it in turn; of what
        # it does not let go, `getbuffer` makes a copy.
        self._kept = self._kept[1], self._kept[0]
        if len(self._kept[0].getvalue()) != length:
            self._kept = BytesIO(bytes(length)), self._kept[1]
        with self._kept[0].getbuffer() as buffer:
            self._reader.read_into(self._position, buffer)
        return self._kept[0].getvalue()

    def readall(self) -> bytes:
        """All that follows the position, in one piece."""
        return self.read()
