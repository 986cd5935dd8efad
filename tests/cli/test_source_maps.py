"""Every command reads a file that ddrescue copied by the map of that copy: what was never read is no data."""

import pytest

from tests.vhdx.test_source_maps import KIB, MIB, a_file, copied_in_part, map_text, unread_page
from vhdx.ranges import NO_RANGES, Range, Ranges

SAID = "were not read when it was copied"


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MiB, a page of it unread, and where the map is."""
    path = a_file(tmp_path)
    return path, copied_in_part(path, unread_page(path))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["info", "disk.vhdx"], 1),
        (["map", "disk.vhdx"], 1),
        (["map", "--own", "disk.vhdx"], 1),
        (["hash", "disk.vhdx"], 3),
        (["convert", "disk.vhdx", "out.raw"], 3),
        (["merge", "disk.vhdx", "out.vhdx"], 3),
        (["files", "disk.vhdx"], 3),
        (["check", "disk.vhdx"], 1),
        (["check", "--chain", "disk.vhdx"], 1),
        (["report", "disk.vhdx", "-o", "out.html"], 1),
        (["scan", "."], 1),
        (["recover", "disk.vhdx", "-o", "out.raw"], 1),
        (["recover", "disk.vhdx", "--dry-run"], 1),
    ],
    ids=str,
)
def test_every_command_says_that_not_all_was_read_and_gives_none_of_it_as_data(
    vhdx_command, disk, tmp_path, monkeypatch, words, code
):
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command(*words)
    said = (tmp_path / "out.html").read_text() if words[0] == "report" else answer.out + answer.err
    assert (answer.code, "disk.vhdx.map" in said, SAID in said) == (code, True, True)


@pytest.mark.parametrize("words", [["hash"], ["map"], ["check"], ["info"]], ids=" ".join)
def test_a_map_of_another_name_is_given(vhdx_command, disk, words):
    path, place = disk
    moved = place.rename(place.with_name("of=monday.txt"))
    assert SAID not in vhdx_command(*words, path).err + vhdx_command(*words, path).out
    answer = vhdx_command(*words, path, "--source-map", f"{path}={moved}")
    assert SAID in answer.out + answer.err


def test_scan_names_a_map_that_no_file_is_read_by_with_the_file_that_it_fits(vhdx_command, disk):
    path, place = disk
    moved = place.rename(place.with_name("rescue.log"))
    answer = vhdx_command("scan", path.parent)
    assert f"{moved} is a map of GNU ddrescue, and no file is read by it" in answer.out + answer.err
    assert f"--source-map {path}={moved}" in (answer.out + answer.err).replace("\n", "")


def test_a_map_that_is_not_there_is_a_slip_of_the_pen(vhdx_command, disk):
    path, _ = disk
    answer = vhdx_command("hash", path, "--source-map", f"{path}=nowhere.map")
    assert (answer.code, "does not name a file and its map" in answer.err) == (2, True)


def test_a_map_that_does_not_fit_is_said_and_nothing_is_read(vhdx_command, disk):
    path, place = disk
    place.write_text(map_text(MIB, NO_RANGES))
    for words in (["hash"], ["check"], ["recover", "--dry-run"]):
        answer = vhdx_command(*words, path)
        assert answer.code
        assert "does not fit" in answer.out + answer.err


def test_recover_takes_a_map_among_its_inputs_and_has_what_was_not_read_as_lost(vhdx_command, disk, tmp_path):
    path, place = disk
    moved = place.rename(tmp_path / "monday.log")
    answer = vhdx_command("recover", moved, path, "-o", tmp_path / "out.raw", "--json")
    totals = answer.json["totals"]
    assert (answer.code, totals["lost"], totals["known"]) == (1, 4 * KIB, 8 * MIB - 4 * KIB)
    whole = bytearray(b"".join(bytes([1 + number]) * MIB for number in range(8)))
    whole[7 * MIB : 7 * MIB + 4 * KIB] = bytes(4 * KIB)
    assert (tmp_path / "out.raw").read_bytes() == whole


def test_a_header_that_was_not_read_is_rebuilt_by_recover(vhdx_command, tmp_path):
    path = a_file(tmp_path)
    copied_in_part(path, Ranges.of([Range(0, MIB)]))
    answer = vhdx_command("hash", path)
    assert (answer.code, "disk.vhdx.map" in answer.err) == (3, True)
    answer = vhdx_command("recover", path, "-o", tmp_path / "out.raw", "--json")
    assert answer.code == 1
    assert (tmp_path / "out.raw").read_bytes() == b"".join(bytes([1 + number]) * MIB for number in range(8))


def test_what_was_not_read_and_is_of_no_block_is_a_warning_and_no_more(vhdx_command, tmp_path):
    path = a_file(tmp_path)
    copied_in_part(path, Ranges.of([Range(MIB, 4 * KIB)]))  # the log, which is closed
    answer = vhdx_command("convert", path, tmp_path / "out.raw")
    assert (answer.code, SAID in answer.err, "may be wrong" in answer.err) == (0, True, False)
    assert (tmp_path / "out.raw").read_bytes() == b"".join(bytes([1 + number]) * MIB for number in range(8))
