"""`vhdx merge LEAF --into PARENT`: the command, its plan, its refusals, and going on."""

import re
import struct
import sys

import pytest

import vhdx
from analyzer.merge import run as running
from fixtures import Block, BlockState, Identity, ImageSpec, encode, stamp
from fixtures.constants import MIB
from fixtures.recipes.kit import child_of
from tests.support.command_line import contents, words_of
from vhdx.edit.editor import Editor
from vhdx.errors import FileSystemFullError
from vhdx.in_place import EditedFile, open_edited
from vhdx.runs import Kind
from vhdx.system import files

SIZE = 8 * MIB
FULL, PARTIAL = BlockState.FULLY_PRESENT, BlockState.PARTIALLY_PRESENT


def blocks(tag, numbers, state=PARTIAL):
    return {number: Block(state=state, data={8: stamp(number * MIB + 8 * 512, 8192, tag)}) for number in numbers}


@pytest.fixture
def folder(tmp_path):
    """base.vhdx <- mid.avhdx <- leaf.avhdx, and the disk that each shows."""
    base = ImageSpec(size=SIZE, identity=Identity.of("base"), blocks=blocks(1, (0, 1, 2), FULL))
    mid = child_of(base, "mid", blocks(2, (1, 3)), path=".\\base.vhdx")
    leaf = child_of(mid, "leaf", blocks(3, (2, 5)), path=".\\mid.avhdx")
    for name, spec in (("base.vhdx", base), ("mid.avhdx", mid), ("leaf.avhdx", leaf)):
        encode(spec).write_to(tmp_path / name)
    return tmp_path


def disk(path):
    with vhdx.open_chain(path) as chain:
        return chain.read(0, chain.size)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_chain_goes_into_its_base_and_the_merged_files_are_kept_under_another_name(vhdx_command, folder):
    wanted = disk(folder / "leaf.avhdx")
    answer = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx", "--json")
    assert answer.code == 0
    assert disk(folder / "base.vhdx") == wanted
    assert names(folder) == ["base.vhdx", "leaf.avhdx.merged", "mid.avhdx.merged"]
    assert answer.json["into"]["outcome"]["written_bytes"] > 0
    assert disk(folder / "leaf.avhdx.merged") == wanted  # by what its locators name and by identity
    assert vhdx_command("check", folder / "base.vhdx").code == 0


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(vhdx_command, folder):
    before = contents(folder)
    asked = "merge", folder / "leaf.avhdx", "--into", folder / "mid.avhdx", "--dry-run"
    answer = vhdx_command(*asked, "--json")
    assert (answer.code, contents(folder)) == (0, before)
    told = answer.json["into"]
    assert (told["new_blocks"], told["held_bytes"], told["outcome"]) == (2, 16384, None)
    assert (
        "nothing was changed"
        in vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "mid.avhdx", "--dry-run").out
    )


def test_files_made_upon_the_leaf_are_linked_to_the_parent(vhdx_command, folder):
    wanted = disk(folder / "leaf.avhdx")
    answer = vhdx_command("merge", folder / "mid.avhdx", "--into", folder / "base.vhdx", "--delete")
    assert (answer.code, names(folder)) == (0, ["base.vhdx", "leaf.avhdx"])
    with vhdx.open_chain(folder / "leaf.avhdx") as chain:
        assert [layer.path.name for layer in chain.layers] == ["base.vhdx", "leaf.avhdx"]
    assert disk(folder / "leaf.avhdx") == wanted


def test_other_children_are_refused_with_their_name_unless_they_are_accepted(vhdx_command, folder):
    before = contents(folder)
    refused = vhdx_command("merge", folder / "mid.avhdx", "--into", folder / "base.vhdx")
    assert refused.code == 0  # leaf.avhdx is made upon mid.avhdx: it is no obstacle
    for name, data in before.items():
        (folder / name).write_bytes(data)
    (folder / "mid.avhdx.merged").unlink()
    (folder / "twin.avhdx").write_bytes((folder / "mid.avhdx").read_bytes())
    refused = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    assert refused.code == 5
    assert "twin.avhdx was made upon" in refused.err
    assert "--accept-siblings" in refused.err
    accepted = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx", "--accept-siblings")
    assert accepted.code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["leaf.avhdx", "--into", "leaf.avhdx"], "it is .*leaf.avhdx itself"),
        (["leaf.avhdx", "out.vhdx", "--into", "base.vhdx"], "leave OUT out"),
        (["leaf.avhdx", "--into", "base.vhdx", "--fixed"], "--fixed"),
        (["leaf.avhdx", "--into", "base.vhdx", "--block-size", "2M"], "what shapes an output"),
        (["leaf.avhdx", "out.vhdx", "--delete"], "are for --into"),
        (["leaf.avhdx"], "or a parent with --into"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_touched(vhdx_command, folder, monkeypatch, arguments, said):
    monkeypatch.chdir(folder)
    before = contents(folder)
    answer = vhdx_command("merge", *arguments)
    assert answer.code in {2, 5}
    assert re.search(said, answer.err)
    assert contents(folder) == before


def test_a_log_that_another_program_left_is_refused_with_what_applies_it(vhdx_command, folder):
    with open_edited(folder / "base.vhdx") as medium:
        editor = Editor(medium)
        editor.set_block(7, BlockState.ZERO)
        editor.session.commit()  # and never ended
    answer = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    assert answer.code == 5
    assert "vhdx repair" in answer.err


def test_a_parent_that_was_written_to_is_refused_though_the_mismatch_is_accepted(vhdx_command, folder):
    with (
        open_edited(folder / "base.vhdx") as medium,
        Editor(medium, data_write_guid=Identity.of("x").data_write_guid) as one,
    ):
        one.end()
    answer = vhdx_command("merge", folder / "mid.avhdx", "--into", folder / "base.vhdx", "--on-mismatch", "accept")
    assert answer.code == 5
    assert "is not the file that" in answer.err


def test_a_name_that_is_taken_is_refused_before_anything_is_merged(vhdx_command, folder):
    (folder / "mid.avhdx.merged").write_bytes(b"other")
    answer = vhdx_command("merge", folder / "mid.avhdx", "--into", folder / "base.vhdx")
    assert answer.code == 5
    assert "exists already" in answer.err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FileSystemFullError("base.vhdx"), OSError(5, "bad")])
def test_whatever_breaks_it_off_the_disk_is_the_same_and_the_same_command_goes_on(
    vhdx_command, folder, monkeypatch, error
):
    wanted = disk(folder / "leaf.avhdx")
    real, calls = running.BlockMerger.merge, []

    def broken(merger, block, own):
        calls.append(block)
        if len(calls) == 3:
            raise error
        real(merger, block, own)

    with monkeypatch.context() as patched:
        patched.setattr(running, "_PAGES", 1)
        patched.setattr(running.BlockMerger, "merge", broken)
        answer = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    assert answer.code in {6, 130}
    if not isinstance(error, OSError):
        assert "the same" in answer.err
    assert disk(folder / "leaf.avhdx") == wanted
    again = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    assert again.code == 0
    assert "going on with a merge that was begun" in again.err
    assert disk(folder / "base.vhdx") == wanted


def broken_off(monkeypatch, at=3):
    """A context in which the merge of the block of that number is interrupted, and every block is a batch."""
    real, calls = running.BlockMerger.merge, []

    def broken(merger, block, own):
        calls.append(block)
        if len(calls) == at:
            raise KeyboardInterrupt
        real(merger, block, own)

    monkeypatch.setattr(running, "_PAGES", 1)
    monkeypatch.setattr(running.BlockMerger, "merge", broken)


@pytest.mark.parametrize("is_broken_off", [False, True])
@pytest.mark.parametrize("into", ["base.vhdx", "mid.avhdx"])
def test_the_old_state_stays_as_a_checkpoint_upon_the_merged_parent(
    vhdx_command, folder, monkeypatch, into, is_broken_off
):
    wanted, old = disk(folder / "leaf.avhdx"), disk(folder / into)
    asked = "merge", folder / "leaf.avhdx", "--into", folder / into, "--keep-old", folder / "old.avhdx"
    if is_broken_off:
        with monkeypatch.context() as patched:
            broken_off(patched, at=2)
            assert vhdx_command(*asked).code == 130
        assert disk(folder / "leaf.avhdx") == wanted
        assert disk(folder / "old.avhdx") == old
    assert vhdx_command(*asked).code == 0
    assert disk(folder / into) == wanted
    assert disk(folder / "old.avhdx") == old
    assert vhdx_command("check", folder / "old.avhdx").code == 0


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_an_undo_file_brings_the_parent_back_bit_for_bit(vhdx_command, folder, monkeypatch, is_broken_off):
    before, wanted = (folder / "base.vhdx").read_bytes(), disk(folder / "leaf.avhdx")
    asked = "merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx", "--undo", folder / "base.undo"
    if is_broken_off:
        with monkeypatch.context() as patched:
            broken_off(patched)
            assert vhdx_command(*asked).code == 130
        again = vhdx_command(*asked)
        assert (again.code, disk(folder / "base.vhdx") == wanted) == (0, True)
    else:
        assert "vhdx undo" in vhdx_command(*asked).out
        assert disk(folder / "base.vhdx") == wanted
    for _ in range(2):
        assert vhdx_command("undo", folder / "base.vhdx", folder / "base.undo").code == 0
        assert (folder / "base.vhdx").read_bytes() == before
    for name in ("mid", "leaf"):
        (folder / f"{name}.avhdx.merged").rename(folder / f"{name}.avhdx")
    assert disk(folder / "leaf.avhdx") == wanted


def test_an_undo_file_of_another_parent_or_of_one_that_changed_since_is_refused(vhdx_command, folder):
    asked = "--into", folder / "base.vhdx", "--undo", folder / "base.undo"
    assert vhdx_command("merge", folder / "leaf.avhdx", *asked).code == 0
    assert vhdx_command("undo", folder / "leaf.avhdx.merged", folder / "base.undo").code == 5
    identity = Identity.of("since").data_write_guid
    with open_edited(folder / "base.vhdx") as medium, Editor(medium, data_write_guid=identity) as editor:
        editor.end()
    assert vhdx_command("undo", folder / "base.vhdx", folder / "base.undo").code == 5


def test_what_cannot_be_kept_any_more_is_refused(vhdx_command, folder, monkeypatch):
    with monkeypatch.context() as patched:
        broken_off(patched)
        vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    for option in ("--keep-old", "--undo"):
        answer = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx", option, folder / "kept")
        assert answer.code == 5
        assert "not whole any more" in answer.err
    for option in ("--drain", "--delete"):
        asked = "--into", folder / "mid.avhdx", "--undo", folder / "kept", option
        assert "cannot take back" in vhdx_command("merge", folder / "leaf.avhdx", *asked).err


def test_a_drained_file_holds_nothing_and_shows_the_same(vhdx_command, folder):
    wanted = disk(folder / "leaf.avhdx")
    answer = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx", "--drain")
    assert answer.code == 0
    assert disk(folder / "base.vhdx") == wanted
    assert disk(folder / "leaf.avhdx.merged") == wanted
    with vhdx.open_image(folder / "leaf.avhdx.merged") as image:
        assert len(image.runs().of_kind(Kind.HOLE)) == len(image.runs())


def test_what_the_host_still_needs_is_said(vhdx_command, folder):
    (folder / "base.vhdx.rct").write_bytes(b"")
    told = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx").out
    assert "Set-VMHardDiskDrive" in told
    assert "'leaf.avhdx'" in told
    assert "base.vhdx.rct tracks changes" in told
    assert "icacls 'base.vhdx'" in told


def test_of_a_middle_layer_the_machine_is_not_touched(vhdx_command, folder):
    told = vhdx_command("merge", folder / "mid.avhdx", "--into", folder / "base.vhdx").out
    assert "Set-VMHardDiskDrive" not in told


@pytest.mark.skipif(sys.platform != "linux", reason="QEMU's locks as Linux has them")
@pytest.mark.parametrize("name", ["base.vhdx", "mid.avhdx"])
def test_a_file_that_qemu_has_open_is_refused(vhdx_command, folder, name):
    import fcntl

    with (folder / name).open("rb") as file:  # QEMU locks bytes 100 and 201, by the open file
        fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 100, 1, 0))
        answer = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    assert answer.code == 6
    assert "another program uses it" in answer.err


def test_a_merge_that_was_begun_is_completed_by_what_scan_advises(vhdx_command, folder, monkeypatch):
    wanted = disk(folder / "leaf.avhdx")
    with monkeypatch.context() as patched:
        broken_off(patched)
        vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    told = vhdx_command("scan", folder).out
    command = re.search(r"was begun and is not finished: `vhdx (.*?)` goes on", told.replace("\n", " "))[1]
    assert vhdx_command(*words_of(command)).code == 0
    assert disk(folder / "leaf.avhdx") == wanted
    again = vhdx_command("scan", folder)
    assert "was begun" not in again.out
    assert f"current state: {folder / 'leaf.avhdx'}" in again.out
    assert again.code == 0


def test_a_file_that_was_put_away_is_not_the_current_state(vhdx_command, folder):
    vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx")
    told = vhdx_command("scan", folder)
    assert f"current state: {folder / 'base.vhdx'} (it already holds all that" in told.out


def test_what_an_interrupted_drain_leaves_without_owner_is_no_loss(vhdx_command, folder, monkeypatch):
    """Killed after a file let go of its only block, and before the host had the room back."""
    wanted = disk(folder / "leaf.avhdx")
    asked = "merge", folder / "leaf.avhdx", "--into", folder / "mid.avhdx", "--drain", "--delete"

    def killed(_file, part):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EditedFile, "release", killed)
        assert vhdx_command(*asked).code == 130
    assert disk(folder / "leaf.avhdx") == wanted
    assert vhdx_command("hash", folder / "leaf.avhdx").code == 0
    assert vhdx_command(*asked).code == 0
    assert disk(folder / "mid.avhdx") == wanted


@pytest.mark.parametrize("option", [["--drain"], ["--drain", "--dry-run"]])
def test_draining_is_refused_where_no_room_comes_back(vhdx_command, folder, monkeypatch, option):
    monkeypatch.setattr(files, "takes_room_back", lambda _: False)
    before = contents(folder)
    answer = vhdx_command("merge", folder / "leaf.avhdx", "--into", folder / "base.vhdx", *option)
    assert (answer.code, contents(folder)) == (5, before)
    assert "cannot be given back" in answer.err
    assert "merge without --drain" in answer.err
