"""Bytes of a disk, by position or as a file object: runs in, one buffer filled."""

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import lru_cache
from io import BytesIO, RawIOBase
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from vhdx import compiling
from vhdx.errors import InputOutputError, ShortReadError, VhdxError
from vhdx.lost import RAISE, LostPolicy, fill_around_failures
from vhdx.ranges import Column
from vhdx.runs import Kind, Run, RunTable, concatenate
from vhdx.source import ByteSource
from vhdx.structures.constants import MIB

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A plan has to be worth keeping, and small enough to make for one read: 64 blocks of 2 MiB, and at worst 262,144 runs
# of one sector.
GRANULE = 128 * MIB
"""The range of the disk whose runs are made at once and kept: the worst one, all single sectors, takes 10 MiB."""
# 2 GiB of the disk: a file system's tables and the data beside them, without making their plans again for each read.
# The number was not tuned.
_KEPT_GRANULES = 16
# Runs read that repay numba's start of 0.3 s: each takes 1.7 microseconds less, and who has read so many reads on.
_WORTH_COMPILING = 1 << 16
_ZEROS = memoryview(bytes(MIB))
# Bytes of a stream's answer whose memory is used again.
_MOST_KEPT = 4 << 20
_Plan = tuple[Column, Column, Column, Column, Column]
"""The runs of one granule, in columns: start, end, kind, layer, file offset."""


class RunSource(Protocol):
    """What a reader reads: something of a size, made of runs of bytes of some files."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the virtual disk."""

    @property
    @abstractmethod
    def sources(self) -> Sequence[ByteSource]:
        """The file of each layer, base first, as it is once its log is replayed."""

    @abstractmethod
    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """Run tables that follow one another from `start` to `end`."""

    def error_for(self, run: Run) -> VhdxError | None:  # noqa: ARG002 - what others look at
        """The error that reading the run must raise; None when it can be read, as all of it can unless it says so."""
        return None


class Reader:
    """Fills buffers from a disk, keeping the runs of what was read last. Not to be shared between threads."""

    def __init__(self, disk: RunSource, lost: LostPolicy | None = None) -> None:
        """Read from `disk`; `lost` decides what bytes that cannot be known read as, else the disk's own policy."""
        own: LostPolicy = getattr(disk, "policy", RAISE)  # a disk that is being recovered has one
        self._disk, self._lost = disk, lost or own
        self._runs_read = 0
        self._plan = lru_cache(maxsize=_KEPT_GRANULES)(self._make_plan)
        self._holes_are_zeros = int(disk.error_for(Run(0, 1, Kind.HOLE, 0, 0)) is None)

    def read_into(self, start: int, buffer: memoryview) -> None:
        """Fill the buffer from byte `start` of the disk, all of it inside the disk.

        Raises LostDataError, NeedsParentError, InputOutputError, ShortReadError, as far as the policy does.
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

    @property
    def _descriptors(self) -> npt.NDArray[np.int64]:
        """By layer; -1, from which nothing can be read, for what is no plain file. Asked anew: files are closed."""
        return np.array([getattr(source, "descriptor", -1) for source in self._disk.sources], dtype=np.int64)

    def _make_plan(self, granule: int) -> _Plan:
        start = granule * GRANULE
        table = concatenate(self._disk.windows(start, min(start + GRANULE, self._disk.size)))
        return table.start, table.start + table.length, table.kind, table.layer, table.file_offset

    def _fill(self, plan: _Plan, start: int, buffer: memoryview) -> None:
        stop = start + len(buffer)
        run, last = int(plan[0].searchsorted(start, "right")) - 1, int(plan[0].searchsorted(stop))
        self._runs_read += last - run
        # A source that is no plain file (an overlay, a patched view) has no descriptor, and makes the compiled reader
        # stop at each of its runs. Where no layer is a plain file it is not asked at all.
        repays = self._runs_read >= _WORTH_COMPILING or compiling.is_loaded()
        quick = compiling.compiled_reader() if repays else None
        if quick is None or self._descriptors.max(initial=-1) < 0:
            self._fill_from(plan, run, last, start, buffer)
            return
        whole = np.frombuffer(buffer, dtype=np.uint8)
        while run < last:
            run = quick(plan, self._descriptors, whole, run, last, start, stop, self._holes_are_zeros)
            if run < last:  # it is no plain file, or fails: read it here, which says why
                self._fill_from(plan, run, run + 1, start, buffer)
                run += 1

    def _fill_from(self, plan: _Plan, first: int, last: int, start: int, buffer: memoryview) -> None:
        stop, sources = start + len(buffer), self._disk.sources
        for begin, end, kind, layer, offset in zip(*(column[first:last].tolist() for column in plan), strict=True):
            # No enum, no min, no max: each would cost as much as the system call.
            lower = begin if begin > start else start
            part = buffer[lower - start : (end if end < stop else stop) - start]
            if kind == 0:
                try:
                    sources[layer].read_into(offset + lower - begin, part)
                except (InputOutputError, ShortReadError) as error:
                    read, place = sources[layer].read_into, offset + lower - begin
                    fill_around_failures(self._lost, read, place, lower, part, error)
            else:
                self._fill_absent(Run(lower, len(part), Kind(kind), layer, 0), part)

    def _fill_absent(self, run: Run, part: memoryview) -> None:
        error = self._disk.error_for(run)
        if error is not None:
            self._lost.fill(run.start, part, error)
            return
        for at in range(0, len(part), len(_ZEROS)):
            step = part[at : at + len(_ZEROS)]
            step[:] = _ZEROS[: len(step)]


class ChainStream(RawIOBase):
    """The flat disk, read-only and seekable. Reads raise as `Reader.read_into` does."""

    def __init__(self, disk: RunSource) -> None:
        """A stream of its own position over `disk`, at byte 0."""
        super().__init__()
        self._reader, self._size, self._position = Reader(disk), disk.size, 0
        self._kept = BytesIO(), BytesIO()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position, bytes from the disk's start."""
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
