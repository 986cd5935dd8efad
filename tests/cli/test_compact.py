"""`vhdx compact`: into a new file, and many files in their places."""

import random
import re
import sys

import pytest

from fixtures import Block, BlockState, Identity, ImageSpec, LocatorSpec, Provision, encode, stamp
from tests.analyzer.judgement.disks import volume
from tests.support.small_volume import filled_but
from vhdx.chain import open_chain
from vhdx.system import files

MIB = 1 << 20


ZEROS = Block(state=BlockState.FULLY_PRESENT, data={})


def full(number):
    return Block(state=BlockState.FULLY_PRESENT, data={0: stamp(number * MIB, MIB, 1)})


def base(name, blocks):
    return ImageSpec(size=16 * MIB, identity=Identity.of(name), blocks=blocks)


def content(path, most=64 * MIB):
    with open_chain(path) as chain:
        return chain.read(0, min(chain.size, most))


@pytest.fixture
def folder(tmp_path):
    """Two disks of which most are zeros, a fixed one, a file that is no disk, and a small one."""

    half = {0: ZEROS, 1: ZEROS, 2: full(2)}
    encode(base("one", half)).write_to(tmp_path / "one.vhdx")
    encode(base("two", half)).write_to(tmp_path / "two.vhdx")
    encode(base("small", {0: full(0)})).write_to(tmp_path / "small.vhdx")
    fixed = ImageSpec(size=MIB, identity=Identity.of("fixed"), blocks={0: full(0)}, provision=Provision.FIXED)
    encode(fixed).write_to(tmp_path / "fixed.vhdx")
    (tmp_path / "text.vhdx").write_text("no disk")
    return tmp_path


def test_of_many_each_is_made_smaller_and_a_bad_one_stops_none(vhdx_command, folder):
    before = {name: content(folder / name) for name in ("one.vhdx", "two.vhdx", "small.vhdx")}
    answer = vhdx_command("compact", "--in-place", folder, "--json")
    assert answer.code == 5  # the worst: fixed is refused with 5, what is no disk gives 3
    found = {file["path"].rpartition("/")[2]: file for file in answer.json["files"]}
    assert found["one.vhdx"]["saved"] == found["two.vhdx"]["saved"] == 2 * MIB
    assert found["one.vhdx"]["written_size"] == (folder / "one.vhdx").stat().st_size
    assert found["small.vhdx"]["skipped"]
    assert "vhdx convert" in found["fixed.vhdx"]["error"]["message"]
    assert found["text.vhdx"]["error"]
    assert before == {name: content(folder / name) for name in before}


def test_a_dry_run_says_the_same_and_changes_nothing(vhdx_command, folder):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    answer = vhdx_command("compact", "--in-place", folder / "one.vhdx", folder / "two.vhdx", "--dry-run")
    assert answer.code == 0
    assert "4 MiB would be saved" in answer.out
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_the_table_itself_says_why_a_file_was_left(vhdx_command, folder):
    said = vhdx_command("compact", "--in-place", folder / "text.vhdx", folder / "fixed.vhdx", "--dry-run").out
    assert re.search(r"text\.vhdx +left as it is: [^;(]+\n", said)
    assert re.search(r"fixed\.vhdx +left as it is: it is fixed, and keeps the room of every block\n", said)


def test_files_of_which_too_little_would_be_saved_are_left(vhdx_command, folder):
    size = (folder / "one.vhdx").stat().st_size
    answer = vhdx_command("compact", "--in-place", "--min-saving", "90%", folder / "one.vhdx")
    assert answer.code == 0
    assert "too little would be saved" in answer.out
    assert (folder / "one.vhdx").stat().st_size == size


def test_a_checkpoint_lets_go_of_blocks_that_its_parent_has_alike(vhdx_command, folder):
    parent = base("parent", {0: full(0), 1: full(1)})
    encode(parent).write_to(folder / "parent.vhdx")
    locator = LocatorSpec.full(".\\parent.vhdx", parent.data_write_guid)
    blocks = {0: full(0), 1: ZEROS, 2: full(2)}
    child = ImageSpec(size=16 * MIB, identity=Identity.of("child"), parent=locator, blocks=blocks)
    encode(child).write_to(folder / "child.avhdx")
    before = content(folder / "child.avhdx")
    answer = vhdx_command("compact", "--in-place", folder / "child.avhdx", "--json")
    assert answer.json["files"][0]["saved"] == 2 * MIB
    assert content(folder / "child.avhdx") == before
    refused = vhdx_command("compact", "--in-place", "--free-space", folder / "parent.vhdx")
    assert refused.code == 0  # it has no volume, so nothing of it is free


@pytest.mark.slow
def test_a_file_that_others_were_made_upon_keeps_its_free_space(vhdx_command, tmp_path):
    (tmp_path / "disk.raw").write_bytes(volume("ext4", 2))
    assert vhdx_command("convert", tmp_path / "disk.raw", tmp_path / "disk.vhdx").code == 0
    assert vhdx_command("create", tmp_path / "child.avhdx", "--parent", tmp_path / "disk.vhdx").code == 0
    answer = vhdx_command("compact", "--in-place", "--free-space", tmp_path / "disk.vhdx")
    assert answer.code == 5
    assert "child.avhdx was made upon it" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [["one.vhdx"], ["one.vhdx", "a.vhdx", "b.vhdx"], ["one.vhdx", "a.vhdx", "--min-saving", "20%"],
     ["--in-place", "one.vhdx", "-o", "x.vhdx"], ["--in-place", "one.vhdx", "--min-saving", "lots"],
     ["one.vhdx", "-"]],
)  # fmt: skip
def test_what_means_nothing_together_is_refused(vhdx_command, folder, monkeypatch, arguments):
    monkeypatch.chdir(folder)
    assert vhdx_command("compact", *arguments).code == 2


@pytest.mark.slow
def test_what_a_full_disk_lacks_is_said_and_the_same_command_goes_on(vhdx_command, small_volume):
    """Blocks move to where the host has holes; a larger disk needs a larger table, and the file a log."""
    path, room = small_volume / "disk.vhdx", small_volume / "filler"
    held = {number: Block(state=BlockState.FULLY_PRESENT, data={0: random.Random(number).randbytes(MIB)})
            for number in range(12, 20)}  # fmt: skip
    encode(ImageSpec(size=32 * MIB, identity=Identity.of("full"), blocks=dict.fromkeys(range(12), ZEROS) | held)
    ).write_to(path)  # fmt: skip
    wanted = content(path)
    for words in (("compact", "--in-place", path), ("resize", path, "300G", "--in-place")):
        filled_but(0, small_volume)
        stopped = vhdx_command(*words)
        assert stopped.code == 5
        assert re.search("the file system is full; what is left takes up to .* MiB, and .* are free", stopped.err)
        assert content(path, 32 * MIB) == wanted
        room.unlink()
        assert vhdx_command(*words).code == 0
        assert content(path, 32 * MIB) == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="holes are made by Linux")
def test_holes_are_made_where_a_file_is_zeros_if_they_are_asked_for(vhdx_command, tmp_path):
    path = tmp_path / "disk.vhdx"
    encode(base("holes", {0: full(0), 3: Block(state=BlockState.FULLY_PRESENT, data={0: b"x" * 512})})).write_to(path)
    path.write_bytes(path.read_bytes())  # no holes
    wanted, size, held = content(path), path.stat().st_size, path.stat().st_blocks * 512
    answer = vhdx_command("compact", "--in-place", "--host-sparse", path, "--json")
    assert answer.code == 0
    (done,) = answer.json["files"]
    assert (content(path), path.stat().st_size) == (wanted, size)
    spare = 64 << 10  # the host's own map of many extents
    assert path.stat().st_blocks * 512 - spare <= held - done["host_freed_bytes"] < held - MIB


def test_holes_are_refused_where_windows_reads_the_file(vhdx_command, folder, monkeypatch):
    monkeypatch.setattr(files, "is_read_by_windows", lambda _: True)
    answer = vhdx_command("compact", "--in-place", "--host-sparse", folder / "one.vhdx")
    assert (answer.code, "0xC03A001A" in answer.err) == (5, True)
