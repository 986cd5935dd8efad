"""The scan of the largest BAT, 64 Mi entries, against the sum of the same array: what memory allows at best."""

import numpy as np
import pytest

from benchmarks.chain import MIB, SECTOR
from vhdx.compiling import compiled
from vhdx.geometry import Geometry
from vhdx.kernels import scan_blocks
from vhdx.runs import Kind
from vhdx.structures.bat import OFFSET_SHIFT, BlockState

FIRST_MIB = 1024


def _entries(slots, chunk_ratio, allocation):
    """A base's BAT: nothing allocated, or every block behind the one before it. A bitmap's slot ends each chunk."""
    table = np.zeros(slots, dtype=np.int64)
    if allocation == "sequential":
        payload = np.arange(slots) % (chunk_ratio + 1) != chunk_ratio
        table[payload] = FIRST_MIB + np.arange(np.count_nonzero(payload)) << OFFSET_SHIFT | BlockState.FULLY_PRESENT
    return table


@pytest.fixture(params=["array", "memmap"])
def placed(request, disk_folder):
    """Gives the table as it is, or as a read-only memory map of a file."""
    path = disk_folder / "bat"

    def place(table):
        if request.param == "array":
            return table
        table.tofile(path)
        return np.memmap(path, dtype=np.int64, mode="r")

    yield place
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("allocation", ["empty", "sequential"])
def test_the_scan_of_the_largest_table_takes_at_most_twice_its_sum(pairs, measuring, placed, allocation):
    slots = 64 * MIB if measuring else 64 * 1024
    chunk_ratio = Geometry(MIB, MIB, SECTOR).chunk_ratio
    blocks = slots - slots // (chunk_ratio + 1)
    entries = placed(_entries(slots, chunk_ratio, allocation))
    nothing = np.empty(0, dtype=np.int64)
    outputs = tuple(np.zeros(16, dtype=np.int64) for _ in range(5))
    size, file_size = blocks * MIB, (FIRST_MIB + blocks) * MIB
    kernel = compiled(scan_blocks)
    numbers = (0, 0, size, (chunk_ratio, 1, file_size, 0))

    assert kernel(entries, nothing, outputs, *numbers) == (1, size)
    assert outputs[1][0] == size
    assert outputs[2][0] == (Kind.HOLE if allocation == "empty" else Kind.DATA)
    pairs.compare(
        (f"scan {slots // MIB} Mi BAT entries, {allocation} {type(entries).__name__}", "np.sum"),
        lambda: kernel(entries, nothing, outputs, *numbers),
        lambda: np.sum(entries),
        bar=2.0,
        rounds=15,
    )
