"""`make merge-soak`: very many random chains, each judged by other programs too, and merges that are really killed."""

import os
import random
import subprocess

import pytest

import vhdx
from analyzer.merge import run as running
from tests.analyzer.merge.chains import random_chain
from tests.analyzer.merge.test_chains import try_chain
from tests.support.killing import run_with_kills
from tests.support.peer_tools import missing_peer, qemu_img
from vhdx.structures.bat import BlockState

pytestmark = [pytest.mark.fuzz, pytest.mark.usefixtures("quiet")]
CHAINS = int(os.environ.get("MERGE_CHAINS", "100000"))
KILLS = int(os.environ.get("MERGE_KILLS", "300"))
FIRST = int(os.environ.get("MERGE_SEED", "1000000"))


def test_random_chains_are_merged_as_every_reader_that_is_right_has_it(tmp_path):
    for seed in range(FIRST, FIRST + CHAINS):
        file, wanted = try_chain(seed)
        if seed % 10 == 0:
            judged_by_others(file, wanted, tmp_path)


def judged_by_others(file, wanted, folder):
    """qemu-img and 7-Zip read bases of 512-byte sectors rightly; a differencing result they do not read at all."""
    path = folder / "merged.vhdx"
    file.write_to(path)
    with vhdx.open_image(path) as image:
        is_odd = BlockState.PARTIALLY_PRESENT in image.table.count_states()  # of a base that no merge touched there
        if image.has_parent or image.sector_size != 512 or is_odd:
            return
    raw = folder / "wanted.raw"
    raw.write_bytes(wanted)
    if not missing_peer("qemu-img") and len(wanted) % 512 == 0:
        qemu_img("check", "-q", str(path))
        qemu_img("compare", "-q", "-f", "vhdx", "-F", "raw", str(path), str(raw))
    if not missing_peer("7zz"):
        told = subprocess.run(["7zz", "e", "-so", path], capture_output=True, check=False)
        # It opens no file in which an absent block that nobody touched keeps an old place.
        assert told.returncode or told.stdout == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is copied to be killed")
@pytest.mark.parametrize("kind", ["plain", "drain", "keep-old"])
def test_merges_that_are_killed_leave_the_disk_and_go_on(tmp_path, kind):
    for number in range(KILLS):
        chance = random.Random(FIRST + number)
        files, paths, wanted = random_chain(chance)
        for path, file in files.items():
            file.write_to(tmp_path / path)
        merge_with_kills([tmp_path / path for path in paths], wanted, chance, kind)
        for path in tmp_path.iterdir():
            path.unlink()


def merge_with_kills(paths, wanted, chance, kind):
    """Kill merges of one chain, each some steps later than the one before, until one is done."""
    parents = [word for path in paths[-2::-1] for word in ("--parent", str(path))]
    old, before = paths[0].with_name("old.avhdx"), disk_on(paths[:1])
    words = ["merge", str(paths[-1]), "--into", str(paths[0]), *parents, "--delete", "-q"]
    words += {"plain": [], "drain": ["--drain"], "keep-old": ["--keep-old", str(old)]}[kind]
    run_with_kills(words, chance, lambda: assert_shows(paths, wanted), lambda: setattr(running, "_PAGES", 2))
    assert_shows(paths[:1], wanted)
    if kind == "keep-old":
        assert_shows([paths[0], old], before)


def disk_on(paths):
    with vhdx.open_chain(paths[-1], parents=paths[-2::-1]) as chain:
        return chain.read(0, chain.size)


def assert_shows(paths, wanted):
    assert disk_on(paths) == wanted
