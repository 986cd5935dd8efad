"""Volumes that this process reads itself: what it says of them, beside what the library says."""

import os

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems import volume as volumes
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import NO_RECORD, Include
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts.ntfs import SIZE, parse_boot
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need
from tests.analyzer.guest.damaged import damaged, made

pytestmark = pytest.mark.peers
MINUTE = 60 * 10**9


def told(path):
    """All that is said of the volumes of a disk, and whether the library was asked."""
    with RawDisk(path) as disk:
        found = open_volumes(ReadableDisk(disk))
        said = [
            (one.record, one.facts, one.root(), [(folder.record, [*folder.entries]) for folder in one.folders()])
            for one in found
            if one.is_readable
        ]
        return said, [one.troubles for one in found], any(one.reader.is_started for one in found)


def by_the_library(path, monkeypatch):
    """The same, where nothing is read here."""
    with monkeypatch.context() as patch:
        patch.setattr(volumes, "plain_volume", lambda *_: None)
        return told(path)


def odd_ext4(folder):
    """An ext4 with files that are described in all ways that there are."""
    tree = folder / "tree"
    (tree / "many").mkdir(parents=True)
    for number in range(150):
        (tree / "many" / f"{number:0100}").write_bytes(b"x")
    (tree / "empty").touch()
    (tree / "short link").symlink_to("many/of them")
    (tree / "long link").symlink_to("x" * 200)
    os.link(tree / "empty", tree / "second name")
    os.mkfifo(tree / "pipe")
    (tree / "\N{SNOWMAN} and \x01").write_bytes(content(1, 5000))
    (tree / os.fsdecode(b"no \xff UTF-8")).write_bytes(content(2, 10))
    with (tree / "holes").open("wb") as file:
        for at in range(0, 80_000, 9000):
            file.seek(at)
            file.write(content(at, 900))
        file.truncate(200_000)
    (tree / "empty").chmod(0o4755)
    os.utime(tree / "holes", ns=(90 * 365 * 1440 * MINUTE, -5 * MINUTE))  # needs more than 32 bits, and a sign
    path = images.empty(folder / "odd.raw", 16 * images.MIB)
    images.run("mkfs.ext4", "-q", "-F", "-b", "1024", "-d", tree, path)
    return path


def odd_ntfs(folder):
    """An NTFS with files that are described in all ways that there are."""
    path = images.make_ntfs(folder / "odd.raw", 16 * images.MIB)
    many = [("write", f"/many/the name of file number {number:03}", b"x") for number in range(150)]
    images.edit_ntfs(
        path,
        ("mkdir", "/many"),
        *many,
        *[("remove", one) for _, one, _ in many[::3]],
        ("write", "/small", b"in its record"),
        ("write", "/large", content(3, 300_000)),
        ("write", "/with streams", content(4, 3000)),
        ("stream", "/with streams", "zone", b"a few bytes"),
        ("stream", "/with streams", "more", content(5, 70_000)),
        ("write", "/point", b""),
        ("reparse", "/point", bytes.fromhex("170000800400000001020304")),
        ("mkdir", "/packed"),
        ("compress", "/packed"),
        ("write", "/packed/zeros", b"packed" * 30_000),
        ("write", "/named twice", b"twice"),
        ("link", "/named twice", "/many/again"),
        ("write", "/\N{SNOWMAN}", b"snow"),
    )
    return path


@pytest.mark.parametrize("make", [odd_ext4, odd_ntfs])
def test_what_is_odd_is_asked_for_and_nothing_else_differs(tmp_path, monkeypatch, make):
    need(make.__name__[4:])
    path = make(tmp_path)
    (volume,), (troubles,), is_asked = told(path)
    (theirs,), (their_troubles,), _ = by_the_library(path, monkeypatch)
    assert volume == theirs
    assert troubles == their_troubles == []
    assert is_asked


@pytest.mark.parametrize("kind", ["ext4", "ntfs"])
def test_a_plain_volume_is_read_without_the_library(states_of, monkeypatch, kind):
    for path in states_of(kind).raw:
        said, troubles, is_asked = told(path)
        assert not is_asked
        assert (said, troubles) == by_the_library(path, monkeypatch)[:2]


@pytest.mark.parametrize("kind", ["ext4", "ntfs"])
def test_deleted_files_are_sought_by_the_library(states_of, kind):
    with RawDisk(states_of(kind).raw[1]) as disk:
        (volume,) = open_volumes(ReadableDisk(disk))
        present = {record.path for record in volume.walk()}
        assert not volume.reader.is_started
        assert present < {record.path for record in volume.walk(Include.DELETED)}
        assert volume.reader.is_started


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "ntfs"])
def test_of_damaged_volumes_at_least_the_same_is_told(tmp_path, monkeypatch, kind):
    """Where the library gives up a volume, or leaves out a folder without a word, more is."""
    need(kind)
    raw, path = made(kind, tmp_path), tmp_path / "damaged.raw"
    for seed in range(12):
        path.write_bytes(damaged(kind, raw, seed))
        said, troubles, _ = told(path)
        theirs, their_troubles, _ = by_the_library(path, monkeypatch)
        assert records_of(said) >= records_of(theirs), seed
        assert sum(map(len, troubles)) <= sum(map(len, their_troubles)), seed


def records_of(said):
    return {record for _, _, _, folders in said for _, files in folders for record in files}


def test_what_the_library_cannot_open_is_listed_as_far_as_it_is_plain(tmp_path):
    """The record of a file of the system's own makes no sense: the library takes the volume for none."""
    need("ntfs")
    path = odd_ntfs(tmp_path)
    raw = bytearray(path.read_bytes())
    boot = parse_boot(raw[:SIZE])
    own = boot.mft * boot.cluster_size + 6 * boot.record_size  # $Bitmap
    raw[own + 6 : own + 8] = b"\xff\xff"
    path.write_bytes(raw)
    ((_, _, _, folders),), (troubles,), _ = told(path)
    obstacles = {record.path: record.obstacle for _, files in folders for record in files}
    known = {path for path, obstacle in obstacles.items() if obstacle != NO_RECORD}
    assert obstacles.keys() - known == {"/packed/zeros", "/point", "/$Bitmap"}
    assert obstacles["/large"] is None
    assert all("what is not plain cannot be read" in trouble.text for trouble in troubles)
