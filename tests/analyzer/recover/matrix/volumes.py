"""Raw disks with real file systems on them, made by mkfs.ext4, debugfs, mkntfs and ntfscp; no root is needed."""

import random
import shutil
import subprocess
from pathlib import Path

from fixtures.constants import MIB
from fixtures.gpt import BASIC_DATA, FIRST, SECTOR, Gpt
from fixtures.identity import guid

EXT_SIZE = 288 * MIB
"""Two groups of 128 MiB and a part of a third: the second one has a backup of the superblock."""
NTFS_SIZE = 160 * MIB
PROGRAMS = ("mkfs.ext4", "debugfs", "mkntfs", "ntfscp")


def missing_programs():
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def make_ext4(folder: Path) -> Path:
    """A whole disk of ext4 without partitions, as WSL and Docker have it, with files."""
    raw = _empty(folder / "ext4.raw", EXT_SIZE)
    files = _files(folder / "ext4-files", seed=1)
    _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-U", str(guid("ext4")), "-d", str(files), str(raw))
    return raw


def change_ext4(before: Path) -> Path:
    """The same disk after more files were written, and one was deleted."""
    raw = before.with_name("ext4-after.raw")
    _run("cp", "--sparse=always", str(before), str(raw))
    commands = [f"write {path} /{path.name}" for path in sorted(_files(raw.parent / "ext4-more", seed=2).iterdir())]
    script = raw.parent / "ext4-commands"
    script.write_text("\n".join([*commands, "rm /blob-1-2"]) + "\n")
    _run("debugfs", "-w", "-f", str(script), str(raw))
    return raw


def make_ntfs(folder: Path) -> Path:
    """A disk with a GPT and one NTFS partition, with files."""
    part = _empty(folder / "ntfs.part", (_gpt().last_usable + 1 - FIRST) * SECTOR)
    _run("mkntfs", "-Q", "-F", "-q", "-p", str(FIRST), "-H", "16", "-S", "63", "-s", "512", str(part))
    for path in sorted(_files(folder / "ntfs-files", seed=3).iterdir()):
        _run("ntfscp", "-f", str(part), str(path), path.name)
    return _partitioned(folder / "ntfs.raw", part)


def change_ntfs(before: Path) -> Path:
    """The same disk after more files were written."""
    part = before.with_name("ntfs.part")
    for path in sorted(_files(before.parent / "ntfs-more", seed=4).iterdir()):
        _run("ntfscp", "-f", str(part), str(path), path.name)
    return _partitioned(before.with_name("ntfs-after.raw"), part)


def _gpt():
    last = NTFS_SIZE // SECTOR - 1
    return Gpt(last=last, disk=guid("disk"), partition=guid("part"), kind=BASIC_DATA, name="data")


def _partitioned(raw: Path, part: Path) -> Path:
    _empty(raw, NTFS_SIZE)
    table = _gpt()
    with raw.open("r+b") as disk, part.open("rb") as volume:
        disk.write(table.front)
        disk.seek(table.back_sector * SECTOR)
        disk.write(table.back)
        at = FIRST * SECTOR
        while piece := volume.read(MIB):
            if piece.count(0) < len(piece):
                disk.seek(at)
                disk.write(piece)
            at += MIB
    return raw


def _files(folder: Path, seed: int) -> Path:
    """Files whose content no compression, hole or chance makes equal."""
    folder.mkdir()
    draw = random.Random(seed)
    for number in range(5):
        (folder / f"blob-{seed}-{number}").write_bytes(draw.randbytes(draw.randrange(MIB, 5 * MIB)))
    (folder / f"letter-{seed}").write_text("the quick brown fox\n" * 500)
    return folder


def _empty(path: Path, size: int) -> Path:
    with path.open("wb") as handle:
        handle.truncate(size)
    return path


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
