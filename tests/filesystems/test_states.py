"""Files listed, taken out and compared, in every state of a chain, for every file system: as the test made them."""

import csv
import io
import os
import subprocess
import sys

import pytest

from tests.corpus_files import ROOT
from tests.filesystems.conftest import MAKERS, POKE

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
