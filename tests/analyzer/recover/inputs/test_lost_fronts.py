"""The front of one file of a chain lost, or of all: made anew from geometry, identities and contents of the others."""

import shutil
from dataclasses import replace

import pytest

from analyzer.recover.disk.filled import Fill, FilledDisk
from analyzer.recovery_map.mapfile import Status
from fixtures import Brush, encode, flatten
from fixtures.placement import Placement
from fixtures.recipes.kit import BASE, child_of
from tests.analyzer.recover.disks import disk_of, gathered, statuses
from tests.analyzer.recover.rebuild.helpers import MIB, wiped
from tests.analyzer.recover.rebuild.test_bitmap_matches import family
from tests.analyzer.recover.rebuild.test_votes import ext4, in_blocks
from vhdx.reader import Reader

pytestmark = pytest.mark.slow


def without_front(spec):
    """The file without anything in front of its bitmaps and blocks."""
    placement = Placement.of(spec)
    return wiped(encode(spec), (0, min(*placement.blocks.values(), *(placement.bitmaps or placement.blocks).values())))


def compared(files, specs):
    """Of sectors that hold something how many are right and wrong, by status; nothing known is wrong."""
    found, model = gathered(files), flatten(specs)
    disk = disk_of(found)
    data = Reader(FilledDisk(disk, Fill.ZERO)).read(0, disk.size)
    right = wrong = 0
    for number, status in enumerate(statuses(disk)):
        at = number * disk.sector_size
        wanted = model.read(at, disk.sector_size)
        is_right = wanted == data[at : at + disk.sector_size]
        assert is_right or status is not Status.KNOWN
        if wanted.count(0) < len(wanted):
            right, wrong = right + is_right, wrong + (not is_right and status is Status.STALE)
    return right, wrong


@pytest.mark.parametrize("seed", [11, 12])
def test_a_leaf_without_its_front_is_one_like_the_checkpoint_below_it(seed):
    base, child = family(2 * MIB, seed)
    brush = Brush(tag=3, block_size=2 * MIB)
    leaf = child_of(child, "leaf", {n: brush.partial(n, range(40 + 8 * n, 72 + 8 * n)) for n in range(12)})
    files = {"base.vhdx": encode(base), "child.avhdx": encode(child), "leaf.avhdx": without_front(leaf)}
    right, wrong = compared(files, [base, child, leaf])
    assert wrong <= right // 20


@pytest.fixture
def chain(tmp_path):
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    base = in_blocks(ext4(tmp_path, 5), MIB, 5)
    brush = Brush(tag=3, block_size=2 * MIB)
    blocks = {n: brush.partial(n, range(40 + 8 * n, 72 + 8 * n)) for n in range(12, 20)}
    return base, replace(child_of(base, "child", blocks), block_size=2 * MIB)


def test_a_base_without_its_front_is_put_together_for_the_checkpoint_upon_it(chain):
    base, child = chain
    right, wrong = compared({BASE: without_front(base), "child.avhdx": encode(child)}, [base, child])
    assert right >= 10_000
    assert wrong <= right // 100


def test_where_all_fronts_are_lost_the_base_tells_the_disk_and_the_checkpoints_follow(chain):
    base, child = chain
    files = {BASE: without_front(base), "child.avhdx": without_front(child)}
    right, wrong = compared(files, [base, child])
    assert right >= 10_000
    assert wrong <= right // 50
