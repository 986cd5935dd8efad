"""`vhdx merge --into` of the chain into its base, as a whole process, against dd of as many bytes, twice."""

import json
import shutil
import subprocess

import pytest

from benchmarks.programs import VHDX, run, sha256_of_file
from tests.support.peer_tools import missing_peer

ROUNDS = 3


@pytest.fixture
def work(tmp_path):
    """A folder on a disk; nothing is left there."""
    yield tmp_path / "work"
    shutil.rmtree(tmp_path / "work", ignore_errors=True)


def _fresh(chain, work):
    """The chain, anew: a merge changes it."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(chain.folder, work)
    subprocess.run(["sync"], check=False)


def _merge(chain, work):
    run(*VHDX, "merge", work / chain.leaf.name, "--into", work / chain.base.name, "--quiet")


def _copy_twice(source, target, count):
    """Read and write so many bytes, two times, durably."""
    for _ in range(2):
        options = f"if={source}", f"of={target}", "bs=1M", "iflag=count_bytes", f"count={count}", "conv=fsync"
        subprocess.run(["dd", *options], check=True, capture_output=True)


@pytest.mark.skipif(missing_peer("dd"), reason="dd is the yardstick")
def test_a_merge_in_place_is_no_slower_than_dd_of_its_bytes_twice(pairs, chain, work):
    _fresh(chain, work)
    plan = run(*VHDX, "merge", work / chain.leaf.name, "--into", work / chain.base.name, "--dry-run", "--json")
    held = json.loads(plan)["into"]["held_bytes"]
    _merge(chain, work)
    raw = work / "merged.raw"
    run(*VHDX, "convert", work / chain.base.name, raw, "--no-verify")
    assert sha256_of_file(raw) == chain.leaf_sha256
    pairs.compare(
        ("merge the chain into its base, on disk", "dd, twice"),
        lambda: _merge(chain, work),
        lambda: _copy_twice(chain.base, work / "copy", held),
        bar=1.0,
        rounds=ROUNDS,
        between=lambda: _fresh(chain, work),
    )
