"""Terminals, and streams that are none: NUL that says it is one, code pages that lack letters, readers that left."""

import errno
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cli.errors import run
from cli.main import vhdx as group
from cli.text import say
from tests.support.files import ROOT
from vhdx.system import console, windows


class Stream(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 1


def no_size(_):
    raise OSError(errno.EBADF, "The handle is invalid")


def test_a_warning_is_said_where_a_terminal_does_not_tell_how_wide_it_is(monkeypatch):
    monkeypatch.setattr(windows, "HERE", False)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", no_size)
    monkeypatch.setattr(sys, "stderr", stream := Stream())
    say("a warning of many words, which a narrow terminal would break " * 3)
    assert stream.getvalue().count("\n") == 1


def test_columns_are_those_of_the_environment_first(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", no_size)
    monkeypatch.setattr(windows, "HERE", False)
    monkeypatch.setenv("COLUMNS", "33")
    assert (console.columns(Stream()), console.columns(io.StringIO()), console.columns(None)) == (33, None, None)


def test_nul_of_windows_is_nobodys_terminal(monkeypatch):
    monkeypatch.setattr(windows, "HERE", True)
    monkeypatch.setattr(windows, "is_console", lambda _: False)
    assert not console.is_terminal(Stream())
    monkeypatch.setattr(windows, "is_console", lambda _: True)
    assert console.is_terminal(Stream())


# One process for all: to start takes longer than any of them.
COMMANDS = """
import sys
from cli.main import main
for command in ("info", "hash", "map", "check"):
    print(f"--- {command}", flush=True)
    try:
        main([command, sys.argv[1]])
    except SystemExit as end:
        assert end.code == 0, (command, end.code)
    sys.stdout.flush()
"""


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp850"])
def test_a_name_that_a_code_page_lacks_is_shown_as_escapes(chain, tmp_path, encoding):
    path = chain[0].rename(chain[0].with_name("диск 磁盘.avhdx"))
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, str(path)],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = done.stdout.decode(encoding).split("--- ")[1:]
    assert len(answers) == 4
    assert all("\\u0434" in answer for answer in answers)


@pytest.mark.parametrize("filename", [None, "out.vhdx"])
def test_a_reader_that_left_is_no_error_on_windows_and_a_file_that_fails_is(monkeypatch, filename):
    error = OSError(errno.EINVAL, "Invalid argument", *([filename] if filename else []))
    monkeypatch.setattr(windows, "HERE", False)
    assert not console.is_reader_gone(error)
    monkeypatch.setattr(windows, "HERE", True)
    assert console.is_reader_gone(error) == (filename is None)
    assert console.is_reader_gone(BrokenPipeError())


def test_a_command_whose_reader_left_ends_as_after_a_broken_pipe(monkeypatch, capfd):
    def gone(*_, **__):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(windows, "HERE", True)
    monkeypatch.setattr(type(group), "main", gone)
    monkeypatch.setattr("cli.errors.reader_gone", lambda: 141)
    assert run(group, ["info"]) == 141
    assert capfd.readouterr().err == ""


def test_ctrl_break_ends_a_command_as_ctrl_c_does(monkeypatch):
    monkeypatch.setattr(console, "signal", SimpleNamespace(SIGINT=2, SIGTERM=15, SIGBREAK=21))
    assert console.end_signals() == [2, 15, 21]
