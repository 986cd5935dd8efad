"""A bitmap that was wiped: reading by its letter shows an older state, and commands say so; healthy ones are quiet."""

import pytest

from analyzer.judgement.bitmaps import wiped_blocks
from fixtures import Brush, encode
from fixtures.damage import DAMAGES
from fixtures.recipes.kit import child_of, disk
from tests.support.sources import SparseSource
from vhdx.image import image_from
from vhdx.ranges import Range, Ranges

MIB = 1 << 20
BASE = disk("base", 16 * MIB)
BRUSH = Brush(tag=4)


def wiped(*blocks):
    """What is found in a child with these blocks."""
    child = child_of(BASE, "child", dict(enumerate(blocks)))
    return wiped_blocks(image_from(SparseSource(encode(child))).table)


def marked(index):
    return BRUSH.partial(index, range(3, 9))


def test_a_merge_of_a_chain_with_a_wiped_bitmap_says_what_would_be_missed(vhdx_command, damaged, tmp_path):
    leaf = damaged("bitmap-wiped-over-blocks-with-data")
    for words in (["merge", leaf, tmp_path / "m.vhdx"], ["hash", leaf], ["info", leaf]):
        answer = vhdx_command(*words)
        assert "SBM-04" in answer.err, words
        assert "vhdx recover" in answer.err


def test_where_each_block_has_a_bit_nothing_is_wiped():
    assert not wiped(*map(marked, range(8)))


@pytest.mark.parametrize(("count", "found"), [(8, 8), (4, 4), (3, 0), (1, 0)])
def test_of_blocks_in_a_row_four_without_bits_are_enough_and_fewer_are_not(count, found):
    fixture = DAMAGES["bitmap-wiped-over-blocks-with-data"]
    files = fixture.healthy().files
    file = next(file for name, file in files.items() if name.startswith("child"))
    image = image_from(SparseSource(file))
    share = image.geometry.block_size // image.sector_size // 8
    place = image.table.bitmap_entry(0).file_offset
    damaged_file = file.patched(place, bytes(count * share))
    expected = Ranges.of([Range(0, found * MIB)] if found else [])
    assert wiped_blocks(image_from(SparseSource(damaged_file)).table) == expected
