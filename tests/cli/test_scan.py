"""`vhdx scan`: what a user sees of a folder, and that what it says to do works."""

import hashlib
import os
import shlex
import shutil
from dataclasses import replace

import pytest

import fixtures
import vhdx
from fixtures import Brush, Identity, encode, flatten
from fixtures.recipes.kit import child_of, disk
from tests.support.command_line import contents
from tests.support.files import symbolic_link

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX has links, pipes and its own quoting")


def put(path, spec):
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(spec).write_to(path)
    return path


def age(path, seconds):
    os.utime(path, (seconds, seconds))


def chain_of(seed, count):
    specs = [disk(f"{seed}-0")]
    for number in range(1, count):
        blocks = {number % 8: Brush(tag=number + 1).partial(number % 8, range(number, number + 9))}
        below = "base.vhdx" if number == 1 else f"layer{number - 1}.avhdx"
        specs.append(child_of(specs[-1], f"{seed}-{number}", blocks, path=f".\\{below}"))
    return specs


def hash_of(path):
    with vhdx.open_chain(path) as disk_:
        return hashlib.sha256(disk_.read(0, disk_.size)).hexdigest()


def run_advice(vhdx_command, answer, root):
    """Run the command that the advice for a tree gives, as a shell would; the output's path."""
    (tree,) = (tree for tree in answer["trees"] if tree["root"] == str(root))
    program, *words = shlex.split(tree["advice"]["command"])
    assert program == "vhdx"
    done = vhdx_command(*words)
    assert done.code == 0, done.err
    return words[2]


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    """Two machines' files, renamed, moved and under one another's names, with a copy of a base."""
    monkeypatch.chdir(tmp_path)
    first, second = chain_of("first", 3), chain_of("second", 4)
    folder = tmp_path / "old host"
    put(folder / "base.vhdx", second[0])  # the first one's children look for theirs under this name
    put(folder / "recovered" / "0001.bin", first[0])
    put(folder / "recovered" / "0002.bin", first[1])
    put(folder / "it's a leaf.avhdx", first[2])
    put(folder / "layer1.avhdx", second[2])
    put(folder / "layer2.avhdx", second[1])
    put(folder / "x" / "$HOME.avhdx", second[3])
    return folder, first, second


@posix
def test_of_a_mixed_up_folder_the_scan_alone_tells_what_to_do(vhdx_command, mixed):
    folder, first, second = mixed
    before = contents(folder)
    answer = vhdx_command("scan", folder, "--json")
    assert answer.code == 0, answer.out
    for base, specs in ((folder / "recovered" / "0001.bin", first), (folder / "base.vhdx", second)):
        out = run_advice(vhdx_command, answer.json, base)
        assert hash_of(out) == flatten(specs).sha256()
    assert contents(folder) == before


@posix
def test_copies_that_a_merge_could_not_choose_between_are_named_outright(vhdx_command, mixed):
    folder, first, _ = mixed
    put(folder / "recovered" / "0001 copy.bin", first[0])
    answer = vhdx_command("scan", folder, "--json")
    (root,) = (t["root"] for t in answer.json["trees"] if t["advice"] and "0001" in t["root"])
    assert hash_of(run_advice(vhdx_command, answer.json, root)) == flatten(first).sha256()
    copies = [t for t in answer.json["trees"] if t["advice"] is None]
    assert [t["members"][0]["copy_of"] for t in copies] == [root]
    assert "CHN-08" in {finding["code"] for finding in answer.json["findings"]}


def test_a_healthy_chain_is_drawn_from_base_to_leaf(vhdx_command, chain, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    leaf, _ = chain
    answer = vhdx_command("scan", leaf.parent)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].startswith("┌─ ")
    assert any(line.startswith("├─ ") for line in lines)
    assert f"└─ {leaf.name}" in lines
    assert f"      $ vhdx merge {leaf} vm-merged.vhdx" in lines
    assert answer.err == ""


def test_a_fork_names_the_leaf_that_was_modified_last_and_the_others(vhdx_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = disk("fork")
    age(put(tmp_path / "vm" / "base.vhdx", base), 1_000)
    for number, when in enumerate((3_000, 2_000)):
        spec = child_of(base, f"fork-{number}", {0: Brush(tag=number + 2).partial(0, range(4))})
        age(put(tmp_path / "vm" / f"{number}.avhdx", spec), when)
    answer = vhdx_command("scan", "vm")
    assert answer.code == 0
    assert "├──── 1.avhdx" in answer.out
    assert "└──── 0.avhdx" in answer.out
    assert "current state: vm/0.avhdx (of the leaves it was modified last)" in answer.out
    assert "other states of this disk, which merge the same way: vm/1.avhdx" in answer.out
    assert "$ vhdx merge vm/0.avhdx base-merged.vhdx" in answer.out
    assert "warning: 2 files were made from it" in answer.out


def test_a_truncated_leaf_leads_to_the_newest_state_that_can_be_read(vhdx_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    specs = chain_of("cut", 3)
    put(tmp_path / "base.vhdx", specs[0])
    put(tmp_path / "layer1.avhdx", specs[1])
    leaf = put(tmp_path / "layer2.avhdx", specs[2])
    os.truncate(leaf, leaf.stat().st_size - (1 << 20))
    answer = vhdx_command("scan", tmp_path, "--json")
    assert answer.code == 1
    assert {finding["code"] for finding in answer.json["findings"]} >= {"BAT-04"}
    (tree,) = answer.json["trees"]
    assert (tree["advice"]["current"], tree["advice"]["mergeable"]) == (str(leaf), str(tmp_path / "layer1.avhdx"))
    assert run_recovery(vhdx_command, tree["advice"]["recovery"])[1][0] == str(leaf)
    assert hash_of(run_advice(vhdx_command, answer.json, tree["root"])) == flatten(specs[:2]).sha256()


def test_a_parent_that_was_written_to_comes_with_evidence_and_a_command_that_works(
    vhdx_command, built, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    leaf, _ = built("linkage-mismatch")
    answer = vhdx_command("scan", leaf.parent, "--json")
    assert answer.code == 1
    (tree,) = answer.json["trees"]
    evidence = tree["members"][1]["link"]["evidence"]
    assert evidence["verdict"] == "doubtful"
    assert evidence["doubtful_bytes"] > 0
    run_advice(vhdx_command, answer.json, tree["root"])


def test_a_wrong_parent_is_not_offered(vhdx_command, built):
    leaf, _ = built("linkage-stranger")
    answer = vhdx_command("scan", leaf.parent, "--json")
    assert answer.code == 1
    assert all(tree["advice"]["command"] is None for tree in answer.json["trees"])
    (member,) = (m for tree in answer.json["trees"] for m in tree["members"] if m["link"])
    assert member["link"]["evidence"]["verdict"] == "wrong_parent"


@pytest.mark.parametrize("name", sorted(fixtures.RECIPES))
def test_no_file_stops_a_scan(vhdx_command, built, name):
    if name in {"chain-256", "chain-257"} or fixtures.RECIPES[name].summary.startswith("disk of 64 TiB"):
        pytest.skip("many, or large")
    leaf, _ = built(name)
    answer = vhdx_command("scan", leaf.parent, "--json")
    assert answer.code in {0, 1}
    assert answer.json["trees"] or answer.json["unplaced"]
    assert vhdx_command("scan", leaf.parent).code == answer.code


def test_an_unfinished_file_says_so(vhdx_command, built):
    leaf, _ = built("incomplete-file")
    answer = vhdx_command("scan", leaf.parent)
    assert answer.code == 1
    assert "DAMAGED, does not open" in answer.out
    assert "MET-11" in answer.out


def test_files_that_are_called_disks_and_are_none_are_shown_with_their_reason(vhdx_command, tmp_path):
    (tmp_path / "pointer.vhdx").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "notes.txt").write_text("nothing")
    answer = vhdx_command("scan", tmp_path)
    assert answer.code == 1
    assert "not to be placed" in answer.out
    assert "a Git LFS pointer" in answer.out
    assert "notes.txt" not in answer.out


def test_a_folder_without_a_disk_gives_exit_code_1(vhdx_command, tmp_path):
    answer = vhdx_command("scan", tmp_path)
    assert (answer.code, answer.out) == (1, "0 files looked at, 0 virtual disks; 0 chains, 0 errors, 0 warnings\n")


def test_a_folder_that_is_not_there_gives_exit_code_6(vhdx_command, tmp_path):
    answer = vhdx_command("scan", tmp_path / "nowhere")
    assert (answer.code, answer.out) == (6, "")
    assert answer.err.startswith("error: cannot look at")


@posix
def test_links_to_folders_pipes_and_second_names_are_left_alone(vhdx_command, chain):
    leaf, _ = chain
    count = len(list(leaf.parent.iterdir()))
    symbolic_link(leaf.parent / "loop", leaf.parent)
    symbolic_link(leaf.parent / "zero", "/dev/zero")
    symbolic_link(leaf.parent / "nowhere", leaf.parent / "gone")
    os.mkfifo(leaf.parent / "pipe.vhdx")
    symbolic_link(leaf.parent / "second name.vhdx", leaf)
    os.link(leaf, leaf.parent / "zz third name.vhdx")
    answer = vhdx_command("scan", leaf.parent, leaf.parent, "--json")
    assert answer.code == 0
    assert sum(len(tree["members"]) for tree in answer.json["trees"]) == count


def test_a_parent_outside_the_folder_is_taken_in(vhdx_command, tmp_path):
    base = disk("outside")
    put(tmp_path / "parents" / "base.vhdx", base)
    put(tmp_path / "vm" / "leaf.avhdx", child_of(base, "leaf", {}, path="..\\parents\\base.vhdx"))
    answer = vhdx_command("scan", tmp_path / "vm")
    assert answer.code == 0
    assert "outside the folders, named by its child" in answer.out


def test_names_from_a_locator_cannot_harm_a_terminal(vhdx_command, tmp_path):
    put(tmp_path / "leaf.avhdx", child_of(disk("hostile"), "hostile", {}, path=".\\\x1b[2J\u202ebase.vhdx"))
    answer = vhdx_command("scan", tmp_path)
    assert answer.code == 1
    assert "\x1b" not in answer.out
    assert "\u202e" not in answer.out


@posix
def test_a_command_with_controls_in_a_name_can_be_pasted(vhdx_command, tmp_path):
    base = disk("controls")
    put(tmp_path / "base.vhdx", base)
    put(tmp_path / "a\x1b[2J'b.avhdx", child_of(base, "controls", {}))
    answer = vhdx_command("scan", tmp_path)
    assert "\x1b" not in answer.out
    assert "a\\0033[2J\\0047b.avhdx')\" base-merged.vhdx" in answer.out


def test_leftovers_of_backups_and_tracking_files_are_noted(vhdx_command, tmp_path):
    base = disk("beside")
    put(tmp_path / "base.vhdx", base)
    put(tmp_path / "base-AutoRecovery.avhdx", child_of(base, "leftover", {}))
    for name in ("base.vhdx.rct", "base.vhdx.mrt", "base.vhds", "other.rct"):
        (tmp_path / name).write_bytes(b"x" * 100)
    answer = vhdx_command("scan", tmp_path, "--json")
    assert answer.code == 0
    assert {finding["code"] for finding in answer.json["findings"]} >= {"CHN-12", "CHN-13"}
    (tree,) = answer.json["trees"]
    assert len(tree["members"][0]["companions"]) == 3


def test_text_is_readable_in_forty_columns(vhdx_command, mixed, monkeypatch):
    folder, *_ = mixed
    monkeypatch.setattr("cli.commands.scan.line_width", lambda: 40)
    monkeypatch.chdir(folder.parent)
    shutil.rmtree(folder / "recovered")
    answer = vhdx_command("scan", "old host")
    assert answer.code == 1
    # Paths and identities stay whole, and so does a command: every other line fits.
    fits = [
        line for line in answer.out.splitlines() if "$ vhdx" not in line and max(map(len, line.split() or [""])) < 32
    ]
    assert max(map(len, fits)) <= 40


def test_the_previous_header_is_evidence(vhdx_command, tmp_path):
    base = disk("previous")
    since = replace(base.identity, data_write_guid=Identity.of("since").data_write_guid)
    headers = (replace(base.headers[0], identity=base.identity), base.headers[1])
    put(tmp_path / "renamed.bin", replace(base, identity=since, headers=headers))
    put(tmp_path / "leaf.avhdx", child_of(base, "previous-leaf", {}))
    answer = vhdx_command("scan", tmp_path, "--json")
    (tree,) = answer.json["trees"]
    evidence = tree["members"][1]["link"]["evidence"]
    assert evidence["verdict"] == "doubtful"
    assert "the parent's previous header" in evidence["facts"][0]["text"]


def run_recovery(vhdx_command, command):
    """Run the recovery that a scan advises; the output's path and the words."""
    program, *words = shlex.split(command)
    assert (program, words[0]) == ("vhdx", "recover")
    assert vhdx_command(*words).code == 1
    return words[-1], words[1:-2]


@posix
def test_where_a_middle_layer_is_gone_the_scan_recovers_with_all_that_is_left(vhdx_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    specs = chain_of("gap", 4)
    for name, spec in zip(("base.vhdx", "layer1.avhdx", "layer2.avhdx", "layer3.avhdx"), specs, strict=True):
        put(tmp_path / "vm" / name, spec)
    (tmp_path / "vm" / "layer2.avhdx").unlink()
    trees = {tree["root"]: tree["advice"] for tree in vhdx_command("scan", "vm", "--json").json["trees"]}
    out, inputs = run_recovery(vhdx_command, trees["vm/layer3.avhdx"]["recovery"])
    assert inputs == ["vm/layer3.avhdx", "vm/layer1.avhdx", "vm/base.vhdx"]
    said = vhdx_command("recover", *inputs, "--dry-run", "--json").json
    assert [layer["presence"] for layer in said["layers"]] == ["present", "present", "missing", "present"]
    assert (tmp_path / out).stat().st_size == specs[0].size
    older = trees["vm/base.vhdx"]
    assert (older["mergeable"], older["recovery"]) == ("vm/layer1.avhdx", None)
    assert any("vm/layer3.avhdx" in step and "older state" in step for step in older["steps"])


@posix
def test_a_disk_without_its_front_is_offered_to_be_recovered(vhdx_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = put(tmp_path / "wsl" / "ext4.vhdx", disk("front"))
    with path.open("r+b") as file:
        file.write(b"\xf1" * (1 << 20))
    lines = vhdx_command("scan", "wsl").out.splitlines()
    command = next(line.strip()[2:] for line in lines if "$ vhdx recover" in line)
    _, inputs = run_recovery(vhdx_command, command)
    assert inputs == ["wsl/ext4.vhdx"]
    for name in ("info", "check", "history"):
        answer = vhdx_command(name, path)
        assert f"try `vhdx recover {path} -o disk.raw`" in answer.out + answer.err


@posix
def test_a_checkpoint_without_its_front_may_be_newer_and_is_recovered_on_the_chain_beside_it(
    vhdx_command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    specs = chain_of("torn", 3)
    for name, spec in zip(("base.vhdx", "layer1.avhdx", "layer2.avhdx"), specs, strict=True):
        put(tmp_path / "vm" / name, spec)
    with (tmp_path / "vm" / "layer2.avhdx").open("r+b") as file:
        file.write(b"\xf1" * (1 << 20))
    (tree,) = vhdx_command("scan", "vm", "--json").json["trees"]
    assert any("vm/layer2.avhdx" in step and "may be newer" in step for step in tree["advice"]["steps"])
    lines = vhdx_command("scan", "vm").out.splitlines()
    command = next(line.strip()[2:] for line in lines if "$ vhdx recover" in line)
    _, inputs = run_recovery(vhdx_command, command)
    assert inputs == ["vm/layer2.avhdx", "vm/layer1.avhdx", "vm/base.vhdx"]


DAY = 24 * 3600


@pytest.mark.parametrize(
    ("name", "days", "touched", "current"),
    [
        ("vm-AutoRecovery.avhdx", 40, True, "vm.vhdx"),
        ("vm-AutoRecovery.avhdx", 40, False, "vm-AutoRecovery.avhdx"),  # its parent is as it was
        ("vm-AutoRecovery.avhdx", 0.1, True, "vm-AutoRecovery.avhdx"),  # the backup still runs, or has just failed
        ("vm-AutoRecovery.avhdx", -1, True, "vm-AutoRecovery.avhdx"),
        ("vm_5B1C.avhdx", 40, True, "vm_5B1C.avhdx"),  # a mount by mistake does the same
    ],
)
def test_a_checkpoint_that_a_backup_left_behind_is_not_the_current_state(
    vhdx_command, tmp_path, monkeypatch, name, days, touched, current
):
    monkeypatch.chdir(tmp_path)
    base = disk("went-on")
    since = replace(base.identity, data_write_guid=Identity.of("went on since").data_write_guid)
    put(tmp_path / "vm.vhdx", replace(base, identity=since) if touched else base)
    put(tmp_path / name, child_of(base, "left-behind", {}, path=r".\vm.vhdx"))
    age(tmp_path / "vm.vhdx", 1_700_000_000)
    age(tmp_path / name, 1_700_000_000 - days * DAY)
    answer = vhdx_command("scan", tmp_path, "--json")
    (tree,) = answer.json["trees"]
    assert tree["advice"]["current"] == str(tmp_path / current)
    assert (tree["advice"]["command"] is None) == (current == "vm.vhdx")
    assert f"current state: {tmp_path / current}" in vhdx_command("scan", tmp_path).out


def test_a_checkpoint_that_a_backup_left_behind_is_no_other_state_beside_a_newer_one(
    vhdx_command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    base = disk("went-on")
    since = replace(base, identity=replace(base.identity, data_write_guid=Identity.of("since").data_write_guid))
    put(tmp_path / "vm.vhdx", since)
    put(tmp_path / "vm-AutoRecovery.avhdx", child_of(base, "left-behind", {}, path=r".\vm.vhdx"))
    put(tmp_path / "vm_1.avhdx", child_of(since, "newer", {}, path=r".\vm.vhdx"))
    age(tmp_path / "vm-AutoRecovery.avhdx", 1_000_000_000)
    (tree,) = vhdx_command("scan", tmp_path, "--json").json["trees"]
    assert tree["advice"]["current"] == str(tmp_path / "vm_1.avhdx")
    assert not any("AutoRecovery" in step for step in tree["advice"]["steps"])


@pytest.mark.parametrize("gone", [8, 64 << 10, 160 << 10, 1 << 20], ids=lambda count: f"{count}-bytes")
def test_what_is_left_of_a_disk_is_found_whatever_its_name(vhdx_command, tmp_path, gone):
    """[the front is noise, and the name is that of no disk: headers, region tables or metadata say what it is]"""
    locked = put(tmp_path / "in" / "vm.vhdx.locked", disk("locked"))
    content = locked.read_bytes()
    noise = hashlib.shake_256(b"noise").digest(gone)
    locked.write_bytes(noise + content[gone:])
    (tmp_path / "in" / "whole-disk.img").write_bytes(bytes(1 << 20) + content)  # holds a whole one
    (tmp_path / "in" / "metadata.img").write_bytes((b"metadata" + b"\xff" * 1016).ljust(1 << 20, b"\0") * 4)
    answer = vhdx_command("scan", tmp_path / "in", "--json")
    assert answer.code == 1
    shown = [member["path"] for member in answer.json["unplaced"]]
    shown += [member["path"] for tree in answer.json["trees"] for member in tree["members"]]
    assert shown == [str(locked)]


def test_the_last_line_counts_what_is_a_disk_what_is_only_called_so_and_what_is_elsewhere(
    vhdx_command, built, tmp_path
):
    leaf, _ = built("chain-3")
    folder = tmp_path / "looked at"
    folder.mkdir()
    for name in ("layer1.avhdx", "layer2.avhdx"):
        (leaf.parent / name).rename(folder / name)
    (folder / "no disk.vhdx").write_bytes(bytes(3 << 20))
    (folder / "text.txt").write_text("words")
    (folder / "child").mkdir()
    last = vhdx_command("scan", folder).out.splitlines()[-1]
    assert last.startswith("4 files looked at, 2 virtual disks, 1 called so that cannot be read as one; 1 chain, ")
    last = vhdx_command("scan", folder / "layer2.avhdx").out.splitlines()[-1]
    assert last.startswith("1 file looked at, 1 virtual disk; 1 parent elsewhere; 1 chain, ")
