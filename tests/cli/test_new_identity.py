"""Clones from the command line: what is written, what is told, what is refused."""

import struct

import pytest

import vhdx
from tests.analyzer.convert.helpers import reads_as
from tests.support.command_line import contents

VOLUME = 2048 * 512


@pytest.fixture
def disk(built):
    """A VHDX with a GPT and a bare NTFS volume."""
    return built("volume-gpt-ntfs")[0]


def disk_guid(data):
    return data[512 + 56 : 512 + 72]


def test_a_clone_is_written_with_every_identity_told(vhdx_command, disk, tmp_path):
    answer = vhdx_command("convert", disk, tmp_path / "clone.vhdx", "--clone", "--seed", "x")
    assert answer.code == 0
    assert "from 1 layer," in answer.out
    with vhdx.open_image(disk) as old, vhdx.open_image(tmp_path / "clone.vhdx") as new:
        assert new.parameters.disk_id != old.parameters.disk_id
        assert f"the virtual disk id: {old.parameters.disk_id} is now {new.parameters.disk_id}" in answer.out
        before, after = old.read(0, old.size), new.read(0, new.size)
    assert disk_guid(before) != disk_guid(after)
    serial = struct.unpack_from("<Q", after, VOLUME + 72)[0]
    assert f"is now {serial:016x}" in answer.out
    assert "the BCD" in answer.out


def test_the_json_of_a_clone_names_every_change_and_follows_the_schema(vhdx_command, disk, tmp_path):
    answer = vhdx_command("convert", disk, tmp_path / "clone.raw", "--clone", "--json")
    changes = answer.json["clone"]["changes"]
    assert [change["what"] for change in changes] == [
        "the disk GUID",
        "the GUID of partition 1",
        "the serial number of the NTFS volume",
    ]
    assert all(change["old"] != change["new"] for change in changes)
    assert answer.json["clone"]["kept"] == []


def test_without_clone_the_answer_says_nothing_of_it(vhdx_command, disk, tmp_path):
    answer = vhdx_command("convert", disk, tmp_path / "copy.raw", "--json")
    assert "clone" not in answer.json
    assert reads_as(disk) == (tmp_path / "copy.raw").read_bytes()


def test_the_same_seed_gives_the_same_file(vhdx_command, disk, tmp_path):
    for name in ("a.vhdx", "b.vhdx"):
        vhdx_command("convert", disk, tmp_path / name, "--clone", "--seed", "x")
    assert (tmp_path / "a.vhdx").read_bytes() == (tmp_path / "b.vhdx").read_bytes()


def test_clone_ids_disk_leaves_volumes_alone(vhdx_command, disk, tmp_path):
    vhdx_command("convert", disk, tmp_path / "clone.raw", "--clone-ids", "disk")
    data, old = (tmp_path / "clone.raw").read_bytes(), reads_as(disk)
    assert disk_guid(data) != disk_guid(old)
    assert data[VOLUME : VOLUME + 512] == old[VOLUME : VOLUME + 512]


def test_merge_writes_a_clone_of_a_chain(vhdx_command, disk, tmp_path):
    answer = vhdx_command("merge", disk, tmp_path / "clone.vhdx", "--clone")
    assert answer.code == 0
    assert "the virtual disk id" in answer.out
    assert disk_guid(reads_as(tmp_path / "clone.vhdx")) != disk_guid(reads_as(disk))


@pytest.mark.parametrize(("more", "looked"), [(["--clone"], "NTFS"), (["--clone-ids", "disk"], "GPT")])
@pytest.mark.parametrize("command", ["convert", "merge"])
def test_a_clone_of_a_disk_without_identities_says_that_nothing_on_it_is_new(
    vhdx_command, built, tmp_path, command, more, looked
):
    leaf, _ = built("chain-3")
    answer = vhdx_command(command, leaf, tmp_path / "out.vhdx", *more, "--json")
    assert answer.code == vhdx_command(command, leaf, tmp_path / "copy.vhdx").code == 0
    assert [change["what"] for change in answer.json["clone"]["changes"]] == ["the virtual disk id"]
    assert answer.err.startswith("warning: no identity on the disk is new: looked for the disk signature of an MBR")
    assert looked in answer.err
    assert ("NTFS" in answer.err) == ("disk" not in more)
    assert "found none that could be changed" in answer.err


def test_a_clone_upon_a_base_is_refused(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    answer = vhdx_command("merge", leaf, tmp_path / "out.avhdx", "--base", leaf, "--clone")
    assert answer.code == 2
    assert "a clone is standalone" in answer.err


def test_a_disk_without_identities_is_said_to_have_none_and_is_a_copy(vhdx_command, built, tmp_path):
    leaf, _ = built("chain-3")
    answer = vhdx_command("convert", leaf, tmp_path / "clone.raw", "--clone")
    assert answer.code == 0
    assert "no identity was found" in answer.out
    assert "warning: no identity on the disk is new" in answer.err
    assert (tmp_path / "clone.raw").read_bytes() == reads_as(leaf)


def test_no_source_is_changed(vhdx_command, disk, tmp_path):
    before = contents(disk.parent)
    vhdx_command("convert", disk, tmp_path / "clone.qcow2", "--clone", "--clone-ids", "all")
    assert contents(disk.parent) == before


@pytest.fixture
def point(vhdx_command, disk, tmp_path):
    """A repository with a restore point of the disk: its folder, and the point's name."""
    repository = tmp_path / "backups"
    vhdx_command("backup", "init", repository)
    answer = vhdx_command("backup", "create", repository, disk, "--name", "monday")
    assert answer.code == 0
    return repository, "monday"


def test_a_restore_point_comes_back_as_a_clone_with_every_identity_told(vhdx_command, disk, point, tmp_path):
    answer = vhdx_command("backup", "restore", *point, tmp_path / "second.vhdx", "--clone", "--seed", "x")
    assert answer.code == 0
    converted = vhdx_command("convert", disk, tmp_path / "clone.vhdx", "--clone", "--seed", "x")
    identities = [line for line in answer.out.splitlines() if " is now " in line]
    assert identities == [line for line in converted.out.splitlines() if " is now " in line]
    assert len(identities) == 4
    with vhdx.open_image(disk) as old, vhdx.open_image(tmp_path / "second.vhdx") as new:
        assert new.parameters.disk_id != old.parameters.disk_id
    assert reads_as(tmp_path / "second.vhdx") == reads_as(tmp_path / "clone.vhdx") != reads_as(disk)


def test_a_restored_clone_in_json_follows_the_schema(vhdx_command, point, tmp_path):
    answer = vhdx_command("backup", "restore", *point, tmp_path / "second.vhdx", "--clone", "--json")
    assert [change["what"] for change in answer.json["clone"]["changes"]][:2] == [
        "the virtual disk id",
        "the disk GUID",
    ]


@pytest.mark.parametrize("part", [["--offset", "0"], ["--length", "1M"], ["--resume"]])
def test_a_part_of_a_restore_point_is_no_clone(vhdx_command, point, tmp_path, part):
    answer = vhdx_command("backup", "restore", *point, tmp_path / "part.raw", "--clone", *part)
    assert answer.code == 2
    assert "is for a whole image in a file" in answer.err
    assert not list(tmp_path.glob("part*"))
