"""Bytes that an output shares with its sources instead of copying them, where one file system holds both and can."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from analyzer.convert.cells import CELL, GRAIN, Bytes, nonzero_ranges
from analyzer.convert.copying import CellChecksums, CellsAlone
from analyzer.convert.disks import KeptRuns
from analyzer.convert.model import ImageRequest, OutputFormat, Plan, Reflink
from analyzer.convert.threads import ALIVE, ahead
from analyzer.progress import Progress
from vhdx.disk import DiskSource, ThroughDisk
from vhdx.errors import OutputError
from vhdx.plans import RunSource
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind, Run, RunTable, concatenate, overlay
from vhdx.sink import Sink
from vhdx.source import FileSource, read_at
from vhdx.system import files

_AS_THEY_ARE = frozenset({OutputFormat.RAW, OutputFormat.VHDX, OutputFormat.VHDX_FIXED})
"""The formats in which bytes of the disk stand as they are, whole blocks at whole blocks."""


def shareable(table: RunTable, layers: Sequence[int], unit: int) -> RunTable:
    """The parts of runs of these layers that are whole units on the disk and in their files; with gaps."""
    start = -(-table.start // unit) * unit
    length = (table.start + table.length) // unit * unit - start
    offset = table.file_offset + start - table.start
    fits = (table.kind == Kind.DATA) & np.isin(table.layer, layers) & (length > 0) & (offset % unit == 0)
    return RunTable(start, length, table.kind, table.layer, offset).select(fits)


def layers_to_share(disk: DiskSource, request: ImageRequest) -> list[int]:
    """The layers of which an output may share what it holds, as far as can be forecast.

    None where nobody asks for it, or the format or the file system leaves no hope of it. Raises OutputError where it
    is a must and cannot be.
    """
    folder, reflink = request.target.parent, request.options.reflink
    if reflink is Reflink.NEVER:
        return []
    layers = _plain_layers(disk)
    if request.format not in _AS_THEY_ARE:
        layers, reason = [], f"{request.format.value} keeps no blocks as they are"
    elif not files.may_share(folder):
        layers, reason = [], "its file system cannot share blocks of files"
    else:
        reason = "no source is a plain file that nobody has open for writing"
    if reflink is Reflink.ALWAYS and not layers:
        raise refusal(request.target, reason)
    device = folder.stat().st_dev
    return [layer for layer, source in layers if source.identity[0] == device]


def refusal(target: Path, reason: str) -> OutputError:
    """That an output must share blocks and cannot."""
    return OutputError(target, reason, "name another target, or leave --reflink always out")


def _plain_layers(disk: DiskSource) -> list[tuple[int, FileSource]]:
    """The layers whose sources are plain files that nobody has open for writing.

    What is written to meanwhile would be shared in one state here and in another there.
    """
    plain = [(layer, source) for layer, source in enumerate(disk.sources) if isinstance(source, FileSource)]
    return [one for one in plain if one[1].unread is None and not files.has_writer(one[1].descriptor)]


class _Rest(ThroughDisk):
    """A disk without what is shared: zeros there."""

    def __init__(self, disk: KeptRuns, shared: Callable[[RunTable], RunTable]) -> None:
        super().__init__(disk)
        self.policy, self._shared = disk.policy, shared

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        for table in self.inner.windows(start, end):
            ranges: Ranges = self._shared(table).ranges
            yield overlay(RunTable.marking(ranges, table.range, Kind.ZERO), table) if len(ranges) else table


@dataclass(frozen=True, slots=True)
class Shared:
    """What became of the bytes of an output."""

    cloned: int
    copied: int


class Sharing:
    """Shares what it can of a disk with a new file, a cell at a time; what cannot be shared after all is copied."""

    def __init__(self, disk: KeptRuns, sink: Sink, layers: Sequence[int], unit: int) -> None:
        """Share whole units of `layers`, whose sources are plain files."""
        self._disk, self._sink, self._layers, self._unit = disk, sink, layers, unit
        self._cloned = self._copied = 0
        self.rest: RunSource = _Rest(disk, self._of)

    @property
    def account(self) -> Shared:
        """How much was cloned so far, and how much copied."""
        return Shared(self._cloned, self._copied)

    def parts(self, start: int, end: int) -> RunTable:
        """What is to be shared of a range of the disk."""
        return self._of(concatenate(self._disk.windows(start, end)))

    def share(self, run: Run, offset: int) -> None:
        """Put the bytes of a run at a place of the new file; raises what reading and writing raise."""
        source = self._disk.sources[run.layer]
        is_shared = isinstance(source, FileSource) and self._sink.share(
            offset, source.descriptor, run.file_offset, run.length
        )
        if not is_shared:  # more references than a block can have, say
            self._sink.write_at(offset, read_at(source, run.file_offset, run.length))
        self._count(run.length if is_shared else 0, 0 if is_shared else run.length)

    def write(self, offset: int, data: memoryview) -> None:
        """Copy what is not shared."""
        self._sink.write_at(offset, data)
        self._count(0, len(data))

    def _of(self, table: RunTable) -> RunTable:
        return shareable(table, self._layers, self._unit)

    def _count(self, cloned: int, copied: int) -> None:
        self._cloned += cloned
        self._copied += copied


def sharing_of(plan: Plan, disk: KeptRuns, sink: Sink) -> Sharing | None:
    """What shares bytes of a disk with its output, still empty; None where no source can be shared with it.

    Raises OutputError where that is a must.
    """
    reflink, folder = plan.options.reflink, plan.target.parent
    if reflink is Reflink.NEVER or plan.format not in _AS_THEY_ARE or not files.may_share(folder):
        return None
    unit = max(GRAIN, files.block_size(folder))
    # Asked of each: subvolumes of one btrfs share blocks, although their numbers are those of several devices.
    layers = [layer for layer, source in _plain_layers(disk) if sink.can_share(source.descriptor, unit)]
    if reflink is Reflink.ALWAYS and not layers:
        raise refusal(plan.target, "its file system refuses to share blocks with its sources")
    return Sharing(disk, sink, layers, unit) if layers else None


def copy_sharing(
    sharing: Sharing, cells: Iterable[int], place: Callable[[int], int], progress: Progress
) -> CellChecksums:
    """As `copy_cells`, sharing what can be shared: of that nothing is read, so that it may be zeros.

    `place` says where in the file a byte of the disk is to be, asked in the order of the disk. Nothing has a checksum.
    """
    noted = CellsAlone()
    with closing(ahead(_not_shared(sharing, cells))) as read:
        for cell, data, shared, ranges in read:
            if ranges or len(shared):
                start, at = cell * CELL, place(cell * CELL)
                for part in ranges:
                    sharing.write(at + part.start, data[part.start : part.end].data)
                for run in shared:
                    sharing.share(run, at + run.start - start)
                noted.note(cell, data)
            progress(len(data))
    return noted


def _not_shared(sharing: Sharing, cells: Iterable[int]) -> Iterator[tuple[int, Bytes, RunTable, Sequence[Range]]]:
    """Number and content of each cell but what is shared of it, these runs, and what of the content is not zero."""
    reader, buffers = Reader(sharing.rest), np.empty((ALIVE, CELL), dtype=np.uint8)
    for cell, buffer in zip(cells, cycle(buffers), strict=False):
        start = cell * CELL
        data = buffer[: sharing.rest.size - start]
        shared = sharing.parts(start, start + len(data))
        is_whole = int(shared.length.sum()) == len(data)
        if not is_whole:
            reader.read_into(start, data.data)
        yield cell, data, shared, () if is_whole else nonzero_ranges(data)
