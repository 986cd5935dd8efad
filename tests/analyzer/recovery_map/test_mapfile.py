"""Mapfiles: what is written is what is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.recovery_map.mapfile import list_merged, mapfile_lines, read_mapfile
from analyzer.recovery_map.status import Status

pytestmark = pytest.mark.property

GUID = "12345678-1234-5678-1234-567812345678"


@given(st.lists(st.tuples(st.integers(1, 1 << 40), st.sampled_from(Status)), min_size=1, max_size=20))
def test_a_mapfile_reads_as_it_was_written(tmp_path_factory, parts):
    stretches, position = [], 0
    for length, status in parts:
        stretches.append((position, position + length, status))
        position += length
    path = tmp_path_factory.mktemp("map") / "disk.map"
    path.write_text("".join(mapfile_lines(stretches, GUID)))
    assert read_mapfile(path, position, GUID) == list(list_merged(stretches))
