"""`vhdx backup` as a person and as a program use it."""

import hashlib
import shutil

import pytest

from tests.support.command_line import contents

pytestmark = pytest.mark.slow


@pytest.fixture
def kept(vhdx_command, chain, tmp_path):
    """A repository with a point for every layer of a chain; and the leaf."""
    folder = tmp_path / "kept"
    assert vhdx_command("backup", "init", folder).code == 0
    leaf, fixture = chain
    made = vhdx_command("backup", "create", folder, leaf, "--checkpoints", "--json")
    assert made.code == 0, made.err
    return folder, leaf, fixture, [point["name"] for point in made.json["points"]]


def test_a_backup_goes_round_from_init_to_restore_and_leaves_its_sources_alone(vhdx_command, kept, tmp_path):
    folder, leaf, fixture, names = kept
    before = contents(leaf.parent)
    listed = vhdx_command("backup", "list", folder, "--json").json["points"]
    assert [point["name"] for point in listed] == names
    out = tmp_path / "out.raw"
    done = vhdx_command("backup", "restore", folder, names[-1], out, "--json")
    assert done.code == 0
    assert done.json["output"]["verified"] is True
    model = fixture.models[fixture.leaf]
    assert out.read_bytes() == model.read(0, model.size)
    told = vhdx_command("backup", "show", folder, names[-1], "--json").json["point"]
    assert told["image_sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert told["image_sha256"] in vhdx_command("backup", "show", folder, names[-1]).out
    assert contents(leaf.parent) == before


def test_the_next_backup_reads_nothing_and_says_why_where_it_does(vhdx_command, kept):
    folder, leaf, _, _ = kept
    again = vhdx_command("backup", "create", folder, leaf, "--name", "again")
    assert again.code == 0
    assert "0 bytes read, 0 new chunks stored" in again.out
    assert "read in full" not in again.out
    leaf.parent.joinpath(leaf.name).touch()  # the base stays as it was: only the leaf is read
    third = vhdx_command("backup", "create", folder, leaf, "--name", "third")
    assert "read in full" not in third.out
    full = vhdx_command("backup", "create", folder, leaf, "--full")
    assert "read in full, because that was asked for" in full.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["create", "{leaf}", "--name", "../x"], 2, "no name for a restore point"),
        (["create", "{leaf}", "--name", "taken"], 5, "there is one of that name"),
        (["show", "nothing"], 2, "has no restore point"),
        (["restore", "nothing", "x.raw"], 2, "has no restore point"),
        (["restore", "../../x", "x.raw"], 2, "has no restore point"),
        (["restore", "taken", "x.vhdx", "--resume"], 2, "--resume is for raw images"),
        (["verify", "--indexes", "--percent", "5"], 2, "--indexes reads no chunk"),
        (["verify", "--time-box", "soon"], 2, "is not a time"),
    ],
)
def test_what_is_refused_is_refused_in_one_sentence(vhdx_command, kept, arguments, code, words):
    folder, leaf, _, _ = kept
    assert vhdx_command("backup", "create", folder, leaf, "--name", "taken").code == 0
    command, *rest = arguments
    refused = vhdx_command("backup", command, folder, *(text.format(leaf=leaf) for text in rest))
    assert refused.code == code
    assert words in refused.err


def test_a_folder_that_is_no_repository_is_said_to_be_none(vhdx_command, tmp_path):
    for command in ("list", "verify", "stats"):
        answer = vhdx_command("backup", command, tmp_path)
        assert answer.code == 3
        assert "no repository is there" in answer.err


def test_verify_names_damage_with_exit_code_1_and_the_next_backup_heals_it(vhdx_command, kept):
    folder, leaf, _, names = kept
    assert vhdx_command("backup", "verify", folder).code == 0
    chunk = max(folder.rglob("*.cacnk"), key=lambda path: path.stat().st_size)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    found = vhdx_command("backup", "verify", folder, "--json")
    assert found.code == 1
    (problem,) = found.json["verdict"]["problems"]
    assert problem["object"] == chunk.relative_to(folder).as_posix()
    assert set(problem["points"]) <= set(names)
    assert vhdx_command("backup", "create", folder, leaf, "--checkpoints").code == 0
    assert vhdx_command("backup", "verify", folder).code == 0


def test_stats_are_told_to_people_and_programs(vhdx_command, kept):
    folder, _, _, names = kept
    stats = vhdx_command("backup", "stats", folder, "--json").json["stats"]
    assert [point["name"] for point in stats["points"]] == names
    assert stats["chunks"] == len(list(folder.rglob("*.cacnk")))
    assert f"{len(names)} restore points" in vhdx_command("backup", "stats", folder).out


def test_a_range_and_a_resumed_image_are_told_in_json(vhdx_command, kept, tmp_path):
    folder, _, fixture, names = kept
    model = fixture.models[fixture.leaf]
    ranged = vhdx_command(
        "backup", "restore", folder, names[-1], tmp_path / "a", "--offset", 512, "--length", "4K", "--json"
    )
    assert ranged.json["range"]["length"] == 4096
    assert (tmp_path / "a").read_bytes() == model.read(512, 4096)
    resumed = vhdx_command("backup", "restore", folder, names[-1], tmp_path / "b.raw", "--resume", "--json")
    assert resumed.json["resumed"]["found_bytes"] == 0
    assert (tmp_path / "b.raw").read_bytes() == model.read(0, model.size)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--offset", "{end}"], "and what follows byte"),
        (["--offset", "{end}", "--length", "1"], "has {end} bytes"),
        (["--offset", "{last}", "--length", "2M"], "has {end} bytes, and 2097152 bytes from byte {last} on"),
        (["--length", "1T"], "has {end} bytes"),
    ],
)
@pytest.mark.parametrize("name", ["out.raw", "-"])
def test_a_range_that_the_disk_does_not_have_is_refused_with_its_size(vhdx_command, kept, tmp_path, asked, words, name):
    folder, _, fixture, names = kept
    end = fixture.models[fixture.leaf].size
    places = {"end": end, "last": end - (1 << 20)}
    out = name if name == "-" else tmp_path / name
    arguments = [text.format(**places) for text in asked]
    answer = vhdx_command("backup", "restore", folder, names[-1], out, *arguments)
    assert answer.code == 2
    assert words.format(**places) in answer.err
    assert answer.out == ""
    assert not (tmp_path / name).exists()


def test_a_range_under_the_name_of_an_image_is_refused(vhdx_command, kept, tmp_path):
    folder, _, _, names = kept
    for name in ("x.vhdx", "x.qcow2", "x.zst"):
        answer = vhdx_command("backup", "restore", folder, names[-1], tmp_path / name, "--length", "1M")
        assert answer.code == 2
        assert "a range is raw bytes" in answer.err
    out = tmp_path / "x.vhdx"
    assert vhdx_command("backup", "restore", folder, names[-1], out, "--length", "4K", "--format", "raw").code == 0


def test_a_device_that_is_not_there_is_said_not_to_be(vhdx_command, kept, tmp_path):
    folder, _, _, names = kept
    answer = vhdx_command("backup", "restore", folder, names[-1], tmp_path / "nothing", "--onto-device")
    assert answer.code == 5
    assert "it is not there" in answer.err


@pytest.mark.parametrize(
    ("command", "where", "words"),
    [
        ("create", "cli.commands.backup_create.run_create", "the next run uses the chunks that are stored"),
        ("resume", "cli.commands.backup_restore.resume_raw", "out.raw.part; run the command again, it continues"),
        ("prune", "cli.commands.backup_prune.run_prune", "every restore point is whole"),
        ("forget", "cli.commands.backup_forget.run_forget", "whole or deleted"),
        ("verify", "cli.commands.backup_prune.verify", "run the command again"),
        ("restore", "cli.options.output.run_conversion", "no unfinished output was kept"),
    ],
)
def test_what_an_interrupted_command_says_of_what_was_kept_is_true(
    vhdx_command, kept, tmp_path, monkeypatch, command, where, words
):
    folder, leaf, _, names = kept
    arguments = {
        "create": ("create", folder, leaf),
        "resume": ("restore", folder, names[-1], tmp_path / "out.raw", "--resume"),
        "prune": ("prune", folder),
        "forget": ("forget", folder, names[0]),
        "verify": ("verify", folder),
        "restore": ("restore", folder, names[-1], tmp_path / "out.vhdx"),
    }[command]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    answer = vhdx_command("backup", *arguments)
    assert answer.code == 130
    assert words in answer.err
    assert ("no unfinished output" in answer.err) == (command == "restore")
    assert not list((folder / "locks").iterdir())


def test_help_names_every_command_and_imports_none(vhdx_command):
    answer = vhdx_command("backup", "--help")
    assert answer.code == 0
    for name in ("init", "create", "list", "show", "verify", "restore", "stats"):
        assert f"  {name} " in answer.out
        assert "Examples:" in vhdx_command("backup", name, "--help").out


def test_of_several_disks_the_others_are_backed_up_when_one_cannot_be(vhdx_command, kept, tmp_path):
    folder, leaf, _, _ = kept
    orphan = tmp_path / "alone" / leaf.name
    orphan.parent.mkdir()
    orphan.write_bytes(leaf.read_bytes())
    text = tmp_path / "notes.vhdx"
    text.write_text("no disk at all\n" * 9)
    made = vhdx_command("backup", "create", folder, orphan, text, leaf, "--json")
    assert made.code == 4
    assert len(made.json["points"]) == 1
    assert [(one["path"], one["exit_code"]) for one in made.json["failed"]] == [(str(orphan), 4), (str(text), 3)]
    assert "2 of 3 disks were not backed up" in made.err
    assert made.err.count("error:") == 3


def test_a_dry_run_of_create_says_what_would_be_read_and_writes_nothing(vhdx_command, kept, chain):
    folder, leaf, _, _ = kept
    before = contents(folder)
    told = vhdx_command("backup", "create", folder, leaf, "--full", "--name", "tomorrow", "--dry-run")
    assert told.code == 0
    assert "tomorrow: would be made; " in told.out
    assert "to read, in full, because that was asked for" in told.out
    plain = vhdx_command("backup", "create", folder, leaf, "--dry-run", "--json").json
    assert (plain["points"], plain["planned"][0]["read_bytes"]) == ([], 0)
    assert contents(folder) == before


def test_points_of_files_with_one_name_are_listed_with_their_folders(vhdx_command, built, tmp_path):
    leaf, _ = built("dynamic")
    twin = tmp_path / "other" / leaf.name
    twin.parent.mkdir()
    shutil.copyfile(leaf, twin)
    assert vhdx_command("backup", "init", tmp_path / "repo").code == 0
    assert vhdx_command("backup", "create", tmp_path / "repo", leaf).code == 0
    assert f"of {leaf.name}\n" in vhdx_command("backup", "list", tmp_path / "repo").out
    assert vhdx_command("backup", "create", tmp_path / "repo", twin).code == 0
    listed = vhdx_command("backup", "list", tmp_path / "repo").out
    assert [f"of {path}\n" in listed for path in (leaf, twin)] == [True, True]
