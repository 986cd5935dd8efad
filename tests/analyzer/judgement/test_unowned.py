"""Room that nobody owns, MiB by MiB."""

import random

import numpy as np
import pytest

from analyzer.judgement import unowned
from analyzer.judgement.judge import judge
from fixtures import encode
from fixtures.placement import Placement
from fixtures.spec import Block, BlockState, ImageSpec
from tests.support.sources import MIB, CountingSource, SparseSource
from vhdx.image import image_from
from vhdx.ranges import Range, Ranges


@pytest.mark.parametrize("window", [1, 2, 7, 1 << 20])
def test_free_room_is_what_a_plain_loop_finds(monkeypatch, window):
    monkeypatch.setattr(unowned, "_WINDOW", window)
    chance = random.Random(window)
    for length in (*range(9), 100):
        for _ in range(30):
            owners = [chance.choice((0, 0, 1, 2)) for _ in range(length)]
            wanted = Ranges.of(Range(at, 1) for at, owner in enumerate(owners) if owner == 0)
            assert unowned.free_room(np.array(owners, dtype=np.uint8)) == wanted


def blocks_by_hand(free, held, size):
    """Blocks laid side by side into each free stretch, each as late as it still holds the next MiB that is held."""
    count = 0
    for stretch in free:
        taken = stretch.start
        for mib in range(stretch.start, stretch.end):
            if mib >= taken and held.touches(Range(mib, 1)):
                start = max(taken, min(mib, stretch.end - size))
                if start + size <= stretch.end and start <= mib:
                    count, taken = count + 1, start + size
    return count


@pytest.mark.parametrize("seed", range(40))
def test_so_many_blocks_fit_as_a_plain_loop_lays_there(seed):
    chance = random.Random(seed)
    size = chance.choice((1, 2, 3, 8))
    free = Ranges.of(Range(chance.randrange(60), chance.randrange(1, 20)) for _ in range(4))
    held = free & Ranges.of(Range(chance.randrange(80), chance.randrange(1, 3)) for _ in range(chance.randrange(9)))
    assert unowned.Unowned(free, held).blocks(size) == blocks_by_hand(free, held, size)


def test_a_file_in_which_every_block_has_an_owner_costs_one_pass_over_its_table():
    spec = ImageSpec(size=40 * MIB, blocks={n: full(n) for n in (0, 7, 31)})
    source = CountingSource(SparseSource(encode(spec)))
    image = image_from(source)
    source.reads.clear()
    judgement = judge(image.table, image.log, lambda: pytest.fail("the disk was asked for"))
    assert not judgement.doubted
    assert source.reads == [(Placement.of(spec).bat, 40 * 8)]


def full(number):
    return Block(state=BlockState.FULLY_PRESENT, data={0: bytes([number + 1]) * MIB})
