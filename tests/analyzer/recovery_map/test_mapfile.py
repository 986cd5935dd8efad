"""Mapfiles: what is written is what is read."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.recovery_map.mapfile import Status, mapfile_lines, read_mapfile
from vhdx.ranges import Range, Ranges

pytestmark = pytest.mark.property

GUID = "12345678-1234-5678-1234-567812345678"


@given(st.lists(st.tuples(st.integers(1, 1 << 40), st.sampled_from(Status)), min_size=1, max_size=20))
def test_a_mapfile_reads_as_it_was_written(tmp_path_factory, parts):
    rows, position = [], 0
    for length, status in parts:
        rows.append((Range(position, length), status))
        position += length
    path = tmp_path_factory.mktemp("map") / "disk.map"
    path.write_text("".join(mapfile_lines(rows, GUID)))
    found = read_mapfile(path, position, GUID)
    listed = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len(listed) == 1 + sum(1 for _ in groupby(status for _, status in rows))
    for status in Status:
        assert found[status] == Ranges.of(part for part, of_part in rows if of_part is status)
