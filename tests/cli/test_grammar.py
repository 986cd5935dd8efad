"""One grammar for all commands: states, outputs, formats, and one exit code for one mistake."""

from pathlib import Path

import pytest

from tests.support.command_line import contents

READING = {
    "info": [], "map": [], "hash": [], "check": [], "files": [], "dump": [], "history": [], "carve": [], "repair": [],
    "merge": ["new.vhdx"], "convert": ["new.raw"], "report": ["new.html"], "extract": ["/", "-o", "new"],
    "recover": ["--dry-run"], "undo": ["leaf.undo"], "set-parent": ["parent.vhdx"], "scan": [],
}  # fmt: skip


@pytest.mark.parametrize("command", READING)
def test_a_file_that_is_not_there_is_exit_code_6_in_every_command(vhdx_command, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command(command, "nowhere.vhdx", *READING[command])
    assert answer.code == 6
    assert "nowhere.vhdx" in answer.out + answer.err
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("command", ["info", "map", "hash", "merge", "convert", "report", "repair", "dump"])
def test_a_folder_where_a_file_is_wanted_is_told_of_scan(vhdx_command, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command(command, ".", *READING[command])
    assert answer.code == 6
    assert "`vhdx scan .`" in answer.err


OF_A_STATE = {"info": [], "map": [], "hash": [], "check": [], "report": ["-"], "merge": ["new.vhdx"],
              "convert": ["new.raw"]}  # fmt: skip


@pytest.mark.parametrize("command", OF_A_STATE)
def test_every_command_that_reads_a_chain_takes_the_state_of_a_layer(
    vhdx_command, chain, tmp_path, monkeypatch, command
):
    leaf, _ = chain
    monkeypatch.chdir(tmp_path)
    assert vhdx_command(command, f"{leaf}@0", *OF_A_STATE[command]).code in {0, 1}
    for target in OF_A_STATE[command]:
        (tmp_path / target).unlink(missing_ok=True)
    answer = vhdx_command(command, f"{leaf}@9", *OF_A_STATE[command])
    assert answer.code == 2, "as for a volume that is not there"
    assert "has layers 0 (base) to 2, not 9" in answer.err


def test_the_state_of_a_layer_is_the_disk_as_it_was_then(vhdx_command, chain, tmp_path):
    leaf, fixture = chain
    for number, name in enumerate(fixture.files):
        state = f"{leaf}@{number}"
        wanted = fixture.models[name].sha256()
        assert vhdx_command("hash", state).out.split()[0] == wanted
        assert vhdx_command("merge", state, tmp_path / f"{number}.vhdx").code == 0
        assert vhdx_command("hash", tmp_path / f"{number}.vhdx").out.split()[0] == wanted


def test_a_parent_that_is_named_belongs_to_the_leaf_also_where_a_lower_layer_is_meant(vhdx_command, chain, tmp_path):
    leaf, fixture = chain
    base, middle, _ = (leaf.parent / name for name in fixture.files)
    answer = vhdx_command("hash", f"{leaf}@1", "--parent", middle, "--parent", base)
    assert answer.out.split()[0] == fixture.models[middle.name].sha256()


def test_hash_of_several_files_goes_on_after_one_that_cannot_be_read(vhdx_command, chain):
    leaf, fixture = chain
    answer = vhdx_command("hash", leaf.parent / "gone.vhdx", leaf, f"{leaf}@0")
    assert [line.split()[0] for line in answer.out.splitlines()] == [
        fixture.models[name].sha256() for name in (fixture.leaf, "vm.vhdx")
    ]
    assert answer.code == 6
    assert "gone.vhdx" in answer.err
    told = vhdx_command("hash", leaf.parent / "gone.vhdx", leaf, "--json").json["files"]
    assert told[0]["error"]["exit_code"] == 6
    assert told[1]["sha256"] == fixture.models[fixture.leaf].sha256()


@pytest.mark.parametrize("command", ["merge", "convert", "report"])
@pytest.mark.parametrize("with_option", [False, True])
def test_the_output_is_positional_or_behind_o_and_not_both(vhdx_command, chain, tmp_path, command, with_option):
    leaf, _ = chain
    target = tmp_path / ("page.html" if command == "report" else "new.vhdx")
    assert vhdx_command(command, leaf, *["-o"] * with_option, target).code == 0
    assert target.stat().st_size > 0
    assert vhdx_command(command, leaf, target, "-o", target, "--force").code == 2
    assert vhdx_command(command, leaf).code == 2


def test_apply_create_repair_and_set_parent_take_o(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    delta = tmp_path / "week.delta"
    assert vhdx_command("changes", f"{leaf}@0", leaf, "--export", delta).code == 0
    assert vhdx_command("apply", delta, leaf.parent / "vm.vhdx", "-o", tmp_path / "new.vhdx").code == 0
    assert vhdx_command("create", "-o", tmp_path / "empty.vhdx", "--size", "1G").code == 0
    assert vhdx_command("repair", leaf, "-o", tmp_path).code == 0


@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        (["merge", "LEAF", "new"], "{stem}-merged.vhdx"),
        (["convert", "LEAF", "new", "--format", "qcow2"], "{stem}.qcow2"),
        (["convert", "LEAF", "-o", "new", "--azure"], "{stem}.vhd"),
        (["merge", "LEAF", "new", "--base", "BASE"], "{stem}-merged.avhdx"),
        (["report", "LEAF", "new"], "{stem}.html"),
        (["check", "LEAF", "-o", "new", "--format", "sarif"], "vhdx.sarif"),
        (["check", "LEAF", "-o", "new", "--format", "junit"], "vhdx.xml"),
        (["recover", "LEAF", "-o", "new", "--format", "raw"], "{stem}.raw"),
        (["create", "new", "--size", "1G"], "disk.vhdx"),
        (["merge", "LEAF@0", "new", "--format", "raw"], "vm.raw"),
    ],
)
def test_a_folder_as_output_gets_a_file_named_after_the_source(
    vhdx_command, chain, tmp_path, monkeypatch, arguments, made
):
    leaf, _ = chain
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "new"
    folder.mkdir()
    places = {"LEAF": leaf, "LEAF@0": f"{leaf}@0", "BASE": leaf.parent / "vm.vhdx"}
    answer = vhdx_command(*(places.get(word, word) for word in arguments))
    assert answer.code == 0, answer.err
    assert made.format(stem=leaf.stem) in {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("command", ["merge", "convert", "apply", "recover"])
@pytest.mark.parametrize(
    ("name", "options", "code"),
    [("new.foo", [], 5), ("new", [], 5), ("new.qcow2", ["--format", "vmdk"], 2), ("new.raw", ["--format", "vhdx"], 2)],
)
def test_a_name_that_asks_for_no_format_or_for_another_is_refused_alike(
    vhdx_command, chain, tmp_path, monkeypatch, command, name, options, code
):
    leaf, _ = chain
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    sources = {"apply": ["x.delta", leaf, name], "recover": [leaf, "-o", name]}.get(command, [leaf, name])
    answer = vhdx_command(command, *sources, *options)
    assert answer.code == code
    assert contents(tmp_path / "work") == {}


def test_what_is_text_goes_to_stdout_where_the_output_is_a_dash(vhdx_command, chain, tmp_path, monkeypatch):
    leaf, _ = chain
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert vhdx_command("check", leaf, "-o", "-").out == vhdx_command("check", leaf).out
    answer = vhdx_command("report", leaf, "-")
    assert answer.out.startswith("<!DOCTYPE html>")
    assert answer.out.rstrip().endswith("</html>")
    assert "report of" in answer.err
    for words in (["changes", f"{leaf}@0", leaf, "--bitmap"], ["recover", leaf, "-o"], ["repair", leaf, "-o"]):
        assert vhdx_command(*words, "-").code == 2
    assert contents(tmp_path / "work") == {}


def test_a_parent_that_is_missing_is_looked_for_below_the_folder_that_is_named(vhdx_command, chain, tmp_path):
    leaf, fixture = chain
    deep = tmp_path / "old" / "host" / "VMs"
    deep.mkdir(parents=True)
    (leaf.parent / "vm.vhdx").rename(deep / "renamed.vhdx")
    refused = vhdx_command("hash", leaf)
    assert refused.code == 4
    assert "`vhdx scan DIR`" in refused.err
    answer = vhdx_command("hash", leaf, "--search", tmp_path / "old")
    assert answer.out.split()[0] == fixture.models[fixture.leaf].sha256()


def test_a_copy_in_a_subfolder_does_not_make_the_parent_in_the_folder_ambiguous(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    below = tmp_path / "old" / "copies"
    below.mkdir(parents=True)
    base = (leaf.parent / "vm.vhdx").rename(tmp_path / "old" / "vm-a.vhdx")
    (below / "vm-b.vhdx").write_bytes(base.read_bytes())
    assert vhdx_command("hash", leaf, "--search", tmp_path / "old").code == 0
    base.unlink()
    (below / "vm-c.vhdx").write_bytes((below / "vm-b.vhdx").read_bytes())
    assert "2 files have the identity" in vhdx_command("hash", leaf, "--search", tmp_path / "old").err


@pytest.mark.parametrize("folder", [".", "..", "/"])
@pytest.mark.parametrize("command", ["merge", "report"])
def test_a_folder_without_a_name_as_output_is_refused_with_the_name_to_give(
    vhdx_command, chain, tmp_path, monkeypatch, command, folder
):
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command(command, chain[0], "-o", folder)
    assert answer.code == 2
    assert f"name the file, such as {Path(folder, chain[0].stem)}" in answer.err
