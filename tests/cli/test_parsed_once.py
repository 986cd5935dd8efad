"""How often a chain's files are parsed: once by every command that reads them; files that were written count too."""

import sys
import threading
from collections import Counter

import pytest

from vhdx.replay import open_log
from vhdx.source import FileSource
from vhdx.structures.disk import parse_disk_parameters
from vhdx.structures.header import judge_headers
from vhdx.structures.metadata import parse_metadata_table
from vhdx.structures.region import judge_region_tables

PARSERS = {
    function.__code__: function.__name__
    for function in (judge_headers, judge_region_tables, parse_metadata_table, parse_disk_parameters, open_log)
}


COMMANDS = {
    "scan": ["scan", "{folder}"],
    "info": ["info", "{leaf}"],
    "check": ["check", "--chain", "{leaf}"],
    "report": ["report", "{leaf}", "-o", "{out}.html"],
    "check as a page": ["check", "--chain", "--format", "html", "{leaf}"],
    "check of a folder": ["check", "--chain", "-r", "{folder}"],
    "convert": ["convert", "{leaf}", "{out}.qcow2"],
    "merge": ["merge", "{leaf}", "{out}.vhdx"],
    "hash": ["hash", "{leaf}"],
    "map": ["map", "{leaf}"],
    "backup create": ["backup", "create", "{repository}", "{leaf}"],
    "recover": ["recover", "{leaf}", "-o", "{out}.raw"],
    "recover of all files": ["recover", "{leaf}", "{middle}", "{base}", "-o", "{out}.raw"],
}
WRITES_VHDX = {"merge"}
"""Commands whose output is a VHDX, which they open once to compare it with what it was to be."""


def counted(work):
    """How often each parser runs while something works, and each file is opened, in whatever thread."""
    parsed, opened = Counter(), Counter()

    def note(frame, event, _what):
        if event == "call" and frame.f_code in PARSERS:
            parsed[PARSERS[frame.f_code]] += 1
        elif event == "call" and frame.f_code is FileSource.__init__.__code__:
            opened[frame.f_locals["path"]] += 1

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        answer = work()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return answer, parsed, opened


@pytest.mark.parametrize("name", COMMANDS)
def test_each_file_of_a_chain_is_parsed_once(vhdx_command, chain, tmp_path, name):
    """[one record of what a file holds, read once]"""
    leaf, fixture = chain
    names = dict(zip(("leaf", "middle", "base"), (leaf.with_name(file) for file in fixture.chain), strict=True))
    places = {"folder": leaf.parent, "out": tmp_path / "out", "repository": tmp_path / "repository"}
    if name == "backup create":
        assert vhdx_command("backup", "init", places["repository"]).code == 0
    answer, parsed, opened = counted(lambda: vhdx_command(*(word.format(**names, **places) for word in COMMANDS[name])))
    assert answer.code == 0, answer.err
    assert parsed == dict.fromkeys(PARSERS.values(), len(names) + (name in WRITES_VHDX))
    # The first bytes tell a disk that was found from another file, and one that was named to `recover` from a map.
    named = {word for word in names if f"{{{word}}}" in COMMANDS[name]}
    sniffed = {"scan": set(names)}.get(name, named if name.startswith("recover") else set())
    assert {word: opened[path] for word, path in names.items()} == {word: 1 + (word in sniffed) for word in names}


def test_a_file_with_a_live_log_is_parsed_once_and_by_recover_once_more_with_its_log_applied(
    vhdx_command, built, tmp_path
):
    leaf, _ = built("log-live")
    for command, times in ((["check", leaf], 1), (["hash", leaf], 1), (["recover", leaf, "-o", tmp_path / "o.raw"], 2)):
        _, parsed, _ = counted(lambda command=command: vhdx_command(*command))
        assert max(parsed.values()) <= times, command
