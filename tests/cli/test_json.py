"""JSON has the same thing in the same place, whichever command answers."""

import jsonschema
import pytest

from tests.support.command_line import SCHEMA

READING = {
    "info": [], "map": [], "hash": [], "check": [], "dump": [], "scan": [], "history": [], "carve": [],
    "recover": ["--dry-run"], "merge": ["out.vhdx", "--dry-run"], "convert": ["out.raw", "--dry-run"],
}  # fmt: skip


@pytest.mark.parametrize("command", READING)
def test_what_is_found_is_at_the_top_of_every_answer(vhdx_command, built, monkeypatch, tmp_path, command):
    leaf, _ = built("header-1-checksum")
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command(command, leaf, *READING[command], "--json").json
    assert "HDR-03" in {finding["code"] for finding in answer["findings"]}


@pytest.mark.parametrize("command", ["info", "hash", "check"])
def test_findings_of_several_files_are_there_together(vhdx_command, built, command):
    files = [built(name)[0] for name in ("header-1-checksum", "header-2-checksum")]
    answer = vhdx_command(command, *files, "--json").json
    assert {"HDR-03"} <= {finding["code"] for finding in answer["findings"]}
    found = {finding["path"] for finding in answer["findings"] if finding["code"] == "HDR-03"}
    assert found == set(map(str, files))


# What already has two meanings keeps both: members are never given another one within a version.
TWICE = {
    "columns", "counts", "failed", "files", "folders", "layers", "new", "old", "output", "points", "ranges", "runs",
    "settings", "volume",
}  # fmt: skip


def test_the_schema_is_one():
    jsonschema.validators.validator_for(SCHEMA).check_schema(SCHEMA)


def test_a_member_of_one_name_is_of_one_kind_in_all_answers():
    kinds = {}
    for name, answer in SCHEMA["$defs"].items():
        if name.startswith("answer_"):
            for member, schema in answer["properties"].items():
                kinds.setdefault(member, set()).update(_kinds(schema))
    mixed = {member for member, found in kinds.items() if len(found - {"null"}) > 1}
    assert mixed <= TWICE


def _kinds(schema):
    """The kinds of JSON that a schema allows."""
    if "$ref" in schema:
        return _kinds(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema or "oneOf" in schema:
        return set().union(*map(_kinds, schema.get("anyOf") or schema["oneOf"]))
    if "type" not in schema:
        values = schema.get("enum", [schema.get("const")])
        return {type(value).__name__.replace("str", "string").replace("list", "array") for value in values}
    return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
