"""Every state of every chain that others wrote, through the kernel; and restore points of them, by their addresses."""

import pytest

from tests.analyzer.serve.test_corpus import CHAINS
from tests.cli.test_mount import mounted, sha256, works

pytestmark = [pytest.mark.corpus, pytest.mark.slow]
# A process for each of them takes some seconds: the first of each program here, the others in long runs.
MOST = 256 << 20
SMALL = [name for name in CHAINS if CHAINS[name].size <= MOST]
FIRST = {next((name for name in SMALL if name.startswith(group)), "") for group in ("openvmm", "discutils", "genuine")}
NAMES = [name if name in FIRST else pytest.param(name, marks=pytest.mark.fuzz) for name in SMALL]


@works
@pytest.mark.parametrize("name", NAMES)
def test_every_state_reads_through_the_kernel_as_its_writer_wrote_it(corpus, tmp_path, name):
    known = CHAINS[name]
    with mounted(tmp_path / "disk", corpus(known.leaf), "--on-mismatch", "accept"):
        found = [sha256(tmp_path / f"disk/@{layer}.raw") for layer in range(len(known.hashes))]
        assert tuple(found) == known.hashes
        assert sha256(tmp_path / "disk/leaf.raw") == known.hashes[-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_restore_point_hashes_as_what_was_backed_up(corpus, vhdx_command, tmp_path, name):
    if "mismatch" in name:
        pytest.skip("a backup refuses a parent of another identity")
    known, repository = CHAINS[name], tmp_path / "repository"
    assert vhdx_command("backup", "init", repository).code == 0
    made = vhdx_command("backup", "create", repository, corpus(known.leaf), "--checkpoints", "--json")
    assert made.code in {0, 1}, made.err
    points = [f"{repository}::{point['name']}" for point in made.json["points"]]
    found = [vhdx_command("hash", point).out.split()[0] for point in points]
    assert tuple(found) == known.hashes
