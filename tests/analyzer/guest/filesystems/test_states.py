"""Files listed, taken out and compared, in every state of a chain, for every file system: as the test made them."""

import csv
import io
import os
import shutil
import subprocess
import sys

import pytest

from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import MAKERS, POKE, content, need
from tests.support.files import ROOT, patch

pytestmark = pytest.mark.peers
KINDS = list(MAKERS)


def listed(answer):
    """{path: size} of the files of an answer, without lost+found."""
    return {f["path"][1:]: f["size"] for f in answer["files"] if f["kind"] == "file"}


def written(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_both_states_are_listed_with_their_sizes(vhdx_command, states_of, kind):
    states = states_of(kind)
    for name, holds in ((f"{states.leaf}@0", states.before), (states.leaf, states.after)):
        answer = vhdx_command("files", name, "-r", "--json")
        assert answer.code == 0
        assert listed(answer.json) == {path: len(data) for path, data in holds.items()}
        (volume,) = answer.json["volumes"]
        assert volume["type"] == kind
        assert volume["label"] in {"Daten", "STICK", "CARD", "root"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_taken_out_of_both_states_is_what_was_put_in(vhdx_command, states_of, kind, tmp_path):
    states = states_of(kind)
    for number, holds in ((0, states.before), (1, states.after)):
        out = tmp_path / f"out{number}"
        answer = vhdx_command("extract", f"{states.leaf}@{number}", "/", "-o", out, "--json")
        assert answer.code == 0
        assert answer.json["renamed"] == answer.json["left_out"] == []
        assert written(out) == holds


@pytest.mark.parametrize("verify", [[], ["--verify"]])
@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_changed_are_those_that_the_test_changed(vhdx_command, states_of, kind, verify):
    states = states_of(kind)
    answer = vhdx_command("changes", f"{states.leaf}@0", states.leaf, "--files", "--json", *verify)
    assert answer.code == 1
    assert told(answer.json) == states.done
    assert answer.json["method"] == ("verified" if verify else "provenance")
    poked = next(file for file in answer.json["files"] if file["path"] == "/poked.bin")
    assert poked["ranges"] == [[POKE[0] // 512 * 512, 1024 - 512]] or poked["ranges"] == [[512, 1024]]
    assert "size" not in poked["fields"]
    compared = {file["path"] for file in answer.json["files"] if file["data"] is not None}
    assert compared == {
        file["path"]
        for file in answer.json["files"]
        if file["old"] and file["new"] and file["old"]["kind"] == file["new"]["kind"] == "file"
    }
    assert not compared & {"/gone.txt", "/new.bin", "/papers"}
    assert answer.json["troubles"] == answer.json["unread"] == []


def told(answer):
    """{(what, path, path before)}, metadata alone left out: other programs touch what they like."""
    return {
        (file["what"], file["path"][1:], file["old"] and file["old"]["path"][1:])
        for file in answer["files"]
        if file["what"] != "metadata"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_two_raw_images_differ_in_the_same_files_by_content(vhdx_command, states_of, kind):
    states = states_of(kind)
    answer = vhdx_command("changes", *states.raw, "--files", "--json")
    assert answer.json["method"] == "content"
    assert told(answer.json) == states.done


@pytest.mark.parametrize("kind", KINDS)
def test_csv_and_text_tell_the_same_files(vhdx_command, states_of, kind):
    states = states_of(kind)
    of_both = (f"{states.leaf}@0", states.leaf, "--files")
    rows = list(csv.DictReader(io.StringIO(vhdx_command("changes", *of_both, "--csv").out)))
    assert {
        (r["what"], r["path"][1:], r["old_path"][1:] or None) for r in rows if r["what"] != "metadata"
    } == states.done
    text = vhdx_command("changes", *of_both).out
    assert all(f"{what:<9} 1:/{path}" in text for what, path, _ in states.done)


def test_what_was_written_elsewhere_with_the_bytes_that_it_had_holds_the_same(vhdx_command, tmp_path):
    need("ntfs")
    before, after = tmp_path / "before.raw", tmp_path / "after.raw"
    data = {"/a": content(1, 20_000), "/b": content(2, 30_000)}
    images.make_ntfs(before)
    images.edit_ntfs(before, *(("write", *item) for item in data.items()))
    shutil.copy(before, after)
    images.edit_ntfs(
        after, ("grow", "/a", 0), ("grow", "/b", 0), ("write", "/b", data["/b"]), ("write", "/a", data["/a"])
    )
    leaf = images.chain_of(tmp_path / "chain", before, after)
    listed = [{f["path"]: f["content"] for f in vhdx_command("files", state, "--json").json["files"]}
              for state in (f"{leaf}@0", leaf)]  # fmt: skip
    assert all(listed[0][path] != listed[1][path] for path in data)
    files = vhdx_command("changes", f"{leaf}@0", leaf, "--files", "--json").json["files"]
    assert {(file["what"], file["data"]) for file in files} <= {("metadata", "same")}


def test_an_alternate_stream_that_differs_is_named_and_no_bytes_of_the_file_are_said_to(vhdx_command, tmp_path):
    need("ntfs")
    before, after = tmp_path / "before.raw", tmp_path / "after.raw"
    data = {"poked": content(1, 20_000), "kept": content(2, 20_000)}
    images.make_ntfs(before)
    images.edit_ntfs(before, ("write", "/file", b"data"), *(("stream", "/file", *item) for item in data.items()))
    images.edit_ntfs(before, ("write", "/other", b"data"))
    after.write_bytes(before.read_bytes().replace(data["poked"][:4096], bytes(4096)))
    images.edit_ntfs(after, ("stream", "/other", "new", b"x"))
    files = {
        file["path"]: (file["what"], file["data"], file["range_count"], file["streams"])
        for file in vhdx_command("changes", before, after, "--files", "--json").json["files"]
    }
    assert files == {
        "/file": ("changed", "changed", 0, ["poked"]),
        "/other": ("changed", "changed", 0, ["new"]),
    }
    text = vhdx_command("changes", before, after, "--files").out
    assert "1:/file: not the same: stream poked\n" in text
    assert "0 bytes" not in text
    rows = csv.DictReader(io.StringIO(vhdx_command("changes", before, after, "--files", "--csv").out))
    assert {row["path"]: row["streams"] for row in rows} == {"/file": "poked", "/other": "new"}


def test_a_volume_that_was_made_anew_has_other_files_under_its_names(vhdx_command, tmp_path):
    need("ntfs")
    states = [images.make_ntfs(tmp_path / f"{n}.raw") for n in range(2)]
    for number, state in enumerate(states):
        images.edit_ntfs(state, ("write", "/same name", content(1, 5000)), ("write", f"/only {number}", b"x"))
    patch(states[1], 72, b"another!")  # the serial number, which mkntfs draws from the second it was made in
    answer = vhdx_command("changes", *states, "--files", "--json")
    assert told(answer.json) == {
        ("replaced", "same name", "same name"), ("deleted", "only 0", "only 0"), ("created", "only 1", None),
    }  # fmt: skip
    (same,) = [file for file in answer.json["files"] if file["what"] == "replaced"]
    assert same["data"] == "same"


def test_a_volume_that_cannot_be_looked_into_is_said_to_have_changed(vhdx_command, tmp_path):
    pytest.importorskip("pytsk3")
    for number in range(2):
        images.empty(tmp_path / f"{number}.raw", images.MIB)
        (tmp_path / f"{number}.raw").write_bytes(b"XFSB" + bytes(5000) + bytes([number]) + bytes(507))
    answer = vhdx_command("changes", tmp_path / "0.raw", tmp_path / "1.raw", "--files", "--json")
    assert answer.code == 1
    assert "it is XFS" in answer.json["unread"][0]


@pytest.mark.parametrize("more", [["--list"], ["--granularity", "4K"], ["--bitmap", "x"], ["--export", "x"]])
def test_files_do_not_go_with_what_lists_ranges(vhdx_command, tmp_path, more):
    disk = images.empty(tmp_path / "disk.raw", images.MIB)
    assert vhdx_command("changes", disk, disk, "--files", *more).code == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_has_the_files_that_it_has(vhdx_command, states_of, kind):
    states = states_of(kind)
    answer = vhdx_command("changes", states.leaf, states.leaf, "--files")
    assert answer.code == 0
    assert "none differs" in answer.out
    assert vhdx_command("changes", states.leaf, states.raw[1], "--files").code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_file_goes_to_stdout(states_of, kind):
    states = states_of(kind)
    command = [sys.executable, "-m", "cli", "extract", str(states.leaf), "/grown.txt", "-o", "-"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, check=True, capture_output=True, env=environment).stdout == states.after["grown.txt"]
