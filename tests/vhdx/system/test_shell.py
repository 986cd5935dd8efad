"""Words for shells: what cmd and PowerShell would make of them is played by their own rules."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.windows import play_windows
from vhdx.system import shell, windows
from vhdx.system.shell import expanded, shell_command, split_command

NAMES = [
    "plain.vhdx", "two words.vhdx", r"C:\R&D\a&calc&.avhdx", "x $(calc).avhdx", "x`n$env:PATH", "%PATH%^<>|.vhdx",
    "a,b;c.vhdx", "@args", "C:\\a folder\\", "диск.vhdx", "\u201ccurly\u201d \u2018too\u2019", "a\tb\x1b[2J",
    "(1).vhdx", "it's", "{x}", "--%", "x%CMDCMDLINE:~-1%&calc.vhdx",
]  # fmt: skip


def as_powershell(line):
    """The words that PowerShell sees, where all that is special is in double quotes."""
    words = re.findall(r'"((?:`.|[^"`])*)"|(\S+)', line)
    assert not any(re.search(r"[$`&|;,@(){}<>%'\u2018\u2019\u201c\u201d]", bare) for _, bare in words)
    quoted = []
    for text, bare in words:
        kept = re.sub(r"\$\(\[char\](\d+)\)", lambda found: "\0" + chr(int(found[1])), text)
        assert not re.search(r"(?<!`)[$\u201c\u201d\u201e]", kept)
        plain = re.sub("[`\0](.)", r"\1", kept, flags=re.DOTALL)
        quoted.append(re.sub(r"\\\\$", r"\\", plain) if text else bare)
    return quoted


@pytest.mark.parametrize("name", NAMES)
def test_a_name_on_windows_is_one_word_and_no_command(monkeypatch, name):
    monkeypatch.setattr(windows, "HERE", True)
    line = shell_command(["vhdx", "info", name])
    assert as_powershell(line) == ["vhdx", "info", name]
    outside = "".join(line.split('"')[::2])  # what cmd does not take for text
    assert not re.search("[&|<>^%]", outside)
    assert "%" not in line
    assert name in line or not name.isprintable() or set(name) & set("$`%\u201c\u201d\\")


@pytest.mark.skipif(windows.HERE, reason="a POSIX shell")
def test_a_name_for_posix_is_one_word_of_the_plainest_shell_and_steers_no_terminal():
    names = [*NAMES, "a\nb$(touch x)", "it's!\x1b[31m%s\\x41\"", "end\n\n", "\u202egpj.vhdx", "\udcff\x85", "-n\r"]
    line = shell_command(["printf", "%s\\0", *names])
    assert line.replace("\n", "").isprintable()
    said = subprocess.run(["sh", "-c", line], check=True, capture_output=True, cwd="/").stdout
    assert said.decode(errors="surrogateescape").split("\0")[:-1] == names


def test_only_words_that_need_it_are_quoted(monkeypatch):
    monkeypatch.setattr(windows, "HERE", True)
    assert shell_command(["vhdx", r"C:\VMs\a-1.vhdx", "--force"]) == r"vhdx C:\VMs\a-1.vhdx --force"
    assert shell_command([r"C:\my VMs\\"[:-1]]) == '"C:\\my VMs\\\\"'


def test_a_command_of_the_users_keeps_its_backslashes_on_windows(monkeypatch):
    command = r'C:\tools\pass.exe "of the backup"'
    monkeypatch.setattr(windows, "HERE", False)
    assert split_command("pass 'of the backup'") == ["pass", "of the backup"]
    monkeypatch.setattr(windows, "HERE", True)
    assert split_command(command) == command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("vm1.vhdx", "vm[1].vhdx", "vm2.vhdx", "other.txt"):
        (tmp_path / name).touch()
    monkeypatch.setattr(windows, "HERE", True)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.vhdx", ["vm1.vhdx", "vm2.vhdx", "vm[1].vhdx"]),
        ("vm?.vhdx", ["vm1.vhdx", "vm2.vhdx"]),
        ("vm[1].vhdx", ["vm[1].vhdx"]),
        ("vm[1].*", ["vm[1].vhdx"]),
        ("vm[12].vhdx", ["vm[12].vhdx"]),
        ("*.qcow2", ["*.qcow2"]),
    ],
)
def test_patterns_are_expanded_on_windows_and_literal_names_never(folder, pattern, found):
    assert [path.name for path in expanded([folder / pattern])] == found


def test_elsewhere_the_shell_has_expanded_already(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "HERE", False)
    (tmp_path / "vm1.vhdx").touch()
    assert list(expanded([tmp_path / "*.vhdx"])) == [tmp_path / "*.vhdx"]


def test_a_command_takes_the_files_of_a_pattern(vhdx_command, built, monkeypatch):
    leaf, _ = built("dynamic")
    play_windows(monkeypatch)
    monkeypatch.setattr(shell, "windows", windows)
    answer = vhdx_command("info", leaf.parent / "*.vhdx", "--json")
    assert answer.code == 0
    assert leaf.name in answer.out


def test_home_and_variables_in_names_are_left_alone(vhdx_command, monkeypatch):
    monkeypatch.setattr(windows, "HERE", True)
    assert list(expanded([Path("~/x.vhdx"), Path("$HOME/x.vhdx")])) == [Path("~/x.vhdx"), Path("$HOME/x.vhdx")]
