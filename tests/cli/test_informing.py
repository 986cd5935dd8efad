"""Commands that look and tell: info, map, hash, dump, fixtures, demo."""

import hashlib
import json
import os
import re

import pytest

import fixtures
from fixtures.damage import DAMAGES
from tests.support.command_line import contents
from tests.support.files import patch


def test_info_tells_type_sizes_identities_and_layers(vhdx_command, chain):
    leaf, fixture = chain
    answer = vhdx_command("info", leaf)
    assert answer.code == 0
    assert "differencing VHDX" in answer.out
    assert "64 MiB (67108864 bytes)" in answer.out
    assert all(name in answer.out for name in fixture.files)


def test_info_in_json_follows_the_schema(vhdx_command, chain):
    leaf, fixture = chain
    file = vhdx_command("info", leaf, "--json").json["files"][0]
    assert file["type"] == "differencing"
    assert file["virtual_size"] == fixture.models[fixture.leaf].size
    assert [layer["layer"] for layer in file["layers"]] == [0, 1, 2]
    assert file["error"] is None


def test_info_goes_on_after_a_bad_file_and_gives_its_exit_code(vhdx_command, chain, built):
    leaf, _ = chain
    bad, _ = built("headers-bad")
    answer = vhdx_command("info", bad, leaf, "--json")
    assert answer.code == 3
    first, second = answer.json["files"]
    assert first["error"]["type"] == "CorruptFileError"
    assert second["error"] is None


def test_info_of_an_orphan_shows_what_it_says_of_itself_and_where_its_parent_was_looked_for(vhdx_command, built):
    leaf, _ = built("orphan")
    answer = vhdx_command("info", leaf)
    assert answer.code == 4
    assert "differencing VHDX" in answer.out
    assert "was not found" in answer.err
    assert answer.err.count("looked at ") >= 2


def test_a_replayed_log_is_said_on_stderr_and_in_json(vhdx_command, built):
    leaf, _ = built("log-live")
    answer = vhdx_command("hash", leaf)
    assert answer.code == 0
    assert "warning" in answer.err
    assert "LOG-01" in answer.err
    told = vhdx_command("info", leaf, "--json").json["files"][0]
    assert told["log"]["live"] is True
    assert "LOG-01" in {finding["code"] for finding in told["findings"]}


def test_an_accepted_mismatch_is_said_in_every_output(vhdx_command, built, tmp_path):
    leaf, _ = built("linkage-mismatch")
    assert vhdx_command("hash", leaf).code == 4
    for command in (["info", leaf], ["map", leaf], ["hash", leaf], ["convert", leaf, tmp_path / "out.raw"]):
        answer = vhdx_command(*command, "--on-mismatch", "accept", "--json")
        assert answer.code == 0
        assert "CHN-02" in answer.out
        text = vhdx_command(*command[:2], *(["--force", tmp_path / "out.raw"] if len(command) > 2 else []),
                            "--on-mismatch", "accept")  # fmt: skip
        assert "was accepted" in text.err


def test_map_lists_runs_that_cover_the_disk(vhdx_command, chain):
    leaf, fixture = chain
    told = vhdx_command("map", leaf, "--json").json
    position = 0
    for start, length, kind, layer, _ in told["runs"]:
        assert start == position
        assert kind in {"data", "zero", "trim", "hole"}
        assert 0 <= layer <= 2
        position += length
    assert position == fixture.models[fixture.leaf].size


def test_map_of_the_leaf_alone_leaves_holes(vhdx_command, chain):
    leaf, _ = chain
    told = vhdx_command("map", leaf, "--own", "--json").json
    assert len(told["layers"]) == 1
    assert "hole" in {run[2] for run in told["runs"]}


def test_map_needs_no_parent_for_the_leaf_alone(vhdx_command, built):
    leaf, _ = built("orphan")
    assert vhdx_command("map", leaf, "--own").code == 0
    assert vhdx_command("map", leaf).code == 4


def test_map_shows_what_is_lost_and_exits_with_1(vhdx_command, built):
    leaf, _ = built("block-truncated")
    answer = vhdx_command("map", leaf)
    assert answer.code == 1
    assert " lost " in answer.out


def test_hash_is_that_of_the_model_at_every_layer(vhdx_command, chain):
    leaf, fixture = chain
    for layer, name in enumerate(reversed(fixture.chain)):
        answer = vhdx_command("hash", leaf, "--layer", layer)
        assert answer.out.split()[0] == fixture.models[name].sha256()
    assert vhdx_command("hash", leaf, "--json").json["sha256"] == fixture.models[fixture.leaf].sha256()


def test_a_layer_that_is_not_there_is_refused(vhdx_command, chain):
    leaf, _ = chain
    answer = vhdx_command("hash", leaf, "--layer", 3)
    assert answer.code == 2
    assert "layers 0 (base) to 2" in answer.err


def test_nothing_of_the_sources_changes(vhdx_command, built):
    leaf, _ = built("log-wrapped")
    before = contents(leaf.parent)
    for command in ("info", "map", "hash", "dump"):
        vhdx_command(command, leaf)
    assert contents(leaf.parent) == before


@pytest.mark.parametrize("part", ["identifier", "headers", "regions", "metadata", "locator", "log", "bat", "bitmap"])
def test_dump_shows_each_structure(vhdx_command, chain, part):
    leaf, _ = chain
    told = vhdx_command("dump", leaf, part, "--json").json
    assert list(told["structures"]) == [part]
    assert told["structures"][part]["error"] is None
    assert told["structures"][part]["records"] or part == "log"


def test_dump_shows_both_headers_of_a_file_that_does_not_open(vhdx_command, built):
    leaf, _ = built("headers-bad")
    answer = vhdx_command("dump", leaf, "headers", "metadata", "bat")
    assert answer.code == 3
    assert answer.out.count("sequence_number") == 2
    assert "virtual disk size" in answer.out, "the regions do not depend on the headers"
    assert "cannot be read" in answer.out


def test_dump_says_of_a_file_that_ends_before_its_headers_what_is_missing_for_each_part(vhdx_command, tmp_path):
    path = tmp_path / "short.vhdx"
    path.write_bytes(b"vhdxfile" + bytes(100 << 10))
    answer = vhdx_command("dump", path, "--json")
    told = {name: part["error"] for name, part in answer.json["structures"].items()}
    assert told.pop("identifier") is None
    assert all("ends early" in error or "FID-02" in error for error in told.values()), told


def test_dump_shows_the_locator_of_a_file_that_does_not_open(vhdx_command, chain):
    leaf, _ = chain
    whole = vhdx_command("dump", leaf, "locator", "--json").json["structures"]["locator"]["records"]
    patch(leaf, 0, b"a wreck!")
    assert vhdx_command("info", leaf).code == 3
    answer = vhdx_command("dump", leaf, "locator", "--json")
    assert answer.json["structures"]["locator"]["records"] == whole != []


def test_dump_lists_old_and_live_log_entries(vhdx_command, built):
    leaf, _ = built("log-live")
    records = vhdx_command("dump", leaf, "log", "--json").json["structures"]["log"]["records"]
    assert any(record["live"] and record["writes"] for record in records)


def test_fixtures_are_listed_and_written_with_what_they_must_read_as(vhdx_command, tmp_path):
    listed = vhdx_command("fixtures", "list", "--json").json["fixtures"]
    assert {row["name"] for row in listed} == set(fixtures.RECIPES)
    assert vhdx_command("fixtures", "write", "dynamic", "-o", tmp_path).code == 0
    assert vhdx_command("fixtures", "write", "orphan", tmp_path).code == 0
    manifest = json.loads((tmp_path / "dynamic/manifest.json").read_text())
    leaf = next((tmp_path / "dynamic").glob("*.vhdx"))
    digest = vhdx_command("hash", leaf).out.split()[0]
    assert digest in json.dumps(manifest)


def test_damaged_fixtures_are_listed_and_written_with_their_findings(vhdx_command, tmp_path):
    listed = vhdx_command("fixtures", "list", "--damaged", "--json").json["damages"]
    assert {row["name"] for row in listed} == {f"damage:{name}" for name in DAMAGES}
    assert "HDR-03 HDR-02" in vhdx_command("fixtures", "list", "--damaged").out
    name = "current-header-torn-while-written"
    assert vhdx_command("fixtures", "write", f"damage:{name}", "dynamic", tmp_path).code == 0
    manifest = json.loads((tmp_path / name / "manifest.json").read_text())
    assert (manifest["code"], manifest["findings"]) == ("HDR-03", ["HDR-02", "HDR-03"])
    assert all((tmp_path / name / file).is_file() for file in manifest["files"])
    assert vhdx_command("fixtures", "write", f"damage:{name}", tmp_path).code == 5


def test_a_damage_is_asked_for_as_one(vhdx_command, tmp_path):
    assert vhdx_command("fixtures", "write", "current-header-torn-while-written", tmp_path).code == 2
    assert vhdx_command("fixtures", "write", "damage:nonsense", tmp_path).code == 2


def test_fixtures_are_never_written_over_and_unknown_ones_are_named(vhdx_command, tmp_path):
    assert vhdx_command("fixtures", "write", "dynamic", tmp_path).code == 0
    assert vhdx_command("fixtures", "write", "dynamic", tmp_path).code == 5
    unknown = vhdx_command("fixtures", "write", "nonsense", tmp_path)
    assert unknown.code == 2
    assert "nonsense" in unknown.err


def test_the_demo_proves_that_nothing_was_lost(vhdx_command, tmp_path):
    answer = vhdx_command("demo", "--keep", tmp_path / "kept")
    assert answer.code == 0
    assert "all equal" in answer.out
    digests = {line.split()[1] for line in answer.out.splitlines() if line.startswith("sha256")}
    assert digests == {fixtures.demo().models[fixtures.demo().leaf].sha256()}
    merged = tmp_path / "kept/standalone.vhdx"
    assert vhdx_command("hash", merged).out.split()[0] in digests


def test_the_demo_says_it_when_a_hash_differs(vhdx_command, monkeypatch):
    monkeypatch.setattr("cli.commands.fixtures.sha256_of", lambda disk: hashlib.sha256(disk.read(0, 512)).hexdigest())
    answer = vhdx_command("demo")
    assert answer.code == 1
    assert "DIFFER" in answer.out


def test_info_of_a_truncated_file_says_how_many_blocks_are_damaged(vhdx_command, built):
    leaf, _ = built("block-truncated")
    answer = vhdx_command("info", leaf)
    assert answer.code == 1
    assert "cannot be read whole" in answer.out
    file = vhdx_command("info", leaf, "--json").json["files"][0]
    assert file["damaged_blocks"] == 1
    assert file["layers"][-1]["damaged_blocks"] == 1


@pytest.mark.parametrize(
    "name", ["block-state-5", "block-in-bat", "blocks-overlap", "partial-without-bitmap", "bitmap-past-end"]
)
def test_info_and_dump_find_damaged_table_entries(vhdx_command, built, name):
    leaf, _ = built(name)
    assert vhdx_command("info", leaf).code == 1
    dumped = vhdx_command("dump", leaf, "bat", "--json")
    assert dumped.code == 1
    assert {finding["path"] for finding in dumped.json["findings"]} == {str(leaf)}


def test_info_of_sound_files_finds_no_damage(vhdx_command, built):
    for name in ("states-child", "bitmap-dense", "shuffled", "unaligned-size", "log-growing"):
        if name in fixtures.RECIPES:
            assert vhdx_command("info", built(name)[0], "--json").json["files"][0]["damaged_blocks"] == 0


def test_info_of_several_files_names_the_leaves(vhdx_command, chain):
    leaf, fixture = chain
    answer = vhdx_command("info", *(leaf.parent / name for name in fixture.files))
    leaves = [line for line in answer.out.splitlines() if line.startswith("leaf: ")]
    assert len(leaves) == 1
    assert fixture.leaf in leaves[0]
    assert "3 layers" in leaves[0]


def test_dump_shows_the_metadata_of_a_file_that_does_not_open(vhdx_command, built):
    leaf, _ = built("disk-size-odd")
    told = vhdx_command("dump", leaf, "metadata", "--json").json
    assert told["structures"]["metadata"]["records"][-1]["size"] == 8388708
    assert "MET-16" in {finding["code"] for finding in told["findings"]}


def test_a_name_that_is_no_text_is_shown_as_escapes(vhdx_command, chain):
    leaf, _ = chain
    odd = os.fsencode(leaf.parent) + b"/odd\xff.avhdx"
    try:
        leaf.rename(os.fsdecode(odd))
    except (OSError, UnicodeDecodeError):
        pytest.skip("this file system takes UTF-8 names alone")
    answer = vhdx_command("info", os.fsdecode(odd), "--json")
    assert "\\xff" in answer.json["files"][0]["path"]


def _words(text):
    """Without the heads of columns, which a narrow table spells otherwise, and identities that are drawn anew."""
    lines = (line for line in text.splitlines() if not re.match(r"# +start ", line))
    return [re.sub("[0-9a-f]{33,}", "bytes", word) for line in lines for word in line.split()]


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("info", "commands.info", "demo"),
        ("info", "commands.info", "log-live"),
        ("map", "commands.hash", "demo"),
        ("repair", "text", "demo"),
        ("repair", "text", "log-live"),
    ],
)
def test_in_forty_columns_single_words_alone_go_past_the_edge_and_nothing_is_left_out(
    vhdx_command, built, monkeypatch, command, module, name
):
    leaf, _ = built(name)
    monkeypatch.chdir(leaf.parent)
    whole = vhdx_command(command, leaf.name).out
    monkeypatch.setattr(f"cli.{module}.line_width", lambda: 40)
    narrow = vhdx_command(command, leaf.name).out
    assert max(map(len, whole.splitlines())) > 40
    assert [line for line in narrow.splitlines() if len(line) > 40 and " " in line.strip()] == []
    assert _words(narrow) == _words(whole)
