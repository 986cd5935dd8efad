"""The runs of a disk that is written: made once where they are few, and the same either way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.convert import disks
from analyzer.convert.cells import CELL, MisplacedRunsError, read_cells, units_touched
from analyzer.convert.disks import KeptRuns
from tests.analyzer.convert.disks import MemoryDisk
from vhdx.reader import Reader
from vhdx.runs import RunTable, concatenate


@pytest.mark.parametrize(("most", "made"), [(1 << 20, 1), (3, 3)], ids=["kept", "too many"])
def test_runs_are_made_once_where_they_are_few_enough(monkeypatch, most, made):
    monkeypatch.setattr(disks, "_MOST_KEPT", most)
    content = bytes(range(256)) * 16
    inner = MemoryDisk(content, 1000)
    kept = KeptRuns(inner)
    assert concatenate(kept.windows(0, kept.size)).end == len(content)
    assert concatenate(kept.windows(100, 1500)).range == (100, 1400)
    assert Reader(kept).read(700, 2000) == content[700:2700]
    assert inner.asked == made


def test_runs_that_nobody_took_to_the_end_are_not_kept():
    kept = KeptRuns(MemoryDisk(bytes(4096), 1000))
    next(kept.windows(0, kept.size))
    assert concatenate(kept.windows(0, kept.size)).end == kept.size


@pytest.mark.parametrize("cells", [[1, 0], [0, 0], [2]], ids=["back", "twice", "past the end"])
def test_cells_that_are_not_of_one_state_of_the_disk_are_an_error_of_its_own(cells):
    with pytest.raises(MisplacedRunsError):
        list(read_cells(MemoryDisk(bytes(2 * CELL), CELL), cells))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=12), st.integers(1, 40))
def test_the_units_that_ranges_touch_are_those_of_their_bytes(given, unit):
    ranges, upto = [], 0
    for gap, length in given:
        ranges.append((upto + gap, length))
        upto += gap + length
    tables = [RunTable.of([(*one, 0, 0, 0) for one in part]) for part in (ranges[:5], ranges[5:])]
    expected = sorted({byte // unit for start, length in ranges for byte in range(start, start + length)})
    assert list(units_touched(tables, unit)) == expected
