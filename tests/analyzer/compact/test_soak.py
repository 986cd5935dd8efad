"""`make in-place-soak`: files that are made smaller, or get another size, while the process is really killed."""

import os
import random
from functools import partial

import pytest

from analyzer.compact import plan as planning
from analyzer.compact import run as running
from fixtures import encode
from tests.analyzer.merge.chains import MIB, random_chain
from tests.analyzer.merge.test_soak import assert_shows, disk_on
from tests.analyzer.resize.test_resizing import assert_is_whole, spec
from tests.support.killing import run_with_kills

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.usefixtures("quiet"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is copied to be killed"),
]
KILLS = int(os.environ.get("KILLS", "300"))
FIRST = int(os.environ.get("SEED", "1000000"))


def small_steps():
    planning._STEP, running._AT_ONCE = MIB, 1


def test_files_that_are_made_smaller_show_the_same_whenever_that_is_killed(tmp_path):
    kills = 0
    for seed in range(FIRST, FIRST + KILLS):
        chance = random.Random(seed)
        files, names, wanted = random_chain(chance)
        for name, file in files.items():
            file.write_to(tmp_path / name)
        paths = [tmp_path / name for name in names]
        parents = [word for path in paths[-2::-1] for word in ("--parent", str(path))]
        words = ["compact", "--in-place", str(paths[-1]), *parents, "-q"]
        shows = partial(assert_shows, paths, wanted)
        kills += run_with_kills(words, chance, shows, small_steps)
        shows()
    assert kills


def assert_file_is_whole(path, before, size):
    assert_is_whole(disk_on([path]), before, size)


def test_disks_that_get_another_size_are_of_one_or_the_other_whenever_that_is_killed(tmp_path):
    kills, path = 0, tmp_path / "disk.vhdx"
    for seed in range(FIRST, FIRST + KILLS):
        chance = random.Random(seed)
        path.unlink(missing_ok=True)
        encode(spec()).write_to(path)
        before, size = disk_on([path]), chance.choice((7 * MIB, 8 * MIB + 512, 24 * MIB, 40 * MIB))
        words = ["resize", str(path), str(size), "--in-place", "--fix-gpt", "-q"]
        kills += run_with_kills(words, chance, partial(assert_file_is_whole, path, before, size))
        assert len(disk_on([path])) == size
    assert kills
