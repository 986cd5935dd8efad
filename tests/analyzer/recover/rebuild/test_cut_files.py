"""Region tables lost in a file that was cut: the block table is known although blocks it names are behind the end."""

from dataclasses import replace

import pytest

from fixtures import Brush, Identity, ImageSpec, encode, flatten
from fixtures.placement import Placement
from tests.analyzer.recover.rebuild.helpers import MIB, TABLES, known_bytes, metadata_of, rebuilt_image, wiped

BLOCKS = 20


def disk(block_size, count=BLOCKS, gap=0):
    """A dynamic disk of which every other block holds something."""
    last = block_size // 512
    spec = ImageSpec(
        size=2 * BLOCKS * block_size,
        identity=Identity.of("cut"),
        block_size=block_size,
        blocks=Brush(tag=3, block_size=block_size).fulls(range(0, 2 * count, 2), range(9), range(last - 8, last)),
    )
    return replace(spec, layout=replace(spec.layout, gap_mib=gap))


def cut_behind(spec, blocks):
    """The file without region tables that ends behind so many blocks, and the bytes of the disk that it still has."""
    start = min(Placement.of(spec).blocks.values())
    return wiped(encode(spec).truncated(start + blocks * spec.block_size), *TABLES)


@pytest.mark.parametrize("block_size", [MIB, 4 * MIB])
@pytest.mark.parametrize("left", [4, 13, 19])
def test_a_table_of_a_cut_file_is_known_by_blocks_that_stand_side_by_side(block_size, left):
    spec = disk(block_size)
    saved = rebuilt_image(cut_behind(spec, left))
    assert known_bytes(saved.image, flatten([spec])) == spec.size - (BLOCKS - left) * block_size
    assert any("behind the end" in text for one in saved.rebuilt for text in one.evidence)


def test_so_it_is_where_the_metadata_are_lost_as_well():
    spec = disk(2 * MIB)
    boot = {**spec.blocks[0].data, 0: bytes(510) + b"\x55\xaa"}
    spec = replace(spec, blocks=spec.blocks | {0: replace(spec.blocks[0], data=boot)})
    saved = rebuilt_image(wiped(cut_behind(spec, 13), metadata_of(spec)))
    assert known_bytes(saved.image, flatten([spec])) >= 13 * 2 * MIB


@pytest.mark.parametrize("left", [0, 3])
def test_a_table_with_hardly_a_block_in_the_file_is_not_believed(left):
    saved = rebuilt_image(cut_behind(disk(MIB), left))
    assert not any("behind the end" in text for one in saved.rebuilt for text in one.evidence)


def test_a_table_whose_blocks_are_far_apart_and_behind_the_end_is_not_believed():
    spec = disk(MIB, gap=3)
    start = min(Placement.of(spec).blocks.values())
    saved = rebuilt_image(wiped(encode(spec).truncated(start + 41 * MIB), *TABLES))
    assert not any("behind the end" in text for one in saved.rebuilt for text in one.evidence)
