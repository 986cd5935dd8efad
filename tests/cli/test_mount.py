"""`vhdx mount` through the kernel: what programs read of it is what `vhdx hash` says. Where FUSE works, as root."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest

from tests.support.command_line import SCHEMA
from tests.support.files import ROOT


def _missing():
    """Why nothing can be mounted; "" where it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse to be used"
    if not shutil.which("fusermount3"):
        return "fuse3 is not installed"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError, AttributeError) as error:
        return f"mfusepy cannot be loaded: {error}"
    return ""


works = pytest.mark.skipif(bool(_missing()), reason=_missing() or "it can be mounted")
"""Skips, and says why, where FUSE does not work."""
pytestmark = [pytest.mark.slow, works]


@contextmanager
def mounted(folder, *arguments):
    """`vhdx mount` in a process of its own, until it is unmounted, which ends it well; its first line."""
    folder.mkdir()
    command = [sys.executable, "-m", "cli", "mount", arguments[0], folder, *arguments[1:]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, **pipes) as process:
        first = process.stdout.readline()
        try:
            if folder.is_mount():
                yield first
        finally:
            if folder.is_mount():
                subprocess.run(["fusermount3", "-u", folder], check=True)
        said = process.communicate(timeout=60)[1]
        if not first:
            pytest.skip(f"FUSE does not mount here: {said}")
        assert process.returncode == 0
        assert "Traceback" not in said


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_every_state_and_restore_point_reads_as_its_hash_says(vhdx_command, chain, tmp_path):
    leaf, fixture = chain
    models = [fixture.models[name] for name in reversed(fixture.chain)]
    with mounted(tmp_path / "disk", leaf) as first:
        assert "leaf.raw, @0.raw, @1.raw, @2.raw (4 entries), read-only" in first
        assert sha256(tmp_path / "disk/leaf.raw") == models[-1].sha256()
        assert [sha256(tmp_path / f"disk/@{n}.raw") for n in range(3)] == [model.sha256() for model in models]
        with pytest.raises(OSError, match="Read-only") as caught:
            (tmp_path / "disk/leaf.raw").write_bytes(b"")
        assert caught.value.errno == errno.EROFS
        with (tmp_path / "disk/leaf.raw").open("rb") as file:
            assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) < models[-1].size
    repository = tmp_path / "kept"
    assert vhdx_command("backup", "init", repository).code == 0
    assert vhdx_command("backup", "create", repository, leaf, "--name", "monday").code == 0
    with mounted(tmp_path / "points", os.path.relpath(repository, ROOT)):
        assert sha256(tmp_path / "points/monday.raw") == models[-1].sha256()


def test_what_is_lost_fails_at_its_own_sectors_alone(tmp_path):
    raw, data, lost = tmp_path / "disk.raw", os.urandom(1 << 20), range(1027, 1031)
    raw.write_bytes(data)
    rows = [(0, lost.start, "+"), (lost.start, len(lost), "-"), (lost.stop, 2048 - lost.stop, "+")]
    (tmp_path / "disk.raw.map").write_text(
        "# Mapfile. Created by vhdx recover\n# Disk: 00000000-0000-4000-8000-000000000000\n"
        "# current_pos  current_status  current_pass\n0x00000000     +               1\n"
        + "".join(f"0x{start * 512:08X}  0x{count * 512:08X}  {sign}\n" for start, count, sign in rows)
    )
    with mounted(tmp_path / "disk", raw), (tmp_path / "disk/leaf.raw").open("rb") as file:
        for sector in range(1000, 1060):
            if sector in lost:
                with pytest.raises(OSError, match="Input/output") as caught:
                    os.pread(file.fileno(), 512, sector * 512)
                assert caught.value.errno == errno.EIO
            else:
                assert os.pread(file.fileno(), 512, sector * 512) == data[sector * 512 : sector * 512 + 512]


def test_json_says_what_is_there_once_it_is_mounted(chain, tmp_path):
    leaf, _ = chain
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [sys.executable, "-m", "cli", "mount", str(leaf), str(folder), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        while (line := process.stdout.readline()) not in {"", "}\n"}:
            lines.append(line)
        try:
            answer = json.loads("".join([*lines, "}"]))
            jsonschema.validate(answer, SCHEMA)
            assert folder.is_mount()
            assert [entry["name"] for entry in answer["entries"]] == ["leaf.raw", "@0.raw", "@1.raw", "@2.raw"]
            assert all(Path(entry["path"]).is_file() for entry in answer["entries"])
        finally:
            subprocess.run(["fusermount3", "-u", folder], check=True)
        assert process.wait(60) == 0


def test_unmount_unmounts_and_a_folder_that_cannot_be_used_is_refused(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    with mounted(tmp_path / "disk", leaf):
        assert vhdx_command("unmount", tmp_path / "disk").code == 0
        assert not (tmp_path / "disk").is_mount()
    for folder, words in ((tmp_path / "none", "it is no folder; make one with `mkdir"), (tmp_path, "something is in")):
        answer = vhdx_command("mount", leaf, folder)
        assert answer.code == 5
        assert words in answer.err
    answer = vhdx_command("unmount", tmp_path / "disk")
    assert answer.code == 5
    assert "nothing is mounted there" in answer.err


def test_ctrl_c_ends_it_well_and_what_a_killed_one_leaves_can_be_unmounted(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [sys.executable, "-m", "cli", "mount", str(leaf), str(folder)]
    for number in (signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            process.send_signal(number)
            assert process.wait(60) == (0 if number == signal.SIGINT else -number)
    assert vhdx_command("unmount", folder).code == 0
    assert not list(folder.iterdir())
