"""Colours, links, progress for programs, and options that few need, in a terminal and elsewhere."""

import io
import json

import pytest

from cli import progress, text
from vhdx.system import console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain(monkeypatch):
    """An environment that says nothing of a terminal."""
    for name in ("NO_COLOR", "TERM", "VTE_VERSION", "TERM_PROGRAM", *console._LINKING_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(console.windows, "HERE", False)
    return monkeypatch


def test_the_first_word_of_what_is_wrong_is_in_colour_on_a_terminal_alone(plain):
    lines = ["error: no", "  warning HDR-01: odd", "notes are nothing", "a note: none"]
    assert list(text.painted(lines, io.StringIO())) == lines
    red, yellow, *others = text.painted(lines, Terminal())
    assert red.startswith("\x1b[31m\x1b[1merror\x1b[0m:")
    assert yellow.startswith("  \x1b[33m\x1b[1mwarning HDR-01\x1b[0m:")
    assert others == lines[2:]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_nobody_gets_colours_who_wants_none(plain, name, value):
    plain.setenv(name, value)
    plain.setenv("WT_SESSION", "1")
    assert list(text.painted(["error: no"], Terminal())) == ["error: no"]
    assert not console.has_links(Terminal())


@pytest.mark.parametrize(
    ("name", "value", "has_links"),
    [
        ("WT_SESSION", "x", True), ("TERM_PROGRAM", "iTerm.app", True), ("TERM_PROGRAM", "Apple_Terminal", False),
        ("VTE_VERSION", "7200", True), ("VTE_VERSION", "4999", False), ("VTE_VERSION", "many", False),
        ("TERM", "xterm", False),
    ],
)  # fmt: skip
def test_a_path_is_a_link_where_the_terminal_says_that_it_has_links(plain, tmp_path, name, value, has_links):
    plain.setenv(name, value)
    shown = text.linked(tmp_path / "a b.html", Terminal())
    assert shown.startswith("\x1b]8;;file://") == has_links
    assert ("a%20b.html\x1b\\" in shown) == has_links
    assert text.linked(tmp_path / "a b.html", io.StringIO()) == str(tmp_path / "a b.html")


def test_progress_for_programs_is_lines_of_json_on_stderr(vhdx_command, chain, tmp_path, monkeypatch):
    leaf, _ = chain
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx", "--progress", "json", "--json")
    lines = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    assert len(lines) > 2
    assert [line["finished"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert {(line["progress"], line["unit"]) for line in lines} == {("merging", "bytes")}
    assert [line["done"] for line in lines] == sorted(line["done"] for line in lines)
    assert all(line["done"] <= line["total"] for line in lines)
    assert answer.json["output"]["verified"]


@pytest.mark.parametrize("more", [["-q"], ["--no-progress"], ["--progress", "none"], []])
def test_progress_is_silent_where_it_is_not_wanted(vhdx_command, chain, tmp_path, more):
    leaf, _ = chain
    asked = ["--progress", "json"] if more and more[0] != "--progress" else []
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx", *asked, *more)
    assert not [line for line in answer.err.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("command", ["merge", "convert", "apply", "recover"])
def test_what_an_e01_alone_has_is_under_a_heading_at_the_end(vhdx_command, command):
    shown = vhdx_command(command, "--help").out
    before, _, after = shown.partition("\nOptions of E01:\n")
    assert [name in after for name in ("--case-number", "--examiner", "--segment-size", "--no-hash")] == [True] * 4
    assert "--examiner" not in before.partition("\nOptions:\n")[2]
    assert "--help" in before
