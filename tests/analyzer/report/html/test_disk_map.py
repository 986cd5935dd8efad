"""The map of a disk: small however large the disk, exact where it can be, and never silent on what is lost."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.report.html import disk_map as diskmap
from analyzer.report.html.disk_map import MOST_CELLS, Category, cell_size, map_of, ranges_of
from analyzer.report.html.pictures import map_data, tables
from vhdx.runs import Kind, RunTable

GRAIN = 512
RUNS = st.lists(st.tuples(st.integers(1, 40), st.sampled_from(list(Kind)), st.integers(0, 3)), min_size=1, max_size=60)


def table_of(runs, start=0):
    """Runs of (length in sectors, kind, layer) as a table; data stand in one another's order in their files."""
    rows = []
    for sectors, kind, layer in runs:
        length = sectors * GRAIN
        rows.append((start, length, kind, layer, start * 2 if kind is Kind.DATA else 0))
        start += length
    return RunTable.of(rows)


def windows_of(table, edges):
    """The table in windows that end at these bytes."""
    edges = [0, *sorted(edge for edge in edges if 0 < edge < table.end), table.end]
    return [table.clip(first, last) for first, last in pairwise(edges)]


def naive_cells(table, cell, size):
    """Category and share of each cell, byte by byte (in sectors)."""
    told = []
    for start in range(0, size, cell):
        held = {}
        for run in table.clip(start, min(start + cell, size)):
            key = Category(run.kind, 0 if run.kind is Kind.HOLE else run.layer)
            held[key] = held.get(key, 0) + run.length
        whole = sum(held.values())
        worst = max(held, key=lambda key: (key.kind is Kind.LOST, held[key]))
        told.append((held[worst], whole, held))
    return told


@given(RUNS, st.lists(st.integers(1, 2000).map(lambda n: n * GRAIN)))
def test_a_map_of_few_runs_is_the_runs(runs, edges):
    table = table_of(runs)
    disk = map_of(table.end, windows_of(table, edges))
    assert disk.grain == 1
    assert sum(disk.lengths) == table.end
    for kind in Kind:
        assert disk.bytes_of(kind) == table.bytes_of(kind)
    assert [place[0] for place in ranges_of(disk)] == sorted({place[0] for place in ranges_of(disk)})


@given(RUNS, st.lists(st.integers(1, 2000).map(lambda n: n * GRAIN)))
def test_cells_say_what_they_mostly_hold_wherever_windows_end(runs, edges):
    table = table_of(runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diskmap, "MOST_RUNS", 0)
        disk = map_of(table.end, windows_of(table, edges))
    assert disk.offsets is None
    assert disk.grain == 4096
    cells = [
        (category, share)
        for length, category, share in zip(disk.lengths, disk.categories, disk.shares, strict=True)
        for _ in range(length)
    ]
    expected = naive_cells(table, disk.grain, table.end)
    assert len(cells) == len(expected)
    for (category, share), (most, whole, held) in zip(cells, expected, strict=True):
        assert held[category] == most
        assert (share == 100) == (most == whole)
        assert abs(share - 100 * most / whole) <= 1
    assert sum(count for _, count, _, _ in ranges_of(disk)) == table.end


def test_a_single_lost_sector_names_its_cell():
    table = table_of([(1000, Kind.DATA, 0), (1, Kind.LOST, 1), (1000, Kind.DATA, 0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diskmap, "MOST_RUNS", 0)
        disk = map_of(table.end, [table])
    assert Category(Kind.LOST, 1) in disk.categories
    assert disk.lost_count == 1
    assert "Ranges that cannot be known" in tables(disk)


@pytest.mark.parametrize("size", [512, 4096, 64 << 20, (64 << 40) - 512, 64 << 40])
def test_a_disk_has_a_bounded_number_of_cells(size):
    cell = cell_size(size)
    assert -(-size // cell) <= MOST_CELLS
    assert cell == 4096 or -(-size // cell) > MOST_CELLS // 2


def alternating(first, count, length):
    """A window of `count` runs, every other one data; from run number `first`."""
    number = np.arange(first, first + count, dtype=np.int64)
    kind = np.where(number % 2, int(Kind.HOLE), int(Kind.DATA))
    return RunTable(number * length, np.full(count, length), kind, number * 0, np.where(number % 2, 0, number * length))


@pytest.mark.slow
def test_two_million_runs_over_64_tib_make_a_small_page_in_little_memory():
    size, window, count = 64 << 40, 100_000, 2_000_000
    length = size // count // 4096 * 4096
    windows = (alternating(first, window, length) for first in range(0, count, window))
    rest = RunTable.filled(count * length, size, Kind.HOLE, 0)
    tracemalloc.start()
    disk = map_of(size, (part for source in (windows, [rest]) for part in source if len(part)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 << 20
    assert disk.run_count >= count
    assert len(map_data(disk, ())) < 2 << 20
    assert len(tables(disk)) < 100_000
