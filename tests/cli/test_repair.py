"""`vhdx repair`, `vhdx undo` and `vhdx set-parent`: what they print, what they write, what they refuse."""

from dataclasses import replace

import pytest

from fixtures import HeaderCopy, Identity, ImageSpec, encode
from fixtures.recipes.kit import child_of
from tests.support.command_line import contents
from tests.support.files import patch, symbolic_link

HEADER, TABLE = 64 << 10, 192 << 10


@pytest.fixture
def broken(built):
    leaf, _ = built("log-override")
    patch(leaf, HEADER, bytes(4096))
    patch(leaf, TABLE + 16, b"\xff")
    return leaf


def test_a_plan_alone_writes_nothing_and_says_bytes_and_reasons(vhdx_command, broken):
    before = contents(broken.parent)
    answer = vhdx_command("repair", broken)
    assert answer.code == 1
    assert contents(broken.parent) == before
    for words in ("HDR-03", "LOG-01", "REG-03", "because", f"at byte {TABLE + 16}", "before ff", "--in-place"):
        assert words in answer.out


def test_a_sound_file_has_nothing_to_fix(vhdx_command, built):
    leaf, _ = built("dynamic")
    answer = vhdx_command("repair", leaf, "--in-place")
    assert answer.code == 0
    assert "nothing to change" in answer.out
    assert not leaf.with_name(leaf.name + ".undo").exists()


def test_a_copy_is_whole_and_the_file_is_untouched(vhdx_command, broken, tmp_path):
    before = contents(broken.parent)
    wanted = vhdx_command("hash", broken).out
    answer = vhdx_command("repair", broken, "--output", tmp_path / "fixed.vhdx")
    assert answer.code == 0
    assert contents(broken.parent) == before
    assert vhdx_command("hash", tmp_path / "fixed.vhdx").out.split()[0] == wanted.split()[0]
    assert vhdx_command("repair", tmp_path / "fixed.vhdx").code == 0
    assert vhdx_command("repair", broken, "--output", tmp_path / "fixed.vhdx").code == 5
    assert vhdx_command("repair", broken, "--output", tmp_path / "fixed.vhdx", "--force").code == 0


def test_in_place_and_undo(vhdx_command, broken):
    before = broken.read_bytes()
    answer = vhdx_command("repair", broken, "--in-place")
    undo = broken.with_name(broken.name + ".undo")
    assert answer.code == 0
    assert f"vhdx undo {broken} {undo}" in answer.out
    assert broken.read_bytes() != before
    assert vhdx_command("undo", broken, undo).code == 0
    assert broken.read_bytes() == before


@pytest.mark.parametrize("copies", [(1,), (0, 1)])
def test_a_child_in_the_folder_tells_which_header_is_right_and_undo_brings_the_wrong_sums_back(
    vhdx_command, tmp_path, copies
):
    parent, child = tmp_path / "base.vhdx", tmp_path / "leaf.avhdx"
    earlier, spec = HeaderCopy(sequence=6, identity=Identity.of("earlier")), ImageSpec(size=4 << 20)
    encode(replace(spec, headers=(earlier, HeaderCopy(sequence=7)))).write_to(parent)
    encode(child_of(spec, "child", {}, path=".\\base.vhdx")).write_to(child)
    wanted = vhdx_command("hash", child).out
    for copy in copies:
        patch(parent, HEADER * (copy + 1) + 4, b"sums")
    before = parent.read_bytes()
    assert vhdx_command("hash", child).code in {3, 4}
    answer = vhdx_command("repair", parent, "--in-place")
    assert "leaf.avhdx was made from its data_write_guid" in answer.out
    assert vhdx_command("hash", child).out == wanted
    assert vhdx_command("undo", parent, f"{parent}.undo").code == 0
    assert parent.read_bytes() == before


def test_undo_refuses_another_file_in_one_sentence(vhdx_command, broken, built):
    vhdx_command("repair", broken, "--in-place", "--undo", broken.parent / "way.back")
    other, _ = built("dynamic")
    answer = vhdx_command("undo", other, broken.parent / "way.back")
    assert (answer.code, len(answer.err.splitlines())) == (5, 1)
    assert vhdx_command("undo", broken, other).code == 5


def test_what_nothing_helps_is_exit_code_3(vhdx_command, built):
    leaf, _ = built("dynamic")
    patch(leaf, HEADER, bytes(128 << 10))
    answer = vhdx_command("repair", leaf)
    assert answer.code == 3
    assert "not fixed: HDR-04" in answer.out
    assert "next: " in answer.out


def test_plan_and_outcome_are_json(vhdx_command, broken, tmp_path):
    plan = vhdx_command("repair", broken, "--json").json
    assert [fix["code"] for fix in plan["fixes"]][:2] == ["HDR-03", "LOG-01"]
    assert plan["outcome"] is None
    done = vhdx_command("repair", broken, "--in-place", "--json").json
    assert done["outcome"]["target"] == str(broken)
    assert vhdx_command("undo", broken, done["outcome"]["undo"], "--json").json["file_size"] == plan["file_size"]


@pytest.mark.parametrize(
    "options",
    [
        ("--output", "x", "--in-place"),
        ("--force",),
        ("--undo", "x"),
        ("--output", "-"),
    ],
)
def test_options_that_exclude_one_another_are_wrong_usage(vhdx_command, broken, options):
    assert vhdx_command("repair", broken, *options).code == 2


def test_a_moved_parent_is_set_and_undone(vhdx_command, built):
    leaf, _ = built("differencing")
    base = leaf.parent / "base.vhdx"
    (leaf.parent / "sub").mkdir()
    moved = base.rename(leaf.parent / "sub" / "other.vhdx")
    before = leaf.read_bytes()
    assert vhdx_command("hash", leaf).code == 4
    plan = vhdx_command("set-parent", leaf, moved)
    assert plan.code == 1
    assert leaf.read_bytes() == before
    done = vhdx_command("set-parent", leaf, moved, "--in-place", "--json")
    assert done.code == 0
    assert vhdx_command("hash", leaf).code == 0
    assert vhdx_command("undo", leaf, done.json["outcome"]["undo"]).code == 0
    assert leaf.read_bytes() == before


@pytest.mark.parametrize("name", ["differencing", "orphan"])
def test_a_disk_cannot_be_its_own_parent(vhdx_command, built, name):
    leaf, _ = built(name)
    symbolic_link(leaf.parent / "link.vhdx", leaf.name)
    for parent in (leaf, leaf.parent / "link.vhdx"):
        answer = vhdx_command("set-parent", leaf, parent)
        assert (answer.code, answer.out, answer.err.count("\n")) == (4, "", 1)
        assert answer.err.startswith("error: a disk cannot be its own parent: ")
        assert "name the file that it was made from" in answer.err


def test_a_disk_cannot_be_the_parent_of_what_it_needs(vhdx_command, built):
    leaf, _ = built("chain-3")
    middle = next(path for path in leaf.parent.glob("*.avhdx") if path != leaf)
    answer = vhdx_command("set-parent", middle, leaf, "--accept-identity")
    assert (answer.code, answer.out) == (4, "")
    assert f"{leaf} cannot be the parent of {middle}: it needs that file itself" in answer.err
    assert "--parent" not in answer.err


def test_a_wrong_parent_is_refused_with_both_identities(vhdx_command, built):
    leaf, _ = built("differencing")
    other, _ = built("dynamic")
    answer = vhdx_command("set-parent", leaf, other)
    assert answer.code == 4
    assert "--accept-identity" in answer.err
    assert vhdx_command("set-parent", leaf, other, "--accept-identity").code in {1, 4}
    assert vhdx_command("set-parent", leaf, leaf.parent / "gone.vhdx").code == 6
    assert vhdx_command("set-parent", leaf, leaf, "--map", "nonsense").code == 2
