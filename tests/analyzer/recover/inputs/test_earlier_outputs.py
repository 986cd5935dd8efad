"""A shell's `*` on the second run: what the first one wrote is among the inputs, and is left out with a sentence."""

from dataclasses import replace

import pytest

from fixtures import Brush, encode
from fixtures.recipes.kit import child_of, disk

pytestmark = pytest.mark.slow
MIB = 1 << 20
BASE = replace(disk("base", 8 * MIB), blocks=Brush(tag=3).fulls(range(8)))
LEFT_OUT = "an earlier run of `vhdx recover` wrote it, as the map beside it says: left out"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An orphan in a folder of its own, which is the current one."""
    encode(child_of(BASE, "child", Brush(tag=4).fulls((2, 6)))).write_to(tmp_path / "leaf.avhdx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("out", ["disk.raw", "disk.vhdx"])
def test_outputs_of_earlier_runs_are_left_out_and_all_else_is_as_before(vhdx_command, folder, out):
    assert vhdx_command("recover", "leaf.avhdx", "-o", out).code == 1
    first = (folder / f"{out}.map").read_text().splitlines()[3:]
    again = vhdx_command("recover", *sorted(folder.iterdir()), "-o", "other.raw")
    assert (again.code, again.err.count(LEFT_OUT)) == (1, 1)
    assert "ignored" not in again.err, "map and account are no inputs, which needs no word"
    assert (folder / "other.raw.map").read_text().splitlines()[3:] == first
    onto_itself = vhdx_command("recover", "leaf.avhdx", out, "-o", out)
    assert (onto_itself.code, "--force" in onto_itself.err) == (5, True)
    assert vhdx_command("recover", "leaf.avhdx", out, "-o", out, "--resume").code == 1


def test_a_checkpoint_on_a_recovered_disk_has_it_as_its_base(vhdx_command, folder):
    vhdx_command("recover", "leaf.avhdx", "-o", "disk.vhdx")
    assert vhdx_command("create", "next.avhdx", "--parent", "disk.vhdx").code == 0
    answer = vhdx_command("recover", "next.avhdx", "disk.vhdx", "--dry-run")
    assert (answer.code, LEFT_OUT in answer.err) == (1, False)


def test_an_earlier_output_that_is_named_alone_is_read(vhdx_command, folder):
    vhdx_command("recover", "leaf.avhdx", "-o", "disk.vhdx")
    answer = vhdx_command("recover", "disk.vhdx", "--dry-run")
    assert (answer.code, LEFT_OUT in answer.err) == (1, False)
