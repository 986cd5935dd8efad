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


def test_a_base_without_its_front_is_known_by_its_name_whatever_was_put_behind_it(chain):
    base, child = chain
    right, wrong = compared({f"{BASE}.locked": without_front(base), "child.avhdx.locked": encode(child)}, [base, child])
    assert right >= 10_000
    assert wrong <= right // 100


def test_a_scan_names_the_encrypted_parent_of_an_orphan_and_what_reads_both(vhdx_command, chain, tmp_path):
    base, child = chain
    (tmp_path / "found").mkdir()
    without_front(base).write_to(tmp_path / "found" / f"{BASE}.locked")
    encode(child).write_to(tmp_path / "found" / "child.avhdx")
    scan = vhdx_command("scan", tmp_path / "found", "--json").json
    (unplaced,) = scan["unplaced"]
    assert unplaced["path"].endswith(f"{BASE}.locked")
    told = vhdx_command("scan", tmp_path / "found").out
    assert f"vhdx recover {tmp_path}/found/{BASE}.locked {tmp_path}/found/child.avhdx" in told


@pytest.mark.parametrize("more", [b"f00d  base.vhdx", b"PK\x03\x04" + bytes(2 * MIB)], ids=["sum", "archive"])
def test_what_lies_beside_a_disk_under_its_name_and_more_is_no_layer(vhdx_command, chain, tmp_path, more):
    _, child = chain
    encode(child).write_to(tmp_path / "child.avhdx")
    (tmp_path / f"{BASE}.more").write_bytes(more)
    answer = vhdx_command("recover", tmp_path / "child.avhdx", tmp_path / f"{BASE}.more", "--dry-run", "--json").json
    assert [level["presence"] for level in answer["layers"]] == ["missing", "present"]
    assert not vhdx_command("scan", tmp_path, "--json").json["unplaced"]
