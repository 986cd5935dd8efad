"""What a user is told to do next can be done: the commands that advice names are run."""

import re

import pytest

from tests.support.command_line import words_of
from tests.support.files import patch

pytestmark = pytest.mark.slow

KIB = 1 << 10
HEADERS, REGION_TABLES = (64 * KIB, 128 * KIB), (192 * KIB, 256 * KIB)
COMMAND = re.compile(r"`vhdx ([^`]+)`")

posix = pytest.mark.skipif("os.name == 'nt'", reason="names are quoted for another shell there")


@pytest.fixture
def without_tables(built):
    """A file both of whose region tables are zeros."""
    leaf, _ = built("dynamic")
    for at in REGION_TABLES:
        patch(leaf, at, bytes(64 * KIB))
    return leaf


@posix
@pytest.mark.parametrize("command", ["info", "hash", "map", "history", "files"])
def test_the_recovery_that_an_error_advises_can_be_pasted(vhdx_command, without_tables, tmp_path, monkeypatch, command):
    pytest.importorskip("pytsk3") if command == "files" else None
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command(command, without_tables)
    assert answer.code == 3
    advised = [words for words in COMMAND.findall(answer.err) if words.startswith("recover")]
    assert len(advised) == 1
    assert vhdx_command(*words_of(advised[0])).code in {0, 1}
    assert (tmp_path / "disk.raw").exists()


@posix
def test_json_of_an_error_advises_the_same(vhdx_command, without_tables):
    (file,) = vhdx_command("info", without_tables, "--json").json["files"]
    assert f"`vhdx recover {without_tables} -o disk.raw`" in file["error"]["message"]


def test_what_is_cut_is_offered_to_be_recovered_when_it_is_read(vhdx_command, built):
    leaf, _ = built("dynamic")
    with leaf.open("r+b") as file:
        file.truncate(leaf.stat().st_size - (1 << 20))
    assert "`vhdx recover`" in vhdx_command("hash", leaf).err


def test_a_recovery_that_fails_does_not_advise_a_recovery(vhdx_command, tmp_path):
    path = tmp_path / "short.vhdx"
    path.write_bytes(b"vhdxfile" + bytes(1 << 18))
    answer = vhdx_command("recover", path, "-o", tmp_path / "disk.raw")
    assert answer.code == 3
    assert "vhdx recover" not in answer.err
    assert "look for other copies" in answer.err


def next_steps(answer):
    """The commands of `next:` lines, in words."""
    lines = [line for line in answer.out.splitlines() if line.startswith("   next: ")]
    assert lines
    return [words_of(words) for line in lines for words in COMMAND.findall(line)]


@posix
@pytest.mark.parametrize(
    "name",
    ["both-headers-without-signature", "both-region-tables-without-signature", "table-zeroed", "block-in-state-4"],
)
def test_every_command_that_a_repair_advises_works_on_the_file(vhdx_command, damaged, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for words in next_steps(vhdx_command("repair", damaged(name))):
        assert "repair" not in words, "that is what did not help"
        assert vhdx_command(*words, *(["--force"] if words[0] == "recover" else [])).code in {0, 1}


@posix
def test_a_repair_advises_no_map_of_a_file_that_opens_only_once_it_is_fixed(
    vhdx_command, damaged, tmp_path, monkeypatch
):
    path = damaged("block-past-the-end-of-the-file")
    patch(path, 0, b"\0\0\0\0\0\0\0\0")
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command("repair", path)
    assert vhdx_command("map", path).code == 3
    assert "not fixed: BAT-04" in answer.out
    for words in next_steps(answer):
        assert vhdx_command(*words).code in {0, 1}


@pytest.mark.parametrize(("places", "size"), [(HEADERS, 4 * KIB), (REGION_TABLES, 64 * KIB)])
@pytest.mark.parametrize("content", [b"\0", b"\xa5"])
def test_no_twin_is_advised_where_both_are_gone(vhdx_command, built, places, size, content):
    leaf, _ = built("dynamic")
    patch(leaf, places[0], content * size)
    assert "from the other copy" in vhdx_command("check", leaf).out, "one of two is written from the other"
    patch(leaf, places[1], content * size)
    answer = vhdx_command("check", leaf).out
    assert "from the other copy" not in answer
    assert "see HDR" not in answer
    assert "see REG" not in answer
    errors = [line for line in answer.splitlines() if "error HDR" in line or "error REG" in line]
    assert len(errors) == 3
    assert all("vhdx recover" in line for line in errors)


@posix
def test_a_scan_says_of_a_damaged_file_what_an_error_does(vhdx_command, without_tables, tmp_path):
    error = vhdx_command("hash", without_tables).err.removeprefix("error: ").strip()
    assert f"`vhdx recover {without_tables} -o disk.raw`" in error
    answer = vhdx_command("scan", without_tables.parent)
    assert error in answer.out
    assert "vhdx explain" not in answer.out, "what to do is told, not where it stands"
