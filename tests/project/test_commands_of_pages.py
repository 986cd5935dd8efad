"""Every command and every Python example of the documentation, run as a reader would; or at least parsed, and said why.

Each page is worked through from its top in one folder that has the files it speaks of: a chain base.vhdx, mid.avhdx,
leaf.avhdx with a file system in it, one of WSL (ext4.vhdx and its checkpoints), a disk.vhdx with a log, and so on.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS
from fixtures import LogSpec, encode
from fixtures.identity import guid
from fixtures.recipes import logs
from tests.analyzer.guest import images
from tests.support.files import ROOT
from tests.support.pages import PAGES, RUN, SHOWN, blocks, commands, inline_commands, parse

NOT_RUN = (
    ("docs/wsl.md", r"", "test_wsl_page.py runs all of this page on damaged disks"),
    (
        "docs/backup.md",
        r"^(python3 restore\.py|casync) ",
        "tests/analyzer/backup/test_peers.py runs it",
    ),
    (
        "docs/backup-nightly.md",
        r"^(systemctl|journalctl) ",
        "it sets up this machine; test_nightly_page.py verifies the units",
    ),
    (
        "docs/instant-recovery.md",
        r"",
        "servers wait for clients; tests/analyzer/serve/test_boot.py boots restore points",
    ),
    ("docs/fleet.md", r"dask|tcp:", "tests/analyzer/tasks/test_fleet.py starts these processes, and ends some"),
    ("docs/addresses.md", r"/dev/sdx", "a drive of the reader's; tests/analyzer/address/test_devices.py has one"),
    ("docs/mount.md", r"", "what is mounted is there until it is unmounted; tests/cli/test_mount.py mounts"),
    ("docs/other-formats.md", r"", "servers of other programs; tests/analyzer/nbd/test_disk.py reads through them"),
    ("README.md", r"^vhdx serve ", "a server waits for clients; tests/analyzer/serve/test_boot.py boots from it"),
    ("docs/serve.md", r"", "servers wait for clients; tests/analyzer/serve has them, and the programs of others"),
    ("", r"^(& )?\S*pip install ", "it installs, from the network"),
    ("", r"^(python3|py) -m venv ", "it installs"),
    ("CONTRIBUTING.md", r"^(make \w+|\.ci/run)", "it is this very suite"),
    ("docs/troubleshooting.md", r"^vhdx undo ", "disk.vhdx is whole here; tests/cli/test_repair.py undoes a repair"),
    ("docs/recovery.md", r"host\.raw|found/", "the disk of a host; tests/analyzer/host_disk has some"),
    ("docs/files.md", r" --volume 3$", "the page shows a disk of three partitions, the one here has none"),
    ("docs/backup-places.md", r" NAME\.\.\.$", "NAME... stands for names of the reader's"),
    ("docs/backup-places.md", r" --encrypt$", "it asks for a passphrase; tests/cli/test_backup_keeping.py answers"),
)
"""(page, pattern, reason): commands that are only parsed. The first row that fits counts; a page "" is any page."""

NO_CALLS = {"vhdx backup ids", "vhdx backup chunks", "vhdx backup objects"}
"""What looks like a call in a sentence and is none: the words from which keys of a repository are derived."""
LOOKS_INTO_VOLUMES = re.compile(r"vhdx (files|extract)\b|--files|\b(ewfverify|e2fsck|debugfs)\b")
TELLS = {"changes": {0, 1}, "recover": {0, 1}, "extract": {0, 1}, "files": {0, 1}, "scan": {0, 1}}
"""Exit codes other than 0 of commands that say that something differs or is not whole, as it does here."""
CHAIN = ("base.vhdx", "mid.avhdx", "leaf.avhdx")
SETUP = {
    "docs/backup-nightly.md": ("vhdx backup init REPO",),
    "docs/backup-places.md": (
        "vhdx backup init REPO",
        "vhdx backup init OTHER",
        "vhdx backup create REPO leaf.avhdx --name monday",
    ),
    "docs/sizes.md": ("vhdx convert leaf.avhdx anna.vhdx", "vhdx convert leaf.avhdx bert.vhdx"),
}
"""What a page has done before its first command, where another page says how."""


def reason_for(command):
    """Why a command is not run; None for one that is."""
    for page, pattern, reason in NOT_RUN:
        if page in {"", command.page} and re.search(pattern, command.text):
            return reason
    return None


@cache
def all_blocks():
    """Every fenced block that is no mere listing, of every page."""
    return [block for page in PAGES for block in blocks(page) if block.language not in SHOWN]


def pages_to_run():
    """The pages that have something to run; those that need other programs' file systems compare with peers."""
    for page in dict.fromkeys(block.page for block in all_blocks()):
        own = [block for block in all_blocks() if block.page == page]
        run = [command.text for block in own for command in commands(block) if reason_for(command) is None]
        marks = [pytest.mark.peers] if LOOKS_INTO_VOLUMES.search("\n".join(run)) else []
        yield pytest.param(page, marks=marks)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with every file that the pages name."""
    folder = tmp_path_factory.mktemp("reader")
    states = _states(folder)
    images.chain_of(folder, *states, names=CHAIN)
    images.chain_of(folder / "wsl", *states, names=("ext4.vhdx", "ext4_A.avhdx", "ext4_B.avhdx"))
    for path in (folder / "wsl").iterdir():
        path.rename(folder / path.name)
    (folder / "wsl").rmdir()
    with (folder / "ext4.vhdx").open("r+b") as file:
        file.write(bytes(1 << 20))  # the front, as an interrupted upload overwrites it
    stages = logs.steps()[:3]
    encode(_with_log_entry(stages, 1042)).write_to(folder / "disk.vhdx")
    for state in states:
        state.unlink()
    return folder


def _states(folder):
    """Three raw disks: a volume with files in it, two changes later; or, where nothing makes one, other bytes."""
    first, second, third = (folder / f"state{number}.raw" for number in range(3))
    if images.is_missing("ext"):
        for number, path in enumerate((first, second, third)):
            path.write_bytes(bytes([number + 1]) * (4 << 20) + bytes(4 << 20))
        return first, second, third
    anna = {"Documents/letter.txt": b"Dear Ben," * 400, "thesis.docx": b"chapter one " * 900, "old.txt": b"old" * 3000}
    files = {f"{home}/anna/{name}": data for home in ("Users", "home") for name, data in anna.items()}
    images.make_ext(first, files)
    shutil.copy(first, second)
    images.debugfs(second, "rm Users/anna/old.txt")
    shutil.copy(second, third)
    images.ext_write(third, "Users/anna/new.bin", b"new" * 4000)
    return first, second, third


def _with_log_entry(stages, number):
    """A disk whose closed log holds the changes that made it, of which one is entry `number`."""
    made = [encode(stage) for stage in stages]
    entries = tuple(logs._changes(before, after) for before, after in pairwise(made))
    log = LogSpec(guid=guid("a log with a past"), entries=entries, first_sequence=number - 1)
    return replace(stages[-1], old_logs=(log,))


@pytest.fixture
def reader(prepared, page, tmp_path, monkeypatch):
    """A reader's folder, with the chain and what else the page names, and a home; `vhdx` is this one."""
    folder, programs = tmp_path / "work", tmp_path / "programs"
    (folder / "old-host").mkdir(parents=True)
    text = (ROOT / page).read_text(encoding="utf-8")
    for path in prepared.iterdir():
        if path.name in CHAIN or path.name in text:
            shutil.copy(path, folder)
    programs.mkdir()
    (programs / "vhdx").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    (programs / "vhdx").chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


@pytest.mark.parametrize("page", list(pages_to_run()))
def test_a_page_can_be_followed_from_its_top(page, reader, vhdx_command):
    for line in SETUP.get(page, ()):
        assert vhdx_command(*line.split()[1:]).code == 0
    names = {"__name__": "example"}
    for block in blocks(page):
        if block.language == "python":
            _run_example(block, names, reader)
        elif block.language in RUN:
            for command in commands(block):
                _follow(command, vhdx_command)


def _run_example(block, names, folder):
    """Run an example whole: in the names of those before it, or by pytest when it is a file of tests."""
    if not re.search(r"^def test_", block.text, re.MULTILINE):
        source = "\n" * (block.line - 1) + block.text  # so that a traceback names the line of the page
        exec(compile(source, str(ROOT / block.page), "exec"), names)  # noqa: S102 - the page's own example
        return
    (folder / "test_example.py").write_text(block.text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "analyzer.pytest_plugin", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([*command, "test_example.py"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.page}:{block.line}\n{done.stdout}"


def _follow(command, vhdx_command):
    """Run a command, in this process when it is ours alone; where a program of it is missing, it stays parsed."""
    if reason_for(command) or _missing(command):
        return
    if command.is_ours_alone:
        arguments = [found for word in command.words[1:] for found in _expanded(word)]
        code, _, error = vhdx_command(*arguments)
    else:
        shell = ["bash", "-o", "pipefail", "-c", command.text]
        done = subprocess.run(shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        code, error = done.returncode, done.stderr
    advice = "make it run in the folder that `prepared` makes, or give it a row in NOT_RUN that says why it cannot be"
    known = TELLS.get(command.words[1], {0}) if command.is_ours_alone else {0}
    assert code in known, f"{command.page}:{command.line}: {command.text}\n{error}\n{advice}"


def _expanded(word):
    """The files that a word with a star names, as a shell has it."""
    return sorted(str(path) for path in Path().glob(word)) if "*" in word else [word]


def _missing(command):
    """The programs of a command that are not here; anything else than `vhdx` where there is no bash."""
    programs = [] if command.is_ours_alone else ["bash", *(part.split()[0] for part in command.text.split("|"))]
    return [name for name in programs if shutil.which(name) is None]


@pytest.mark.parametrize("page", PAGES)
def test_every_call_of_vhdx_on_a_page_has_options_and_arguments_that_exist(page):
    fenced = [command for block in blocks(page) if block.language in RUN - {"python"} for command in commands(block)]
    wrong = []
    for command in (*fenced, *(call for call in inline_commands(page) if call.text not in NO_CALLS)):
        for arguments in command.calls:
            try:
                parse(arguments)
            except click.UsageError as error:
                wrong.append(f"{page}:{command.line}: {command.text}: {error.format_message()}")
    assert wrong == []


def test_every_command_is_shown_on_a_page():
    fenced = [command for block in all_blocks() for command in commands(block)]
    inline = [command for page in PAGES for command in inline_commands(page)]
    shown = {arguments[0] for command in (*fenced, *inline) for arguments in command.calls if arguments}
    assert set(COMMANDS) <= shown


def test_every_fenced_block_is_run_or_is_a_listing():
    known = RUN | SHOWN
    strange = [f"{block.page}:{block.line}: {block.language}" for block in all_blocks() if block.language not in known]
    assert strange == [], (
        "say sh, console, powershell or python, which are run, or text, json, yaml, toml, which are shown"
    )


def test_every_row_of_what_is_not_run_is_about_a_command():
    shown = [command for block in all_blocks() for command in commands(block)]
    for page, pattern, reason in NOT_RUN:
        assert any(page in {"", each.page} and re.search(pattern, each.text) for each in shown), (pattern, reason)


def test_every_target_of_make_that_a_page_names_is_there():
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [each.text for block in all_blocks() for each in commands(block)]
    assert {target for text in texts for target in re.findall(r"^make ([a-z-]+)", text)} <= made
