"""`vhdx recover --as-of` and `--anchored` on the command line: what is told, what is written, what is refused."""

import json

import pytest

from analyzer.recover.inputs.layers import UnmappedBlocks, View
from tests.analyzer.recover.as_of.stages import FIRST, MIB, read, recovered, story
from tests.analyzer.recover.as_of.test_anchored import UNMAPPED, file_with
from tests.support.command_line import require_valid


@pytest.fixture
def tale():
    return story(1, range(6))


@pytest.fixture
def logged(tale, tmp_path):
    """A file with a story in its log."""
    path = tmp_path / "disk.vhdx"
    path.write_bytes(tale.data)
    return path


def test_the_state_of_an_entry_is_written_and_none_of_it_is_called_known(vhdx_command, logged, tale, tmp_path):
    before, out = logged.read_bytes(), tmp_path / "then.raw"
    answer = vhdx_command("recover", logged, "--as-of", FIRST + 2, "-o", out, "--json")
    assert answer.code == 1
    require_valid(answer.json)
    require_valid(json.loads(out.with_name("then.raw.json").read_text()))
    assert answer.json["totals"]["known"] == 0
    assert {run[6] for run in answer.json["runs"]} == {"as of", "damaged"}
    past = answer.json["layers"][-1]["past"]
    assert (past["log_entry"], past["reaches_the_present"], past["anchored_bytes"]) == (FIRST + 2, True, None)
    wanted = (tale.expected(2, block) or bytes(MIB) for block in range(6))
    assert out.read_bytes() == b"".join(wanted)
    assert logged.read_bytes() == before


def test_a_session_is_named_as_history_lists_it(vhdx_command, logged):
    session = vhdx_command("history", logged, "--json").json["sessions"][-1]
    answer = vhdx_command("recover", logged, "--as-of", session["log_guid"], "--dry-run")
    assert answer.code == 1
    assert f"as of log entry {session['last_sequence']}, session {session['log_guid']}" in answer.out


def test_a_map_of_the_present_is_not_gone_on_with_for_an_earlier_state(vhdx_command, logged, tale, tmp_path):
    out = tmp_path / "out.raw"
    assert vhdx_command("recover", logged, "-o", out, "--json").json["totals"]["lost"] == 0
    answer = vhdx_command("recover", logged, "--as-of", FIRST, "-o", out, "--resume")
    assert (answer.code, answer.out) == (5, "")
    assert "it is not about this disk" in answer.err
    again = vhdx_command("recover", logged, "--as-of", FIRST, "-o", out, "--force")
    assert again.code == 1
    assert vhdx_command("recover", logged, "--as-of", FIRST, "-o", out, "--resume").code == 1
    with recovered({logged: tale.data}, View(as_of=FIRST)) as plan:
        assert out.read_bytes() == read(plan, 0, plan.disk.size)


@pytest.mark.parametrize(("moment", "code"), [("7", 2), ("yesterday", 2), ("-1", 2), ("9" * 30, 2)])
def test_a_moment_that_is_none_is_refused_in_a_sentence(vhdx_command, logged, tmp_path, moment, code):
    answer = vhdx_command("recover", logged, f"--as-of={moment}", "-o", tmp_path / "out.raw")
    assert (answer.code, answer.out) == (code, "")
    assert "vhdx history" in answer.err
    assert not (tmp_path / "out.raw").exists()


def test_old_data_is_brought_back_as_stale_and_told(vhdx_command, tmp_path):
    path = tmp_path / "disk.vhdx"
    data = bytearray(file_with({1: (UNMAPPED, 9)}))
    for place in {8, *range(10, 16)}:  # data that no entry keeps would put all other entries in doubt
        data[place * MIB : (place + 1) * MIB] = bytes(MIB)
    path.write_bytes(data)
    answer = vhdx_command("recover", path, "--anchored", "-o", tmp_path / "out.raw", "--json")
    require_valid(answer.json)
    assert answer.code == 1
    assert answer.json["totals"]["stale"] == answer.json["layers"][0]["past"]["anchored_bytes"] == MIB
    assert [MIB, MIB, "stale", "data", 0, 9 * MIB, "anchored", 0] in answer.json["runs"]
    assert (tmp_path / "out.raw").read_bytes()[MIB : 2 * MIB] == data[9 * MIB : 10 * MIB]
    assert "unmapped blocks with their old data: " in vhdx_command("recover", path, "--anchored", "--dry-run").out


def test_views_have_names_of_their_own():
    views = [View(), View(as_of=1), View(as_of=2), View(unmapped=UnmappedBlocks.OLD_DATA)]
    assert len({str(view) for view in views}) == len(views)
