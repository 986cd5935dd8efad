"""Merges onto media that are full, at every moment: nothing is lost, what is missing is said, and the merge goes on."""

import random

import pytest

import vhdx
from analyzer.merge import plan as planning
from fixtures import Block, BlockState, Identity, ImageSpec, encode
from fixtures.constants import MIB
from fixtures.recipes.kit import child_of
from tests.analyzer.merge.chains import random_chain
from tests.analyzer.merge.helpers import disk, merge, small_batches
from tests.support.crashing import Recorder
from tests.support.small_volume import filled_but
from vhdx.errors import FileSystemFullError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet")]


@pytest.mark.parametrize("seed", range(6))
def test_a_medium_that_is_full_at_any_moment_costs_nothing(seed):
    files, paths, wanted = random_chain(random.Random(seed))
    for pages in range(0, 200, 7):
        run = Recorder({path: file.copy() for path, file in files.items()}, room=pages * 4096)
        with small_batches():
            try:
                merge(run, paths)
            except FileSystemFullError:
                assert disk(run.files, paths) == wanted
                run = Recorder(run.files)
                merge(run, paths)
        assert disk(run.files, paths[:1]) == wanted


def full_pair(folder):
    """A base and a child of 20 blocks of noise, on a volume where half of that is free; the disk that it shows."""
    chance = random.Random(3)
    base = ImageSpec(size=64 * MIB, identity=Identity.of("base"))
    blocks = {2 * n: Block(state=BlockState.FULLY_PRESENT, data={0: chance.randbytes(MIB)}) for n in range(20)}
    encode(base).write_to(folder / "base.vhdx")
    encode(child_of(base, "child", blocks)).write_to(folder / "child.avhdx")
    filled_but(10 * MIB, folder)
    return disk_on(folder / "child.avhdx")


def disk_on(path):
    with vhdx.open_chain(path) as chain:
        return chain.read(0, chain.size)


def test_a_merge_that_fills_the_disk_says_what_is_missing_and_goes_on(vhdx_command, small_volume, monkeypatch):
    wanted = full_pair(small_volume)
    words = "merge", small_volume / "child.avhdx", "--into", small_volume / "base.vhdx"
    refused = vhdx_command(*words)
    assert (refused.code, "--drain" in refused.err) == (5, True)
    with monkeypatch.context() as patched:
        patched.setattr(planning, "require_room", lambda *_: None)  # as when another program fills it meanwhile
        stopped = vhdx_command(*words)
    assert stopped.code == 6
    assert "the file system is full; what is left needs up to" in stopped.err
    assert disk_on(small_volume / "child.avhdx") == wanted
    (small_volume / "filler").unlink()
    assert vhdx_command(*words).code == 0
    assert disk_on(small_volume / "base.vhdx") == wanted


def test_a_drained_merge_needs_less_room_than_it_moves(vhdx_command, small_volume, monkeypatch):
    monkeypatch.setattr("analyzer.merge.run.DRAINED_AT_ONCE", 2 * MIB)
    monkeypatch.setattr(planning, "DRAINED_AT_ONCE", 2 * MIB)
    wanted = full_pair(small_volume)
    words = "merge", small_volume / "child.avhdx", "--into", small_volume / "base.vhdx", "--drain", "--delete"
    assert vhdx_command(*words).code == 0
    assert disk_on(small_volume / "base.vhdx") == wanted
