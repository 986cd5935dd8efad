"""The commands of docs/wsl.md, run as they stand there, on damaged disks like those of WSL and Docker."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from fixtures.constants import MIB
from tests.analyzer.recover.matrix.specimens import logged
from tests.analyzer.recover.matrix.trial import noise
from tests.analyzer.recover.matrix.volumes import make_ext4
from tests.support.files import ROOT
from tests.support.peer_tools import PEERS_REQUIRED

pytestmark = pytest.mark.peers

PROGRAMS = ("mkfs.ext4", "debugfs", "e2fsck", "ddrescuelog", "bash")
NOTED = {0, 1}
"""e2fsck has 1 where it has corrected something, recover where not all is known."""
WITH_BACKUP, PLAIN = re.compile(r"-[bs] 32768"), re.compile(r"^(e2fsck|debugfs)")


def commands(*, backup):
    """Every command of the page that a user gives whose first superblock is lost, or stands."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "wsl.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    wanted = [line for line in lines if bool(WITH_BACKUP.search(line)) == backup or not PLAIN.match(line)]
    return list(dict.fromkeys(wanted))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A disk as WSL has it, and the folder of the files that were put into it."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent and not PEERS_REQUIRED:
        pytest.skip(f"{', '.join(absent)} is not installed")
    folder = tmp_path_factory.mktemp("wsl")
    return logged("ext4.vhdx", make_ext4(folder), MIB), folder / "ext4-files"


def follow(folder, *, backup):
    """Do what the page says in a folder that has an ext4.vhdx; gives what was said, by command."""
    shim = folder / "bin" / "vhdx"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    shim.chmod(0o755)
    path = f"{shim.parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    said = {}
    for line in commands(backup=backup):
        done = subprocess.run(
            ["bash", "-c", line], check=False, cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode in NOTED or "-fn" in line, (line, done.stdout, done.stderr)
        said[line] = done.stdout
    return said


def came_out(folder, files):
    """The names of the files that came out as they went in."""
    return {
        path.name
        for path in files.iterdir()
        if (folder / "files" / path.name).is_file() and (folder / "files" / path.name).read_bytes() == path.read_bytes()
    }


FRONTS = {
    "first MiB": [(0, MIB)],
    "headers and log": [(0, 2 * MIB)],
    "metadata": [(2 * MIB, MIB)],
    "block table": [(3 * MIB, MIB)],
    "headers, metadata": [(64 << 10, 128 << 10), (2 * MIB, MIB)],
}


@pytest.mark.parametrize("what", FRONTS)
def test_all_files_come_out_of_a_disk_of_which_structures_are_overwritten(made, what, tmp_path):
    specimen, files = made
    content = bytearray(specimen.leaf)
    for start, length in FRONTS[what]:
        content[start : start + length] = noise(what, length)
    (tmp_path / "ext4.vhdx").write_bytes(content)
    said = follow(tmp_path, backup=False)
    assert "as WSL and Docker have it; its superblock stands" in next(iter(said.values()))
    assert came_out(tmp_path, files) == {path.name for path in files.iterdir()}


def test_the_files_before_the_cut_come_out_of_a_disk_that_was_cut(made, tmp_path):
    specimen, files = made
    (tmp_path / "ext4.vhdx").write_bytes(specimen.leaf[: len(specimen.leaf) - 3 * MIB])
    follow(tmp_path, backup=False)
    back = came_out(tmp_path, files)
    assert back
    assert back < {path.name for path in files.iterdir()}


def test_all_files_come_out_by_the_backup_where_the_first_superblock_is_overwritten(made, tmp_path):
    specimen, files = made
    content = bytearray(specimen.leaf)
    front = specimen.truth[: 64 << 10]
    content[(at := content.index(front)) : at + (64 << 10)] = bytes(64 << 10)
    (tmp_path / "ext4.vhdx").write_bytes(content)
    said = follow(tmp_path, backup=True)
    assert "e2fsck -b 32768 -B 4096 disk.raw" in next(iter(said.values()))
    assert came_out(tmp_path, files) == {path.name for path in files.iterdir()}
