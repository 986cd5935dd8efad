"""Volumes of each kind in a state before and one after, and what was done in between: the oracle."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.analyzer.guest import images
from tests.analyzer.guest.exfat_writer import Exfat
from tests.support.command_line import vhdx_command

__all__ = ["vhdx_command"]


def content(seed, length):
    """Bytes that stand nowhere else."""
    return random.Random(seed).randbytes(length)


BEFORE = {
    "kept.txt": content(1, 3000),
    "poked.bin": content(2, 40_000),
    "grown.txt": content(3, 6_000),
    "gone.txt": content(4, 9_000),
    "small.txt": b"resident",
    "old name.txt": content(5, 7_000),
    "again.txt": content(6, 2_000),
    "moved.txt": content(7, 5_000),
    "docs/in folder.txt": content(8, 3_000),
    "docs/other.txt": content(9, 100),
}
"""What every volume holds at first; exFAT has no folders."""
POKE = (1_000, b"\0changed in its place, neither larger nor newer\0")
GROWN = BEFORE["grown.txt"] + content(10, 30_000)
SMALL, AGAIN, NEW = b"Resident", content(11, 2_000), content(12, 12_345)


@dataclass
class States:
    """A chain of two layers, what each holds ({path: bytes}), and what the test did: {(what, path, path before)}."""

    kind: str
    leaf: Path
    before: dict[str, bytes]
    after: dict[str, bytes]
    done: set[tuple[str, str, str | None]]
    raw: tuple[Path, Path] = field(default=None)


def after_of(before):
    """What is there when all was done, of the files that the volume has."""
    poked = bytearray(before["poked.bin"])
    poked[POKE[0] : POKE[0] + len(POKE[1])] = POKE[1]
    after = dict(before) | {"poked.bin": bytes(poked), "grown.txt": GROWN, "again.txt": AGAIN, "new.bin": NEW}
    after["small.txt"] = SMALL
    del after["gone.txt"]
    after["new name.txt"] = after.pop("old name.txt")
    if "docs/other.txt" in before:
        after["docs/moved.txt"] = after.pop("moved.txt")
        for name in ("in folder.txt", "other.txt", "moved.txt"):
            after[f"papers/{name}"] = after.pop(f"docs/{name}")
    return after


DONE = {
    ("changed", "poked.bin", "poked.bin"),
    ("changed", "grown.txt", "grown.txt"),
    ("changed", "small.txt", "small.txt"),
    ("deleted", "gone.txt", "gone.txt"),
    ("renamed", "new name.txt", "old name.txt"),
    ("created", "new.bin", None),
}
IN_FOLDERS = {("renamed", "papers/moved.txt", "moved.txt"), ("renamed", "papers", "docs")}


def _ntfs(path, following):
    images.make_ntfs(path)
    writes = [("write", f"/{name}", data) for name, data in BEFORE.items()]
    images.edit_ntfs(path, ("mkdir", "/docs"), *writes)
    following(path)
    images.edit_ntfs(
        path,
        ("poke", "/poked.bin", *POKE),
        ("write", "/grown.txt", GROWN),
        ("write", "/small.txt", SMALL),
        ("remove", "/gone.txt"),
        ("rename", "/old name.txt", "/new name.txt"),
        ("remove", "/again.txt"),
        ("write", "/new.bin", NEW),
        ("write", "/again.txt", AGAIN),
        ("rename", "/moved.txt", "/docs/moved.txt"),
        ("rename", "/docs", "/papers"),
    )
    return BEFORE, DONE | IN_FOLDERS | {("replaced", "again.txt", "again.txt")}


def _fat(path, following, bits=16):
    images.make_fat(path, bits=bits, size={12: 8, 16: 16, 32: 40}[bits] * images.MIB)
    images.mtool("mmd", path, "::/docs")
    for name, data in BEFORE.items():
        images.fat_write(path, name, data)
    following(path)
    _poke(path, BEFORE["poked.bin"])
    for name in ("grown.txt", "small.txt", "gone.txt", "again.txt"):
        images.mtool("mdel", path, f"::{name}")
    for name, data in (("grown.txt", GROWN), ("small.txt", SMALL), ("again.txt", AGAIN), ("new.bin", NEW)):
        images.fat_write(path, name, data)
    images.mtool("mren", path, "::old name.txt", "::new name.txt")
    images.mtool("mmove", path, "::moved.txt", "::docs")
    images.mtool("mren", path, "::docs", "::papers")
    return BEFORE, DONE | IN_FOLDERS | {("changed", "again.txt", "again.txt")}


def _fat32(path, following):
    return _fat(path, following, bits=32)


def _fat12(path, following):
    return _fat(path, following, bits=12)


def _exfat(path, following):
    before = {name: data for name, data in BEFORE.items() if "/" not in name and name != "moved.txt"}
    images.make_exfat(path)
    volume = Exfat(path)
    for name, data in before.items():
        volume.write(name, data)
    volume.save()
    following(path)
    volume.poke("poked.bin", *POKE)
    for name in ("grown.txt", "small.txt", "gone.txt", "again.txt"):
        volume.remove(name)
    for name, data in (("grown.txt", GROWN), ("small.txt", SMALL), ("again.txt", AGAIN), ("new.bin", NEW)):
        volume.write(name, data)
    volume.rename("old name.txt", "new name.txt")
    volume.save()
    return before, DONE | {("changed", "again.txt", "again.txt")}


def _ext(path, following):
    images.make_ext(path, BEFORE)
    following(path)
    _poke(path, BEFORE["poked.bin"])
    images.debugfs(path, "rm gone.txt", "rm again.txt", "rm grown.txt", "rm small.txt")
    for name, data in (("new.bin", NEW), ("again.txt", AGAIN), ("grown.txt", GROWN), ("small.txt", SMALL)):
        images.ext_write(path, name, data)
    images.debugfs(
        path,
        'link "old name.txt" "new name.txt"',
        'unlink "old name.txt"',
        "link moved.txt docs/moved.txt",
        "unlink moved.txt",
        "link docs papers",
        "unlink docs",
    )
    written_anew = {("replaced", name, name) for name in ("again.txt", "grown.txt", "small.txt")}
    same = {("changed", name, name) for name in ("grown.txt", "small.txt")}
    return BEFORE, (DONE - same) | IN_FOLDERS | written_anew


def _poke(path, data):
    """Change bytes of a file where they stand: no program that writes files does that."""
    raw = path.read_bytes()
    at = raw.index(data[:64])
    assert raw.count(data[:64]) == 1
    with path.open("r+b") as file:
        file.seek(at + POKE[0])
        file.write(POKE[1])


MAKERS: dict[str, Callable] = {
    "ntfs": _ntfs, "fat16": _fat, "fat32": _fat32, "fat12": _fat12, "exfat": _exfat, "ext4": _ext,
}  # fmt: skip


@pytest.fixture(scope="session")
def states_of(tmp_path_factory):
    """Makes the two states of a kind of volume, once in a session."""
    made = {}

    def make(kind):
        need(kind)
        if kind not in made:
            made[kind] = _make(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return make


@pytest.fixture(autouse=True)
def _reader(request):
    """Skip what reads file systems where that is not installed; where peers are required, it fails."""
    if request.node.get_closest_marker("peers"):
        pytest.importorskip("pytsk3", reason="pytsk3 is not installed")


def need(kind):
    """Skip where what makes such volumes is not installed."""
    family = kind[:3] if kind.startswith(("fat", "ext")) else kind
    if images.is_missing(family):
        pytest.skip(f"what makes a volume of {kind} is not installed")


def _make(kind, folder):
    path, first = folder / "disk.raw", folder / "before.raw"
    before, done = MAKERS[kind](path, lambda image: shutil.copy(image, first))
    leaf = images.chain_of(folder / "chain", first, path)
    return States(kind, leaf, before, after_of(before), done, (first, path))
