"""One address for a disk: whatever it is kept in, every command that reads disks takes it and reads the same bytes."""

import hashlib

import pytest

from analyzer.address.parse import Kind
from cli.options.takes import TAKES
from tests.analyzer.guest import images


@pytest.fixture
def kept(vhdx_command, chain, tmp_path):
    """A chain's leaf, its model, a raw image of it, and a restore point of it."""
    leaf, fixture = chain
    raw, repository, model = tmp_path / "disk.raw", tmp_path / "kept", fixture.models[fixture.leaf]
    raw.write_bytes(model.read(0, model.size))
    assert vhdx_command("backup", "init", repository).code == 0
    made = vhdx_command("backup", "create", repository, leaf, "--name", "monday")
    assert made.code == 0, made.err
    return leaf, model, raw, f"{repository}::monday"


def test_a_hash_is_the_same_whatever_the_disk_is_kept_in(vhdx_command, kept):
    leaf, model, raw, point = kept
    answer = vhdx_command("hash", leaf, raw, point)
    assert answer.code == 0, answer.err
    assert [line.split()[0] for line in answer.out.splitlines()] == [model.sha256()] * 3
    assert answer.out.splitlines()[2].endswith(point)


def test_a_restore_point_is_found_by_a_part_of_its_name_and_as_the_latest(vhdx_command, kept, monkeypatch):
    *_, point = kept
    repository = point.partition("::")[0]
    wanted = vhdx_command("hash", point).out.split()[0]
    for text in (f"{repository}::mon", f"{repository}::latest", f"file://{repository}::monday"):
        assert vhdx_command("hash", text).out.split()[0] == wanted
    monkeypatch.setenv("VHDX_REPOSITORY", repository)
    assert vhdx_command("hash", "::latest").out.split()[0] == wanted


def test_a_restore_point_that_is_not_there_is_wrong_usage_in_one_sentence(vhdx_command, kept):
    *_, point = kept
    answer = vhdx_command("hash", f"{point}x")
    assert answer.code == 2
    assert "has no restore point 'mondayx'" in answer.err
    nowhere = vhdx_command("hash", "nowhere::x")
    assert nowhere.code == 3
    assert "no repository is there" in nowhere.err


@pytest.mark.parametrize("form", ["raw", "vhdx", "qcow2"])
def test_raw_images_and_restore_points_are_converted(vhdx_command, kept, tmp_path, form):
    _, model, raw, point = kept
    for number, disk in enumerate((raw, point)):
        target = tmp_path / f"out{number}.{form}"
        done = vhdx_command("convert", disk, target)
        assert done.code == 0, done.err
        if form != "qcow2":
            assert vhdx_command("hash", target).out.split()[0] == model.sha256()


def test_a_vhdx_of_a_raw_image_has_the_sectors_that_are_asked_for_and_no_block_of_zeros(vhdx_command, tmp_path):
    raw, disk = tmp_path / "disk.img", tmp_path / "disk.vhdx"
    with raw.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(700 << 20)
        file.write(b"here")
        file.seek(900 << 20)
        file.write(bytes(1 << 20))  # zeros that are no hole
    assert vhdx_command("convert", raw, disk, "--sector-size", "4096").code == 0
    (told,) = vhdx_command("info", disk, "--json").json["files"]
    assert (told["logical_sector_size"], told["virtual_size"]) == (4096, 1 << 30)
    assert told["blocks"]["fully_present"] == 1


def test_a_raw_image_that_no_vhdx_holds_is_refused_in_one_sentence(vhdx_command, tmp_path):
    raw = tmp_path / "odd.raw"
    raw.write_bytes(bytes(1000))
    answer = vhdx_command("convert", raw, tmp_path / "odd.vhdx")
    assert answer.code == 5
    assert "a disk of 1000 bytes is no whole sectors of 512" in answer.err
    assert vhdx_command("hash", raw).out.split()[0] == hashlib.sha256(bytes(1000)).hexdigest()


def test_sectors_are_asked_for_where_a_disk_does_not_say_them_and_nowhere_else(vhdx_command, kept):
    leaf, _, raw, point = kept
    assert vhdx_command("hash", raw, "--sector-size", "4096").code == 0
    for disk in (leaf, point):
        answer = vhdx_command("hash", disk, "--sector-size", "4096")
        assert answer.code == 2
        assert "leave --sector-size out" in answer.err
    assert vhdx_command("hash", raw, "--sector-size", "1000").code == 2


def test_what_is_no_disk_is_not_taken_for_a_raw_one(vhdx_command, tmp_path):
    for name, content, told in (
        ("notes.txt", b"a text that is long enough to be seen as what it is: text. " * 20, "text file"),
        ("disk.zip", b"PK\x03\x04" + bytes(2000), "ZIP archive"),
        ("disk.qcow2", b"QFI\xfb" + bytes(2000), "qcow2"),
        ("disk.vhdx", bytes(4096), "begins with zeros"),
        ("copy", b"", "empty"),
    ):
        (tmp_path / name).write_bytes(content)
        answer = vhdx_command("hash", tmp_path / name)
        assert answer.code == 3, name
        assert told in answer.err


def test_info_says_what_a_raw_image_and_a_restore_point_are(vhdx_command, kept):
    _, model, raw, point = kept
    answer = vhdx_command("info", raw, point, "--json")
    assert answer.code == 0
    assert [(one["type"], one["virtual_size"]) for one in answer.json["files"]] == [
        ("raw", model.size), ("point", model.size)
    ]  # fmt: skip
    assert "restore point" in vhdx_command("info", point).out


def test_a_command_that_does_not_take_a_disk_names_the_one_that_does(vhdx_command, kept, tmp_path):
    *_, raw, point = kept
    for disk, what in ((raw, "a raw image"), (point, "a restore point")):
        answer = vhdx_command("merge", disk, tmp_path / "out.vhdx")
        assert answer.code == 2
        assert f"is {what}, and `vhdx merge` takes LEAF or LEAF@N or DISK.vhd; `vhdx convert DISK OUT`" in answer.err


@pytest.mark.parametrize("command", TAKES)
def test_the_help_of_a_command_says_which_addresses_it_takes(vhdx_command, command):
    text = " ".join(vhdx_command(*command.split(), "--help").out.split())
    for kind, words in {
        Kind.LEAF: "LEAF", Kind.STATE: "LEAF@N", Kind.RAW: "a raw image", Kind.DEVICE: "a block device",
        Kind.POINT: "REPO::POINT", Kind.NBD: "nbd://",
    }.items():  # fmt: skip
        assert (words in text) == (kind in TAKES[command]), words


def test_a_raw_image_is_backed_up_in_full_each_time_and_stored_once(vhdx_command, kept):
    _, model, raw, point = kept
    repository = point.partition("::")[0]
    first = vhdx_command("backup", "create", repository, raw, "--name", "raw")
    assert first.code == 0, first.err
    assert "0 new chunks stored" in first.out, "the chain that it was made of has the same chunks"
    assert "nothing in disk.raw says whether somebody wrote to it since" in first.out
    assert vhdx_command("hash", f"{repository}::raw").out.split()[0] == model.sha256()
    again = vhdx_command("backup", "create", repository, raw, "--name", "again", "--json").json
    shown = [vhdx_command("backup", "show", repository, name, "--json").json["point"] for name in ("raw", "again")]
    assert shown[0]["disk_id"] == shown[1]["disk_id"], "one disk, night by night"
    assert again["points"][0]["effort"]["chunks_written"] == 0


def test_a_restore_point_is_no_source_of_another(vhdx_command, kept):
    *_, point = kept
    answer = vhdx_command("backup", "create", point.partition("::")[0], point)
    assert answer.code == 2
    assert "`vhdx backup copy` copies restore points" in answer.err


def test_what_a_recovery_lost_stays_lost_in_a_restore_point(vhdx_command, kept, tmp_path):
    _, model, raw, point = kept
    repository, lost = point.partition("::")[0], (1 << 20, 65536)
    rows = [(0, lost[0], "+"), (*lost, "-"), (sum(lost), model.size - sum(lost), "+")]
    (tmp_path / "disk.raw.map").write_text(
        "# Mapfile. Created by vhdx recover\n# Disk: 00000000-0000-4000-8000-000000000000\n"
        "# current_pos  current_status  current_pass\n0x00000000     +               1\n"
        + "".join(f"0x{start:08X}  0x{length:08X}  {sign}\n" for start, length, sign in rows)
    )
    refused = vhdx_command("backup", "create", repository, raw, "--name", "recovered")
    assert refused.code == 3
    assert "disk.raw.map has it as lost" in refused.err
    made = vhdx_command("backup", "create", repository, raw, "--name", "recovered", "--allow-lost", "--json")
    assert made.json["points"][0]["lost"] == [list(lost)]
    mapped = vhdx_command("map", f"{repository}::recovered", "--json").json["runs"]
    assert [run[:3] for run in mapped if run[2] == "lost"] == [[*lost, "lost"]]
    answer = vhdx_command("hash", f"{repository}::recovered")
    assert answer.code == 3
    assert "it was lost already when the restore point was made" in answer.err


@pytest.mark.skipif(images.is_missing("ext"), reason="no mkfs.ext4")
def test_the_content_of_any_disk_is_checked(vhdx_command, tmp_path):
    raw, repository = images.make_ext(tmp_path / "disk.raw", {"a": b"a"}), tmp_path / "kept"
    assert vhdx_command("backup", "init", repository).code == 0
    assert vhdx_command("backup", "create", repository, raw, "--name", "good").code == 0
    with raw.open("r+b") as file:
        file.seek(1024 + 56)
        file.write(b"\0\0")  # the magic of the superblock: backups are left
    assert vhdx_command("backup", "create", repository, raw, "--name", "bad").code == 0
    good, bad = (vhdx_command("check", "--content", f"{repository}::{name}", "--json") for name in ("good", "bad"))
    assert (good.code, good.json["subjects"][0]["path"]) == (0, f"{repository}::good")
    codes = {one["code"] for one in vhdx_command("check", "--content", raw, "--json").json["subjects"][0]["findings"]}
    assert {one["code"] for one in bad.json["subjects"][0]["findings"]} == codes
    refused = vhdx_command("check", f"{repository}::good")
    assert refused.code == 2
    assert "add --content" in refused.err


def test_a_report_is_of_chains_and_names_the_page_for_other_disks(vhdx_command, kept, tmp_path):
    *_, raw, point = kept
    for disk in (raw, point):
        answer = vhdx_command("report", disk, tmp_path / "out.html")
        assert answer.code == 2
        assert "`vhdx check --content --format html DISK -o OUT`" in answer.err


def test_what_holds_disks_and_is_none_is_told_how_to_name_one(vhdx_command, kept):
    *_, point = kept
    repository = point.partition("::")[0]
    for text, words in (
        (repository, f"name one of its restore points, as {repository}::latest"),
        ("sftp://host/backups", "name one of them, as URL::POINT"),
        ("https://host/disk.raw", "a disk there is read through `nbdkit -U - curl"),
    ):
        answer = vhdx_command("hash", text)
        assert answer.code == 2
        assert words in answer.err
    long = vhdx_command("hash", "a" * 300)
    assert long.code == 6
    assert "cannot open aaa" in long.err


def test_what_ddrescue_has_not_read_of_a_raw_image_is_lost(vhdx_command, tmp_path):
    raw, lost = tmp_path / "disk.raw", (8192, 4096)
    raw.write_bytes(b"x" * 8192 + bytes(4096) + b"y" * 8192)
    rows = [(0, 8192, "+"), (*lost, "-"), (12288, 8192, "+")]
    (tmp_path / "disk.raw.map").write_text(
        "# Mapfile. Created by GNU ddrescue version 1.27\n# current_pos  current_status  current_pass\n"
        "0x00003000     +               1\n"
        + "".join(f"0x{start:08X}  0x{length:08X}  {sign}\n" for start, length, sign in rows)
    )
    mapped = vhdx_command("map", raw, "--json")
    assert mapped.code == 1
    assert [run[:3] for run in mapped.json["runs"] if run[2] == "lost"] == [[*lost, "lost"]]
    for answer in (vhdx_command("hash", raw), vhdx_command("convert", raw, tmp_path / "out.vhdx")):
        assert answer.code == 3
        assert "were not read when the file was copied" in answer.err
