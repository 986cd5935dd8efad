"""The upper layers of a chain to one differencing file on a layer that stays."""

from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.convert.cells import CELL, cells_with_data, count_cells_with_data, require_known, units_touched
from analyzer.convert.copying import copy_cells, verify_cells
from analyzer.convert.model import (
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
from analyzer.progress import Progress, no_progress
from vhdx.chain import Chain, open_chain
from vhdx.errors import NoSuchLayerError, VerificationError
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


def plan_merge_upper(chain: Chain, base: Path, target: Path, options: Options) -> UpperMergePlan:
    """Look at everything that could refuse the output; raises OutputError, NoSpaceError, ChainError, LostDataError."""
    kept = chain.layer_of(base)
    if kept == len(chain.layers) - 1:
        raise NoSuchLayerError(chain.path, f"one above {base}", len(chain.layers))
    check_block_size(target, options.block_size)
    require_compression(target, options.compression, (), "a differencing VHDX")
    check_target(target, [layer.path for layer in chain.layers], options.existing)
    sized = replace(options, block_size=options.block_size or chain.leaf.parameters.block_size)
    below = chain.layers[kept]
    locator = parent_locator(below.path, target, below.data_write_guid)
    new_disk = replace(new_disk_like(chain, sized), type=DiskType.DIFFERENCING, locator=locator, items=chain.items)
    data = count_cells_with_data(require_known(chain, chain.windows_above(kept + 1))) * CELL
    needed = data + new_disk.first_block
    check_space(target, needed)
    return UpperMergePlan(
        target=target,
        format=OutputFormat.VHDX,
        size=chain.size,
        data_bytes=data,
        needed_bytes=needed,
        new_disk=new_disk,
        layers=len(chain.layers) - kept - 1,
        options=options,
        kept=kept,
    )


def run_merge_upper(plan: UpperMergePlan, chain: Chain, progress: Progress = no_progress) -> Outcome:
    """Write, flush, read back, rename; raises what reading and writing raise, and VerificationError."""
    with Sink(plan.target, existing=plan.options.existing) as sink:
        writer = _ClaimingWriter(sink, plan, chain)
        cells = cells_with_data(chain.windows_above(plan.kept + 1))
        checksums = copy_cells(chain, cells, writer.write, progress)
        writer.finish()
        if not leaves_holes(plan.target, plan.format, plan.options):
            sink.fill_holes()
        sink.flush()
        if plan.options.verify is Verify.READ_BACK:
            below = [layer.path for layer in reversed(chain.layers[: plan.kept + 1])]
            # A mismatch below was refused or accepted when the chain was opened.
            with open_chain(sink.path, parents=below, on_mismatch=OnMismatch.ACCEPT) as written:
                _compare_holes(chain, written, plan.kept, sink.path)
                held = cells_with_data(written.windows_above(plan.kept + 1))
                verify_cells(checksums, chain, written, held, sink.path, progress)
        chain.require_unchanged()
        require_linked(sink.path, chain.layers[plan.kept].path, plan.target)
        sink.commit()
        outcome = plan.outcome(len(checksums.cells) * CELL, sink.size, chain.findings)
        return replace(outcome, parent=chain.layers[plan.kept].path)


class _ClaimingWriter:
    """Writes what the upper layers hold, claiming the blocks of each window before its first byte comes."""

    def __init__(self, sink: Sink, plan: UpperMergePlan, chain: Chain) -> None:
        self._writer = VhdxWriter(sink, plan.new_disk)
        self._chain, self._lowest, self._disk = chain, plan.kept + 1, plan.new_disk
        held = (table.select(table.kind != Kind.HOLE) for table in chain.windows_above(self._lowest))
        self._windows = units_touched(held, _WINDOW)
        self._next = next(self._windows, None)
        self._own = RunTable.of([])

    def write(self, start: int, data: memoryview) -> None:
        end = start + len(data)
        while self._next is not None and self._next * _WINDOW < end:
            self._claim(self._next)
        for run in self._own.clip(start, end):
            if run.kind is Kind.DATA:
                self._writer.write(run.start, data[run.start - start : run.end - start])

    def finish(self) -> None:
        while self._next is not None:
            self._claim(self._next)
        self._writer.finish()

    def _claim(self, window: int) -> None:
        start = window * _WINDOW
        end = min(start + _WINDOW, self._disk.size)
        self._own = concatenate(self._chain.windows_above(self._lowest, start, end))
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


def _compare_holes(chain: Chain, written: Chain, kept: int, path: Path) -> None:
    """What the upper layers leave to the kept one, the output must leave to it, and nothing else."""
    tables = (disk.windows_above(kept + 1) for disk in (chain, written))
    # Holes that meet at a window's seam are one.
    expected, got = (joined(hole for table in some for hole in table.of_kind(Kind.HOLE).ranges) for some in tables)
    for wanted, found in zip_longest(expected, got):
        if wanted != found:
            raise VerificationError(path, *(wanted or found or (0, 0)))
