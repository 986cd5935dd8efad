"""The upper layers of a chain to one differencing file on a layer that stays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.convert.cells import (
    CELL,
    GRAIN,
    cells_with_data,
    count_cells_with_data,
    nonzero_ranges,
    read_cells,
    require_known,
    units_touched,
)
from analyzer.convert.copying import CellChecksums, CellsAlone, Write, copy_cells, of_either, verify_cells
from analyzer.convert.disks import KeptRuns
from analyzer.convert.model import (
    ImageRequest,
    Options,
    Outcome,
    OutputFormat,
    Plan,
    Verify,
    check_block_size,
    leaves_holes,
    new_disk_like,
    parent_locator,
    require_compression,
)
from analyzer.convert.sharing import Shared, Sharing, layers_to_share, shareable, sharing_of
from analyzer.progress import Progress, no_progress
from vhdx.chain import Chain, open_chain
from vhdx.disk import DiskSource, ThroughDisk
from vhdx.errors import NoSuchLayerError, VerificationError
from vhdx.image import Image
from vhdx.lost import FillZeros
from vhdx.parents import OnMismatch, require_linked
from vhdx.ranges import joined
from vhdx.runs import Kind, RunTable, concatenate
from vhdx.sink import Sink
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import MIB
from vhdx.structures.disk import DiskType
from vhdx.targets import check_space, check_target
from vhdx.writer import NewDisk, VhdxWriter

# The largest block size, and every block size divides it, so no block is in two windows. The least chunk is 4 GiB.
# The range of the disk that is classified at once: no smaller than a block, no larger than a chunk.
_WINDOW = 256 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperMergePlan(Plan):
    """What is going to be written: a VHDX laid upon the layer `kept`."""

    new_disk: NewDisk
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """What a file laid upon a chain is to hold."""

    disk: DiskSource
    """The disk as it reads with that file."""
    below: Chain
    """The layers that stay; the newest becomes the parent."""
    windows: Callable[[int, int], Iterator[RunTable]]
    """What is above them alone, from one byte to another; a HOLE is what is left to them."""
    layers: int
    """How many are made one."""

    @property
    def parent(self) -> Image:
        """The layer that the file is laid upon."""
        return self.below.leaf

    def all_windows(self) -> Iterator[RunTable]:
        """Windows of what is above."""
        return self.windows(0, self.disk.size)


def upper_layers(chain: Chain, kept: int) -> Above:
    """The layers of a chain above layer `kept`."""
    above = len(chain.layers) - kept - 1
    return Above(disk=chain, below=chain.upto(kept), windows=partial(chain.windows_above, kept + 1), layers=above)


def plan_merge_upper(chain: Chain, base: Path, target: Path, options: Options) -> UpperMergePlan:
    """Look at everything that could refuse the output; raises OutputError, NoSpaceError, ChainError, LostDataError."""
    kept = chain.layer_of(base)
    if kept == len(chain.layers) - 1:
        raise NoSuchLayerError(chain.path, f"one above {base}", len(chain.layers))
    check_target(target, [layer.path for layer in chain.layers], options.existing)
    return plan_above(upper_layers(chain, kept), chain, target, options)


def plan_above(above: Above, like: Chain, target: Path, options: Options) -> UpperMergePlan:
    """The plan of a file laid upon a chain, a disk `like` that of another; raises as `plan_merge_upper` does."""
    check_block_size(target, options.block_size)
    require_compression(target, options.compression, (), "a differencing VHDX")
    check_target(target, [layer.path for layer in above.below.layers], options.existing)
    sized = replace(options, block_size=options.block_size or like.leaf.parameters.block_size)
    locator = parent_locator(above.parent.path, target, above.parent.data_write_guid)
    new_disk = replace(new_disk_like(like, sized), type=DiskType.DIFFERENCING, locator=locator, items=like.items)
    data = count_cells_with_data(require_known(above.disk, above.all_windows())) * CELL
    needed = data + new_disk.first_block
    request = ImageRequest(target=target, format=OutputFormat.VHDX, like=new_disk, options=options)
    if layers := layers_to_share(above.disk, request):
        needed -= sum(int(shareable(table, layers, GRAIN).length.sum()) for table in above.all_windows())
    check_space(target, needed)
    return UpperMergePlan(
        target=target,
        format=OutputFormat.VHDX,
        size=above.disk.size,
        data_bytes=data,
        needed_bytes=needed,
        new_disk=new_disk,
        layers=above.layers,
        options=options,
        kept=len(above.below.layers) - 1,
    )


def run_merge_upper(plan: UpperMergePlan, chain: Chain, progress: Progress = no_progress) -> Outcome:
    """Write, flush, read back, rename; raises what reading and writing raise, and VerificationError."""
    return run_above(plan, upper_layers(chain, plan.kept), progress)


def run_above(plan: UpperMergePlan, above: Above, progress: Progress = no_progress) -> Outcome:
    """See `run_merge_upper`."""
    with Sink(plan.target, existing=plan.options.existing) as sink:
        disk, alone = _Filled(above.disk), KeptRuns(_Alone(above))
        sharing = sharing_of(plan, alone, sink)
        writer = ClaimingWriter(sink, plan.new_disk, above, sharing.write if sharing else sink.write_at)
        if sharing:
            checksums = _copy_sharing(sharing, alone, writer, progress)
        else:
            checksums = copy_cells(disk, cells_with_data(above.all_windows()), writer.write, progress)
        writer.finish()
        copied = len(checksums.cells) * CELL
        if not leaves_holes(plan.target, plan.format, plan.options):
            sink.fill_holes()
        sink.flush()
        if plan.options.verify is Verify.READ_BACK:
            below = [layer.path for layer in reversed(above.below.layers)]
            # A mismatch below was refused or accepted when the chain was opened.
            with open_chain(sink.path, parents=below, on_mismatch=OnMismatch.ACCEPT) as written:
                upper = upper_layers(written, plan.kept)
                _compare_holes(above, upper, sink.path)
                held = cells_with_data(upper.all_windows())
                if sharing:  # nothing has a checksum: all that either side has is compared
                    checksums, held = CellChecksums(), of_either(held, cells_with_data(above.all_windows()))
                verify_cells(checksums, disk, _Filled(written), held, sink.path, progress)
        above.disk.require_unchanged()
        require_linked(sink.path, above.parent.path, plan.target)
        sink.commit()
        outcome = plan.outcome(copied, sink.size, above.disk.findings)
        shared = sharing.account if sharing else Shared(0, outcome.copied_bytes)
        return replace(outcome, parent=above.parent.path, cloned_bytes=shared.cloned, copied_bytes=shared.copied)


class _Filled:
    """A disk with zeros where it cannot be known: what the layers that stay have lost is not copied, they keep it."""

    policy = FillZeros()

    def __init__(self, disk: DiskSource) -> None:
        self.size, self.sources, self.windows, self.error_for = disk.size, disk.sources, disk.windows, disk.error_for


class _Alone(ThroughDisk):
    """What is above, as a disk of its own; zeros where the layers that stay show, and where it cannot be known."""

    policy = FillZeros()

    def __init__(self, above: Above) -> None:
        super().__init__(above.disk)
        self._above = above

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        return self._above.windows(start, end)


def _copy_sharing(sharing: Sharing, alone: KeptRuns, writer: "ClaimingWriter", progress: Progress) -> CellChecksums:
    """As `copy_cells`, sharing what can be shared: of that nothing is read, and nothing has a checksum."""
    noted = CellsAlone()
    for _ in alone.windows(0, alone.size):  # all at once: from now on they are kept
        pass
    for cell, data in read_cells(sharing.rest, cells_with_data(alone.windows(0, alone.size))):
        start = cell * CELL
        for part in nonzero_ranges(data):
            writer.write(start + part.start, data[part.start : part.end].data)
        for run in sharing.parts(start, start + len(data)):
            sharing.share(run, writer.place(run.start))
        noted.note(cell, data)
        progress(len(data))
    return noted


class ClaimingWriter:
    """Writes what the upper layers hold, claiming the blocks of each window before its first byte comes."""

    def __init__(self, sink: Sink, disk: NewDisk, above: Above, write_at: Write | None = None) -> None:
        """Write `above` as the file `disk`, by `write_at`; bytes come to `write` in the order of the disk."""
        self._writer, self._write_at = VhdxWriter(sink, disk), write_at or sink.write_at
        self._above, self._disk = above, disk
        held = (table.select(table.kind != Kind.HOLE) for table in above.all_windows())
        self._windows = units_touched(held, _WINDOW)
        self._next = next(self._windows, None)
        self._own = RunTable.of([])

    def write(self, start: int, data: memoryview) -> None:
        """Write bytes of the disk; what is left to the parent is left out."""
        end = start + len(data)
        self._claim_before(end)
        for run in self._own.clip(start, end):
            if run.kind is Kind.DATA:
                self._write_at(self._writer.place(run.start), data[run.start - start : run.end - start])

    def place(self, start: int) -> int:
        """Where in the file byte `start` of the disk, which is above, is to be."""
        self._claim_before(start + 1)
        return self._writer.place(start)

    def finish(self) -> None:
        """Make it a VHDX."""
        while self._next is not None:
            self._claim(self._next)
        self._writer.finish()

    def _claim_before(self, end: int) -> None:
        while self._next is not None and self._next * _WINDOW < end:
            self._claim(self._next)

    def _claim(self, window: int) -> None:
        start = window * _WINDOW
        end = min(start + _WINDOW, self._disk.size)
        self._own = concatenate(self._above.windows(start, end))
        states = block_states(self._own, start, end, self._disk.block_size)
        held = self._own.select(self._own.kind != Kind.HOLE)
        sectors = np.stack((held.start, held.start + held.length), axis=1) // self._disk.logical_sector_size
        self._writer.claim(start // self._disk.block_size, states, sectors)
        self._next = next(self._windows, None)


def block_states(table: RunTable, start: int, end: int, block_size: int) -> npt.NDArray[np.int64]:
    """The state of each block from `start` (a block's first byte) to `end` that holds what a table says, HOLE aside."""
    edges = np.append(np.arange(start, end, block_size, dtype=np.int64), end)
    held = np.diff(_bytes_before(table, table.kind != Kind.HOLE, edges))
    data = np.diff(_bytes_before(table, table.kind == Kind.DATA, edges))
    full = held == np.diff(edges)
    states = np.full(len(held), BlockState.PARTIALLY_PRESENT, dtype=np.int64)
    states[full] = BlockState.FULLY_PRESENT
    # Only a block that is zeros throughout may be ZERO: in any other, absent sectors are the parent's, and a bitmap
    # says so.
    states[full & (data == 0)] = BlockState.ZERO
    states[held == 0] = BlockState.NOT_PRESENT
    return states


def _bytes_before(
    table: RunTable, chosen: npt.NDArray[np.bool_], edges: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """How many bytes of the chosen runs are before each edge."""
    weight = chosen.astype(np.int64)
    before = np.concatenate(([0], np.cumsum(table.length * weight)))
    index = np.maximum(np.searchsorted(table.start, edges, side="right") - 1, 0)
    return np.asarray(before[index] + (edges - table.start[index]) * weight[index])


def _compare_holes(above: Above, written: Above, path: Path) -> None:
    """What is left to the layers that stay, the output must leave to them, and nothing else."""
    tables = (each.all_windows() for each in (above, written))
    # Holes that meet at a window's seam are one.
    expected, got = (joined(hole for table in some for hole in table.of_kind(Kind.HOLE).ranges) for some in tables)
    for wanted, found in zip_longest(expected, got):
        if wanted != found:
            raise VerificationError(path, *(wanted or found or (0, 0)))
