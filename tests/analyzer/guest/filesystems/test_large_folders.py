"""Folders of NTFS of so many names that the library takes minutes: their index read here, against the library."""

import random

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems import metadata_places
from analyzer.guest.filesystems.opened import NOTHING_AVOIDED
from analyzer.guest.filesystems.opening import opened
from analyzer.guest.filesystems.record import FileRecord, FileState, Include
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.filesystems.walk import Said
from analyzer.guest.layouts.ntfs_index import names_in_block, names_in_root
from analyzer.guest.layouts.partitions import Partition
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import need

pytestmark = pytest.mark.peers
NAMES = 400


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """An NTFS with 400 names in a folder, every third of which is removed: some blocks of its index are in no use."""
    need("ntfs")
    disk = images.make_ntfs(tmp_path_factory.mktemp("large") / "disk.raw", 16 * images.MIB)
    paths = [f"/all/the name of file number {number:03} \N{SNOWMAN}" for number in range(NAMES)]
    lines = [("mkdir", "/all"), ("mkdir", "/all/below"), *(("write", path, b"x" * 9) for path in paths)]
    images.edit_ntfs(disk, *lines, *(("remove", path) for path in (*paths[::3], *paths[:150:3])[:134]))
    return disk


def listed(disk, include=Include.PRESENT):
    """What is below /all, sorted, and what is said of the volume."""
    with RawDisk(disk) as raw:
        _, volume = opened(ReadableDisk(raw), Partition(0, 0, raw.size), NOTHING_AVOIDED, lambda _: None)
        items = [*volume.folders(include, None)]
    files = sorted(item for item in items if isinstance(item, FileRecord) and item.path.startswith("/all/"))
    return files, [item for item in items if isinstance(item, Said)]


def test_the_index_says_what_the_library_says(disk, monkeypatch):
    theirs = listed(disk)
    monkeypatch.setattr(metadata_places, "_LARGE_INDEX", 0)
    assert listed(disk) == theirs
    assert len(theirs[0]) > NAMES // 2
    files, said = listed(disk, Include.DELETED)
    assert all(file.state is FileState.ALLOCATED for file in files)
    assert Said("/all", "so many names are in the folder that deleted ones are not sought") in said


def test_an_index_that_is_torn_or_endless_names_nothing_more(disk):
    raw = disk.read_bytes()
    block = next(raw[at : at + 4096] for at in range(0, len(raw), 4096) if raw.startswith(b"INDX", at) and
                 "file number".encode("utf-16-le") in raw[at : at + 4096])  # fmt: skip
    assert len([*names_in_block(block)]) == 9
    for wrong in (b"", block[:100], block[:510] + b"xx" + block[512:], b"BAAD" + block[4:]):
        assert not [*names_in_block(wrong)]
    first = 24 + int.from_bytes(block[24:28], "little")
    stuck = bytearray(block)
    stuck[first + 8 : first + 10] = bytes(2)  # an entry of no length
    assert not [*names_in_block(bytes(stuck))]
    assert not [*names_in_root(block)]
    chance = random.Random(1)
    for _ in range(500):
        damaged = bytearray(block)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(400)] = chance.randrange(256)
        assert len([*names_in_block(bytes(damaged))]) < NAMES
