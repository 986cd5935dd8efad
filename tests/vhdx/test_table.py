"""The table of blocks: what most of a large disk's is, entries of 0, is read once."""

import pytest

from fixtures import Brush, ImageSpec, encode
from fixtures.constants import MIB
from tests.support.laws import assert_lawful
from tests.support.sources import CountingSource, SparseSource
from vhdx import compiling
from vhdx.image import image_from
from vhdx.runs import Kind

pytestmark = pytest.mark.slow

WINDOWS = 8
BLOCKS = WINDOWS << 20


def opened():
    """A disk of 8 TiB in blocks of 1 MiB, of which one at the front and one in the middle are there."""
    brush = Brush(tag=3)
    blocks = {number: brush.full(number, range(2)) for number in (1, BLOCKS // 2 + 5)}
    source = CountingSource(SparseSource(encode(ImageSpec(size=BLOCKS * MIB, blocks=blocks))))
    return source, image_from(source)


def test_windows_of_the_table_without_an_entry_are_read_once_whatever_is_asked():
    source, image = opened()
    table = image.table
    states = table.count_states()
    assert sum(states.values()) == BLOCKS
    first = sum(length for _, length in source.reads)
    assert first > BLOCKS * 8, "each entry was looked at"
    source.reads.clear()
    assert table.count_states() == states
    assert sum(map(len, table.damaged_blocks())) == 0
    assert sum(run.length for run in image.runs() if run.file_offset) == 2 * MIB
    assert sum(length for _, length in source.reads) < 6 * first * 3 // WINDOWS


def test_a_stretch_without_entries_is_holes_that_leave_no_gap():
    _, image = opened()
    for table in image.windows():
        assert_lawful(table, int(table.start[0]), table.end)


def test_a_large_disk_with_few_blocks_needs_no_compiler(monkeypatch):
    monkeypatch.setattr(compiling, "is_loaded", lambda: False)
    monkeypatch.setattr(compiling, "compiled", None)
    _, image = opened()
    assert image.runs().bytes_of(Kind.DATA) == 2 * MIB
    assert sum(map(len, image.table.damaged_blocks())) == 0
    assert image.table.claims.owners(image.table.all_places())[1] == 0
