"""However few columns a terminal has: lines fit it, and what is to be pasted stays what it was."""

import os
import re
import subprocess
import sys

import click
import pytest

from cli.main import vhdx
from tests.support.command_line import contents
from tests.support.effort import SAFETY
from tests.support.files import ROOT

pytestmark = pytest.mark.slow

WIDTHS = (40, 60, 80, 100)
WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")


def commands(group=vhdx, path=()):
    """The words that name each command, the group's among them."""
    yield path
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            yield from commands(group.get_command(click.Context(group), name), (*path, name))


PATHS = list(commands())


@pytest.fixture
def help_of(vhdx_command, monkeypatch):
    def lines(path, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        answer = vhdx_command(*path, "--help")
        assert answer.code == 0
        return answer.out.splitlines()

    return lines


def is_one_word(line):
    """Whether a line is a name, a path or a quoted word by itself, with an option before it: nothing to break."""
    words = [word for word in WORD.findall(line) if word not in {"\\", "#", ">"}]
    return len([word for word in words if not word.startswith("-")]) <= 1


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_fits_its_terminal(help_of, path):
    for columns in WIDTHS:
        lines = help_of(path, columns)
        assert [line for line in lines if len(line) > columns and not is_one_word(line)] == []
        assert [line for line in lines if re.search(r"\w-$", line)] == [], "no word is broken at a hyphen"


def examples(lines):
    """The commands of the examples, whole again, each with what is said of it."""
    found, inside = [], False
    for line in lines:
        text = line.strip()
        if inside and found and found[-1][0].endswith("\\"):
            found[-1][0] = f"{found[-1][0][:-1].strip()} {text}"
        elif inside and text.startswith("# "):
            found[-1][1] += text[1:]
        elif inside and text:
            command, _, remark = text.partition("  ")
            found.append([command, f" {remark.strip()}" if remark else ""])
        inside = text == "Examples:" or (inside and bool(text))
    return found


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_an_example_that_is_broken_is_the_same_command_to_a_shell(help_of, path, monkeypatch):
    monkeypatch.setitem(vhdx.context_settings, "max_content_width", 200)
    whole = examples(help_of(path, 200))
    for columns in WIDTHS:
        assert examples(help_of(path, columns)) == whole
    if whole:
        assert any(line.endswith(" \\") or "  #" in line for line in help_of(path, 30)), "none was broken"


def test_an_item_of_a_list_hangs_below_its_text(help_of):
    lines = help_of(("recover",), 60)
    first = next(number for number, line in enumerate(lines) if line.startswith("    stale   an older state"))
    assert all(line.startswith(" " * 12) for line in lines[first + 1 : first + 4])
    assert " ".join(" ".join(lines[first : first + 4]).split()).endswith("is likely, not certain")


def test_choices_without_room_are_broken_between_them(help_of):
    lines = help_of(("check",), 40)
    assert "  --format, --output-format [text|" in lines
    assert lines[lines.index("  --format, --output-format [text|") + 1].strip() == "json|sarif|junit|html|github]"


def on_terminal(columns, *arguments):
    """What a command prints where both its outputs are a terminal of so many columns."""
    pty = pytest.importorskip("pty")
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    near, far = pty.openpty()
    fcntl.ioctl(
        far, termios.TIOCSWINSZ, (24).to_bytes(2, sys.byteorder) + columns.to_bytes(2, sys.byteorder) + bytes(4)
    )
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=far, stderr=far, env=environment | {"PYTHONPATH": str(ROOT), "TERM": "dumb"},
    )  # fmt: skip
    os.close(far)
    printed = b""
    try:
        while piece := os.read(near, 4096):
            printed += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(near)
    process.wait(timeout=SAFETY)
    return printed.decode().splitlines()


def test_an_error_is_broken_at_spaces_and_stays_one_sentence(vhdx_command, tmp_path):
    missing = tmp_path / "gone"
    told = vhdx_command("scan", missing).err
    assert len(told.splitlines()) == 1, "a pipe gets it whole"
    lines = on_terminal(40, "scan", missing)
    assert max(len(line) for line in lines if str(missing) not in line) <= 40
    assert " ".join(" ".join(lines).split()) == told.strip()


def test_restore_points_are_listed_on_lines_that_break_between_facts(vhdx_command, built, tmp_path):
    pytest.importorskip("zstandard")
    leaf, _ = built("chain-3")
    kept = tmp_path / "kept"
    assert vhdx_command("backup", "init", kept).code == 0
    assert vhdx_command("backup", "create", kept, leaf, "--name", "one").code == 0
    before = contents(kept)
    whole = vhdx_command("backup", "list", kept).out.strip()
    lines = on_terminal(40, "backup", "list", kept)
    assert len(lines) > 1
    assert max(map(len, lines)) <= 40
    assert "  ".join(line.strip() for line in lines) == whole, "no fact is broken"
    assert max(map(len, on_terminal(40, "backup", "stats", kept))) <= 40
    assert contents(kept) == before


@pytest.mark.parametrize("group", ["fixtures", "backup"])
def test_no_line_of_a_list_of_commands_is_cut_off(vhdx_command, group):
    assert "..." not in vhdx_command(group, "--help").out.partition("Commands:")[2]
