"""What a check calls an error is told wherever a disk is read or fixed, and nothing of it ends in a fault."""

import pytest

from analyzer.convert.cells import InOrder
from tests.support.files import symbolic_link

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _hashes_without_zeros(monkeypatch):
    """The zeros of disks of 4 GiB take seconds to hash, and nothing here is about what a hash is."""
    monkeypatch.setattr(InOrder, "zeros_until", lambda given, end: setattr(given, "_position", end))


@pytest.mark.parametrize(
    ("name", "code"),
    [("table-shifted-by-qemu", "BAT-17"), ("table-without-slots-for-bitmaps", "BAT-18")],
)
def test_a_disk_that_may_be_wrong_is_written_with_a_warning(vhdx_command, damaged, tmp_path, name, code):
    answer = vhdx_command("merge", damaged(name), tmp_path / "out.vhdx")
    assert answer.code == 1
    assert code in answer.err
    assert vhdx_command("hash", tmp_path / name / "disk.vhdx").code == 1


@pytest.mark.parametrize(
    "command", [["merge", "out.vhdx"], ["merge", "out.vhdx", "--clone"], ["convert", "out.raw"], ["hash"]]
)
def test_json_has_what_a_check_calls_an_error_in_the_sources(vhdx_command, built, damaged, tmp_path, command):
    name, *rest = command
    words = [tmp_path / word if word.startswith("out.") else word for word in rest]
    wrong = vhdx_command(name, damaged("table-shifted-by-qemu"), *words, "--json")
    assert (wrong.code, [error["code"] for error in wrong.json["errors"]]) == (1, ["BAT-17"])
    assert wrong.json["errors"][0]["path"].endswith("disk.vhdx")
    sound = vhdx_command(name, built("dynamic")[0], *words, "--json", *(["--force"] if words else []))
    assert (sound.code, sound.json["errors"]) == (0, [])


def test_json_of_a_backup_has_what_a_check_calls_an_error_in_each_of_its_sources(
    vhdx_command, built, damaged, tmp_path
):
    pytest.importorskip("zstandard")
    assert vhdx_command("backup", "init", tmp_path / "kept").code == 0
    names = ("table-shifted-by-qemu", "table-without-slots-for-bitmaps")
    leaves = [built("dynamic")[0], *map(damaged, names)]
    wrong = vhdx_command("backup", "create", tmp_path / "kept", *leaves, "--json")
    assert (wrong.code, [error["code"] for error in wrong.json["errors"]]) == (1, ["BAT-17", "BAT-18"])
    assert [error["path"] for error in wrong.json["errors"]] == [str(leaf) for leaf in leaves[1:]]
    sound = vhdx_command("backup", "create", tmp_path / "kept", leaves[0], "--name", "again", "--json")
    assert (sound.code, sound.json["errors"]) == (0, [])


def test_a_repair_names_what_it_cannot_fix(vhdx_command, damaged):
    answer = vhdx_command("repair", damaged("table-zeroed"))
    assert answer.code == 1
    assert "not fixed: BAT-19" in answer.out


def test_an_accepted_mismatch_is_still_told_by_a_check(vhdx_command, built):
    leaf, _ = built("linkage-mismatch")
    answer = vhdx_command("check", "--chain", "--on-mismatch", "accept", leaf, "--json")
    assert "CHN-02" in [finding["code"] for subject in answer.json["subjects"] for finding in subject["findings"]]


@pytest.mark.parametrize("code", ["XYZ", "FOO-99", ""])
def test_ignoring_what_is_no_code_is_wrong_usage(vhdx_command, built, code):
    assert vhdx_command("check", built("dynamic")[0], "--ignore", code).code == 2


def test_a_link_in_a_circle_does_not_end_the_check_of_its_folder(vhdx_command, built):
    path, _ = built("dynamic")
    symbolic_link(path.parent / "loop", "loop")
    assert len(vhdx_command("check", path.parent, "--json").json["subjects"]) == 1


def test_a_code_may_be_negative_without_a_separator(vhdx_command):
    assert vhdx_command("explain", "-1069940722").out.startswith("0xC03A000E")
