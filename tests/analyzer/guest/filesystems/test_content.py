"""What files of NTFS hold by their own records, against the library, which is asked where these do not say it."""

import random
import struct

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems import content as contents
from analyzer.guest.filesystems.content import Content
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import Extent, FileKind, Role
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts.fat import parse_boot
from analyzer.guest.layouts.ntfs_streams import stream_in
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need

pytestmark = pytest.mark.peers
SIZE, WRITTEN = 50_001, 20_003
ASKED = {"/packed/zeros", "/sparse"}
"""Files that the library is asked for: compressed ones, and those with holes."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """An NTFS with a file of each way to hold something; of /never the first 20,003 bytes alone were ever written."""
    need("ntfs")
    disk = images.make_ntfs(tmp_path_factory.mktemp("content") / "disk.raw", 16 * images.MIB)
    images.edit_ntfs(
        disk,
        ("write", "/plain", content(1, 100_000)), ("write", "/small", b"in its record"), ("write", "/none", b""),
        ("stream", "/small", "zone", b"in the same one"), ("stream", "/plain", "long", content(2, 30_000)),
        ("write", "/never", content(3, SIZE)), ("grow", "/sparse", images.MIB), ("poke", "/sparse", 70_000, b"some"),
        ("mkdir", "/packed"), ("compress", "/packed"), ("write", "/packed/zeros", bytes(90_000) + content(4, 9_000)),
    )  # fmt: skip
    raw, sizes = disk.read_bytes(), struct.pack("<QQ", SIZE, SIZE)
    assert raw.count(sizes) == 1
    disk.write_bytes(raw.replace(sizes, struct.pack("<QQ", SIZE, WRITTEN)))
    return disk


def test_files_of_ntfs_hold_by_their_records_what_the_library_says(disk, monkeypatch):
    asked, read = set(), Volume.read
    monkeypatch.setattr(Volume, "read", lambda self, file, *where: asked.add(file.path) or read(self, file, *where))
    with RawDisk(disk) as raw:
        (volume,) = open_volumes(ReadableDisk(raw))
        files = [file for file in volume.walk() if file.kind is FileKind.FILE and file.role is Role.USER]
        streams = [(file, stream) for file in files for stream in (file.data, *file.streams)]
        ours = [Content(volume, file, stream).read(0, stream.size) for file, stream in streams]
        assert (len(ours), asked) == (8, ASKED)
        monkeypatch.setattr(contents, "_stream_told", lambda *_: None)
        assert ours == [Content(volume, file, stream).read(0, stream.size) for file, stream in streams]
        never = next(held for (file, _), held in zip(streams, ours, strict=True) if file.path == "/never")
        assert never == content(3, SIZE)[:WRITTEN].ljust(SIZE, b"\0")
        del volume


def test_a_record_with_anything_wrong_in_it_says_nothing_and_ends_nothing(disk):
    raw = disk.read_bytes()
    record = next(raw[start : start + 1024] for start in range(0, len(raw), 1024)
                  if raw.startswith(b"FILE", start) and b"in its record" in raw[start : start + 1024])  # fmt: skip
    number = int.from_bytes(record[44:48], "little")
    assert stream_in(record, number, "").inside == b"in its record"
    assert stream_in(record, number, "zone").inside == b"in the same one"
    for wrong in (record[:-1], record[:512], b"", b"BAAD" + record[4:], record[:510] + b"xx" + record[512:]):
        assert stream_in(wrong, number, "") is None
    assert stream_in(record, number + 1, "") is None
    assert stream_in(record, number, "other") is None
    chance = random.Random(1)
    for _ in range(500):
        damaged = bytearray(record)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(400)] = chance.randrange(256)
        told = stream_in(bytes(damaged), number, "")
        assert told is None or told.inside is None or len(told.inside) == told.size


@pytest.mark.parametrize("start", [(0, 1 << 20), (0, 4095)])
def test_a_file_with_one_place_twice_is_no_sound_file(disk, start):
    with RawDisk(disk) as raw:
        (volume,) = open_volumes(ReadableDisk(raw))
        plain = next(file for file in volume.walk() if file.path == "/plain")
        extents = tuple(Extent(number * 4096, at, 4096) for number, at in enumerate(start))
        stream = plain.data._replace(size=8192, extents=extents)
        if start[1] < 4096:
            with pytest.raises(UnreadableFileError, match="a place of the disk twice"):
                Content(volume, plain, stream)
        else:
            Content(volume, plain, stream)
        del volume


def test_a_file_of_fat_whose_clusters_are_a_circle_has_not_all_of_its_places(tmp_path):
    need("fat")
    disk = images.make_fat(tmp_path / "disk.raw", 16 * images.MIB)
    images.fat_write(disk, "circle", content(5, 40_000))
    images.fat_write(disk, "sound", content(6, 40_000))
    with disk.open("r+b") as file:
        boot = parse_boot(file.read(512))
        file.seek(boot.fat_start + 2 * 4)
        file.write(struct.pack("<H", 2))  # the third of its clusters leads back to the first
    with RawDisk(disk) as raw:
        (volume,) = open_volumes(ReadableDisk(raw))
        obstacles = {file.path: file.obstacle for file in volume.walk() if file.role is Role.USER}
    assert obstacles == {"/circle": "not all of the places of its data are known", "/sound": None}
