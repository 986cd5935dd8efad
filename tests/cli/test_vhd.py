"""VHD files of version 1 on the command line: each command that reads disks reads them, with their parents."""

import hashlib
import subprocess
from dataclasses import replace

import pytest

from fixtures.vhd import Kind
from tests.analyzer.vhd.test_chain import SIZE, chain, written
from vhdx.image import open_image


@pytest.fixture
def kept(tmp_path):
    """The leaf of a chain of three, and what each layer reads as, base first."""
    specs = chain("command line", depth=3)
    return written(tmp_path / "in", *specs), [spec.content() for spec in specs]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_every_state_has_the_hash_of_its_model(vhdx_command, kept):
    leaf, states = kept
    answer = vhdx_command("hash", leaf, f"{leaf}@0", f"{leaf}@1")
    assert [line.split()[0] for line in answer.out.splitlines()] == [sha256(states[n]) for n in (2, 0, 1)]


def test_a_chain_is_merged_into_a_vhdx_and_converted_to_a_raw_image(vhdx_command, kept, tmp_path):
    leaf, states = kept
    assert vhdx_command("merge", leaf, tmp_path / "m.vhdx").code == 0
    with open_image(tmp_path / "m.vhdx") as image:
        assert image.read(0, SIZE) == states[2]
    assert vhdx_command("convert", f"{leaf}@1", tmp_path / "m.raw").code == 0
    assert (tmp_path / "m.raw").read_bytes() == states[1]


def test_a_vhd_under_the_name_of_a_vhdx_is_read_as_what_it_is(vhdx_command, kept):
    leaf, states = kept
    renamed = leaf.rename(leaf.with_suffix(".avhdx"))
    assert vhdx_command("hash", renamed).out.split()[0] == sha256(states[2])


def test_a_chain_is_merged_into_one_vhd(vhdx_command, kept, tmp_path):
    leaf, states = kept
    assert vhdx_command("merge", leaf, tmp_path / "m.vhd").code == 0
    assert vhdx_command("hash", tmp_path / "m.vhd").out.split()[0] == sha256(states[2])


def test_what_a_file_is_and_its_runs_are_told(vhdx_command, kept):
    leaf, _ = kept
    answer = vhdx_command("info", leaf)
    assert answer.code == 0
    assert "VHD of version 1" in answer.out
    assert vhdx_command("info", leaf, "--json").json["files"][0]["type"] == "vhd"
    assert vhdx_command("map", leaf).code == 0
    assert vhdx_command("check", leaf).code == 0


def test_two_states_are_compared(vhdx_command, kept):
    leaf, _ = kept
    answer = vhdx_command("changes", f"{leaf}@1", leaf, "--json")
    assert answer.code == 1, answer.err  # they differ
    assert answer.json["old"]["format"] == "vhd"


def test_no_source_is_written_over(vhdx_command, kept):
    leaf, _ = kept
    for name in ("vm_0.vhd", "vm_1.avhd"):
        assert vhdx_command("merge", leaf, leaf.with_name(name), "--force").code == 5


def test_a_missing_parent_and_another_one_are_said_and_give_exit_code_4(vhdx_command, tmp_path):
    specs = chain("broken", depth=2)
    leaf = written(tmp_path, *specs)
    parent = tmp_path / specs[0].name
    parent.write_bytes(replace(specs[0], name="other").file().to_bytes())
    for _ in range(2):
        answer = vhdx_command("hash", leaf)
        assert (answer.code, answer.out) == (4, "")
        assert "unique id" in answer.err.splitlines()[0]
        parent.unlink(missing_ok=True)


@pytest.mark.peers
@pytest.mark.parametrize("depth", [1, 3])
def test_seven_zip_reads_the_same(tmp_path, depth, require_peer):
    require_peer("7zz")
    specs = [replace(one, block_size=2 << 20, kind=Kind.DYNAMIC if not n else one.kind)
             for n, one in enumerate(chain("peer", depth, size=5 << 20, block=2 << 20))]  # fmt: skip
    leaf = written(tmp_path, *specs)
    done = subprocess.run(["7zz", "e", "-tVHD", "-so", leaf], capture_output=True, check=True, timeout=60)
    assert done.stdout == specs[-1].content()
