"""A table that lost entries: every command that reads the disk says so, none writes it unsaid, and the advice works."""

import re

import pytest

from tests.support.command_line import words_of

READING = {
    "merge": ["out.vhdx"],
    "merge-clone": ["out.vhdx", "--clone"],
    "convert": ["out.raw"],
    "hash": [],
    "map": [],
    "map-own": ["--own"],
    "info": [],
    "files": [],
    "changes": ["{whole}"],
    "report": ["-o", "out.html"],
}


@pytest.fixture
def lost(damaged):
    """A file whose table lost the entry of the block that the GPT begins in."""
    return damaged("first-entry-lost-that-the-gpt-needs")


@pytest.fixture
def unexplained(damaged):
    """A file that has data without an owner, and no volume that says anything."""
    return damaged("entry-of-the-last-block-lost")


def call(vhdx_command, name, path, whole, folder, *options):
    words = [word.format(whole=whole) for word in READING[name]]
    words = [folder / word if word.startswith("out.") else word for word in words]
    return vhdx_command(name.split("-")[0], path, *words, *options)


@pytest.mark.parametrize("name", READING)
def test_every_command_says_that_entries_were_lost_and_names_recover(vhdx_command, lost, built, tmp_path, name):
    answer = call(vhdx_command, name, lost, built("volume-gpt-ntfs")[0], tmp_path)
    assert "cannot be believed" in answer.err
    assert f"`vhdx recover {lost} -o disk.raw`" in answer.err
    assert answer.code == {"merge": 3, "convert": 3, "hash": 3}.get(name.split("-")[0], answer.code)
    assert answer.code != 0 or name in {"files", "changes"}
    assert not [path for path in tmp_path.glob("out.*") if path.suffix != ".html"]


@pytest.mark.parametrize("name", ["merge", "convert", "hash", "map", "map-own"])
def test_trust_table_reads_by_the_letter_and_says_so(vhdx_command, lost, tmp_path, name):
    answer = call(vhdx_command, name, lost, None, tmp_path, "--trust-table")
    assert answer.code in {0, 1}
    assert "by the letter all the same, as --trust-table asks" in answer.err
    again = [] if name.startswith(("hash", "map")) else ["--force"]
    plain = call(vhdx_command, name, lost, None, tmp_path, "--trust-table", "--json", *again)
    said = [finding for finding in plain.json["findings"] if finding["code"] == "BAT-22"]
    assert [finding["severity"] for finding in said] == ["warning"]
    assert "--trust-table" in said[0]["message"]


def test_a_restore_point_is_refused_and_with_allow_lost_lists_the_range(vhdx_command, lost, tmp_path):
    store = tmp_path / "store"
    assert vhdx_command("backup", "init", store).code == 0
    refused = vhdx_command("backup", "create", store, lost)
    assert refused.code == 3
    assert "vhdx recover" in refused.err
    made = vhdx_command("backup", "create", store, lost, "--allow-lost", "--json")
    assert made.json["points"][0]["lost"]


def test_a_report_by_the_letter_says_so_on_its_page(vhdx_command, lost, tmp_path):
    call(vhdx_command, "report", lost, None, tmp_path, "--trust-table")
    assert "by the letter all the same" in (tmp_path / "out.html").read_text()


@pytest.mark.parametrize("name", ["merge", "convert", "hash"])
def test_room_without_an_owner_is_a_warning_and_no_refusal(vhdx_command, unexplained, tmp_path, name):
    answer = call(vhdx_command, name, unexplained, None, tmp_path)
    assert answer.code == 0
    assert re.search(
        r"\d+ MiB of the file hold data and belong to no block: trimmed, or the table lost them", answer.err
    )


@pytest.mark.parametrize("which", ["lost", "unexplained"])
def test_the_command_that_is_advised_writes_the_disk_and_calls_nothing_known_that_is_in_doubt(
    vhdx_command, request, tmp_path, monkeypatch, which
):
    monkeypatch.chdir(tmp_path)
    warned = vhdx_command("hash", request.getfixturevalue(which)).err
    command = re.search(r"`vhdx (recover [^`]*)`", warned)[1]
    answer = vhdx_command(*words_of(command))
    assert answer.code == 1
    assert (tmp_path / "disk.raw").exists()
    statuses = {line.split()[-1] for line in (tmp_path / "disk.raw.map").read_text().splitlines() if line[:2] == "0x"}
    assert statuses & {"/", "-"}
