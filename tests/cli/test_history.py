"""`vhdx history` and `vhdx carve`: what a file remembers, and what of it belongs to nothing."""

import pytest

import fixtures
from fixtures.placement import Placement
from tests.support.command_line import contents
from tests.support.files import symbolic_link

MIB = 1 << 20


def test_history_lists_the_sessions_of_a_closed_log_with_what_each_changed(vhdx_command, built):
    path, _ = built("log-closed-entries")
    answer = vhdx_command("history", path, "--json")
    assert answer.code == 0
    sessions = answer.json["sessions"]
    assert [(one["live"], one["entries"]) for one in sessions] == [(False, 3), (False, 3)]
    assert sessions[0]["first_sequence"] < sessions[1]["first_sequence"]
    steps = [step for one in sessions for change in one["changes"] for step in change["entries"]]
    assert any(step["before"] == "FULLY_PRESENT" and step["after"] == "ZERO" for step in steps)
    assert {step["before"] for step in steps} > {None}


def test_history_tells_a_live_session_from_a_closed_one(vhdx_command, built):
    path, _ = built("log-old-sessions")
    sessions = vhdx_command("history", path, "--json").json["sessions"]
    assert [one["live"] for one in sessions].count(True) == 1
    assert "(live)" in vhdx_command("history", path).out


def test_history_tells_the_identity_in_the_previous_header(vhdx_command, built):
    path, _ = built("headers-changed-since")
    assert vhdx_command("history", path, "--json").json["previous_header"]["same_data"] is False
    assert "another identity" in vhdx_command("history", path).out


def test_history_without_a_valid_previous_header_says_so(vhdx_command, built):
    path, _ = built("header-1-wiped")
    assert vhdx_command("history", path, "--json").json["previous_header"] is None
    assert "previous header: not valid" in vhdx_command("history", path).out


def test_history_lists_blocks_that_keep_old_data(vhdx_command, built):
    path, _ = built("states-base")
    answer = vhdx_command("history", path, "--json").json
    assert answer["anchored_blocks"] == len(answer["anchored"]) == 2
    assert {one["state"] for one in answer["anchored"]} == {"UNDEFINED", "UNMAPPED"}


@pytest.mark.parametrize("name", ["metadata-signature", "not-vhdx-text"])
@pytest.mark.parametrize("command", ["history", "carve"])
def test_a_file_that_does_not_open_is_refused_in_one_sentence(vhdx_command, built, command, name):
    path, _ = built(name)
    answer = vhdx_command(command, path)
    assert (answer.code, answer.out) == (3, "")


@pytest.fixture
def leaky(tmp_path):
    """A file with a PDF in a place of its own, a block that was let go, and slack behind the disk's end."""
    brush = fixtures.Brush(tag=7)
    blocks = {0: brush.full(0), 1: brush.block(1, fixtures.BlockState.UNMAPPED, range(9)), 7: brush.full(7)}
    layout = fixtures.Layout(tail_mib=2)
    spec = fixtures.ImageSpec(size=8 * MIB - 4096, identity=fixtures.Identity.of("leaky"), blocks=blocks, layout=layout)
    file = fixtures.encode(spec)
    path = tmp_path / "leaky.vhdx"
    file.patched(file.size - 2 * MIB, b"%PDF-1.7 and so on").write_to(path)
    return path, spec


def test_carve_finds_free_room_old_blocks_and_slack(vhdx_command, leaky):
    path, spec = leaky
    pieces = {one["kind"]: one for one in vhdx_command("carve", path, "--json").json["pieces"]}
    assert set(pieces) == {"unowned", "stale_block", "slack"}
    assert pieces["unowned"]["looks"] == "a PDF document"
    assert (pieces["stale_block"]["block"], pieces["stale_block"]["offset"]) == (1, Placement.of(spec).blocks[1])
    assert pieces["slack"]["length"] == 4096
    assert "stale block of block 1" in vhdx_command("carve", path).out


def test_carve_writes_each_piece_to_the_byte_and_never_over_a_file(vhdx_command, leaky, tmp_path):
    path, _ = leaky
    folder = tmp_path / "pieces"
    folder.mkdir()
    before = path.read_bytes()
    pieces = vhdx_command("carve", path, "--extract", folder, "--json").json["pieces"]
    for one in pieces:
        data = (folder / one["file"].rsplit("/", 1)[-1]).read_bytes()
        assert data == before[one["offset"] : one["offset"] + one["length"]]
    assert len(list(folder.iterdir())) == len(pieces) == 3
    again = vhdx_command("carve", path, "--extract", folder)
    assert (again.code, again.out) == (5, "")
    assert vhdx_command("carve", path, "--extract", folder, "--force").code == 0
    assert path.read_bytes() == before


def test_carve_makes_its_folder_but_none_above_it_and_follows_no_links_out_of_it(vhdx_command, leaky, tmp_path):
    path, _ = leaky
    refused = vhdx_command("carve", path, "--extract", tmp_path / "none" / "below")
    assert (refused.code, "the folder above it does not exist; make that first" in refused.err) == (5, True)
    assert vhdx_command("carve", path, "--extract", tmp_path / "none").code == 0
    assert len(list((tmp_path / "none").iterdir())) == 3
    folder, outside = tmp_path / "pieces", tmp_path / "outside"
    folder.mkdir()
    outside.write_bytes(b"kept")
    name = vhdx_command("carve", path, "--json").json["pieces"][0]
    symbolic_link(folder / f"{name['offset']:016x}-{name['kind']}.bin", outside)
    assert vhdx_command("carve", path, "--extract", folder).code == 5
    vhdx_command("carve", path, "--extract", folder, "--force")
    assert outside.read_bytes() == b"kept"


def test_a_file_without_leftovers_has_no_pieces(vhdx_command, built):
    path, _ = built("dynamic")
    before = contents(path.parent)
    assert vhdx_command("carve", path, "--json").json["pieces"] == []
    assert vhdx_command("history", path).code == 0
    assert contents(path.parent) == before
