"""Sets of ranges and mapfiles, against sets of numbers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.recover.ranges import Ranges
from analyzer.recovery_map.mapfile import list_merged, mapfile_lines, read_mapfile
from analyzer.recovery_map.status import Status

pytestmark = pytest.mark.property

GUID = "12345678-1234-5678-1234-567812345678"
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


@given(SPANS, st.integers(0, 70), st.integers(0, 70))
def test_a_set_of_ranges_holds_what_was_added_and_nothing_else(spans, start, length):
    ranges, numbers = Ranges((at, at + count) for at, count in spans), set()
    for at, count in spans:
        numbers |= set(range(at, at + count))
    listed = list(ranges)
    assert {n for lower, upper in listed for n in range(lower, upper)} == numbers
    assert all(before[1] < after[0] for before, after in pairwise(listed))
    asked = set(range(start, start + length))
    assert {n for lower, upper in ranges.within(start, start + length) for n in range(lower, upper)} == numbers & asked
    if length:
        assert ranges.touches(start, start + length) == bool(numbers & asked)
    pieces = list(ranges.split(start, start + length))
    assert [n for lower, upper, _ in pieces for n in range(lower, upper)] == sorted(asked)
    assert all((n in numbers) == inside for lower, upper, inside in pieces for n in range(lower, upper))


@given(st.lists(st.tuples(st.integers(1, 1 << 40), st.sampled_from(Status)), min_size=1, max_size=20))
def test_a_mapfile_reads_as_it_was_written(tmp_path_factory, parts):
    stretches, position = [], 0
    for length, status in parts:
        stretches.append((position, position + length, status))
        position += length
    path = tmp_path_factory.mktemp("map") / "disk.map"
    path.write_text("".join(mapfile_lines(stretches, GUID)))
    assert read_mapfile(path, position, GUID) == list(list_merged(stretches))
