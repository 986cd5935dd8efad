"""Tables or bitmaps of a child lost: which sectors hold something tells blocks apart, and what is the child's."""

import random
from dataclasses import replace

import pytest

from analyzer.recover.rebuild.job import rebuild_tables
from analyzer.recover.rebuild.workspace import BitmapPolicy
from fixtures import Brush, Identity, ImageSpec, encode, flatten
from fixtures.placement import Placement
from fixtures.recipes.kit import child_of
from tests.analyzer.recover.rebuild.helpers import MIB, bat_of, known_bytes, upon, wiped
from tests.support.sources import SparseSource
from vhdx.contents import Structures
from vhdx.ranges import Range


def family(block_size, seed, count=24, sector=512):
    """A full base and a child of which each block has some clusters of its own, in an order drawn by `seed`."""
    draw, step = random.Random(seed), 4096 // sector
    size, clusters = 2 * count * block_size, block_size // 4096
    base_blocks = Brush(tag=1, block_size=block_size, sector=sector).fulls(range(2 * count), range(step))
    base = ImageSpec(
        size=size, identity=Identity.of("base"), block_size=block_size, blocks=base_blocks, logical_sector=sector
    )
    brush, blocks = Brush(tag=2, block_size=block_size, sector=sector), {}
    for block in draw.sample(range(2 * count), count):
        begins = sorted(draw.sample(range(clusters - 9), 3))
        runs = [range(at * step, (at + draw.randrange(1, 9)) * step) for at in begins]
        blocks[block] = brush.partial(block, *runs)
    return base, child_of(base, "child", blocks)


def rebuilt(file, **options):
    return rebuild_tables(Structures(SparseSource(file)), **options)


@pytest.mark.parametrize(("block_size", "sector"), [(MIB, 512), (2 * MIB, 512), (2 * MIB, 4096)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_childs_blocks_without_a_table_are_placed_by_their_bitmap_and_none_is_wrong(block_size, sector, seed):
    base, child = family(block_size, seed, sector=sector)
    saved = rebuilt(wiped(encode(child), bat_of(child)))
    back = known_bytes(upon([encode(base)], saved.image), flatten([base, child]))
    assert back >= len(child.blocks) * block_size * 9 // 10
    assert saved.doubted.size >= back


def test_blocks_with_the_same_sectors_are_told_apart_by_nothing_and_stay_lost():
    base, child = family(2 * MIB, 3)
    twins = sorted(child.blocks)[:2]
    alike = {block: Brush(tag=2, block_size=2 * MIB).partial(block, range(8, 40)) for block in twins}
    child = replace(child, blocks=child.blocks | alike)
    saved = rebuilt(wiped(encode(child), bat_of(child)))
    for block in twins:
        assert saved.image.table.payload_entry(block).state.name.startswith("INVALID")
    known_bytes(upon([encode(base)], saved.image), flatten([base, child]))


def test_a_sector_of_zeros_that_the_guest_wrote_does_not_keep_a_block_from_its_place():
    _, child = family(2 * MIB, 4)
    block, held = max(child.blocks.items(), key=lambda item: sum(map(len, item[1].data.values())))
    data = {start: bytes(512) + part[512:] for start, part in held.data.items()}
    child = replace(child, blocks=child.blocks | {block: replace(held, data=data)})
    saved = rebuilt(wiped(encode(child), bat_of(child)))
    assert saved.image.table.payload_entry(block).file_offset == Placement.of(child).blocks[block]


@pytest.mark.parametrize(("block_size", "sector"), [(MIB, 512), (2 * MIB, 4096)])
@pytest.mark.parametrize("lost", ["bits", "entry"])
def test_sectors_that_are_not_zeros_are_the_childs_where_its_bitmap_is_lost(block_size, sector, lost):
    base, child = family(block_size, 5, sector=sector)
    bitmap = Placement.of(child).bitmaps[0]
    slot = Placement.of(child).bat + 8 * ((1 << 23) * sector // block_size)
    saved = rebuilt(wiped(encode(child), (bitmap, MIB) if lost == "bits" else (slot, 8)))
    assert known_bytes(upon([encode(base)], saved.image), flatten([base, child])) == base.size
    assert saved.doubted.size >= len(child.blocks) * block_size
    assert not saved.lost


def test_a_part_of_a_bitmap_that_is_lost_costs_no_other_block_its_certainty():
    base, child = family(2 * MIB, 6)
    block = min(child.blocks)
    saved = rebuilt(wiped(encode(child), (Placement.of(child).bitmaps[0] + block * 512, 512)))
    assert list(saved.doubted) == [Range(block * 2 * MIB, 2 * MIB)]
    assert known_bytes(upon([encode(base)], saved.image), flatten([base, child])) == base.size


def test_in_a_file_that_was_cut_no_bitmap_is_laid_where_blocks_were():
    base, child = family(2 * MIB, 7)
    slot = Placement.of(child).bat + 8 * 2048
    saved = rebuilt(wiped(encode(child), (slot, 8)).truncated(max(Placement.of(child).blocks.values()) + MIB))
    known_bytes(upon([encode(base)], saved.image), flatten([base, child]))


def test_what_is_lost_can_be_asked_to_stay_lost():
    _, child = family(MIB, 8)
    saved = rebuilt(wiped(encode(child), (Placement.of(child).bitmaps[0], MIB)), bitmaps=BitmapPolicy.LOST)
    assert "24 blocks" in saved.lost[0]


@pytest.mark.parametrize("seed", [6, 7])
def test_blocks_that_a_table_older_than_the_bitmaps_does_not_have_are_placed_by_them(seed):
    base, child = family(2 * MIB, seed)
    place = Placement.of(child)
    newest = sorted(place.blocks, key=place.blocks.get)[-6:]
    ratio = (1 << 23) * child.logical_sector // child.block_size
    file = wiped(encode(child), *((place.bat + 8 * (block + block // ratio), 8) for block in newest))
    saved = rebuilt(file)
    for block in newest:
        assert saved.image.table.payload_entry(block).file_offset == place.blocks[block]
    known_bytes(upon([encode(base)], saved.image), flatten([base, child]))
