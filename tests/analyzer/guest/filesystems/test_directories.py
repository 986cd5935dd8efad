"""Folders whose blocks are damaged are told: what the reader passes over must not look as if it had been deleted."""

import struct

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts.ext_inodes import is_whole_directory
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import need
from vhdx.ranges import NO_RANGES, Range, Ranges


@pytest.fixture
def volume(tmp_path):
    """An ext image with 300 files in a folder, enough for an index, and a folder of one block."""
    need("ext4")
    folder = tmp_path / "files"
    for name, count in (("many", 300), ("few", 5)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"a rather long name of file {number:04}").write_bytes(b"x")
    image = images.empty(tmp_path / "disk.raw", 16 * images.MIB)
    images.run("mkfs.ext4", "-q", "-b", "1024", "-d", folder, image)
    images.run("sh", "-c", 'e2fsck -fyD "$1" || true', "sh", image)  # makes an index, and says so by its exit code
    return image


def place_of(image, name):
    """The byte of the image where an entry of this name begins."""
    raw = image.read_bytes()
    assert raw.count(name) == 1
    return raw.index(name) - 8


@pytest.mark.peers
def test_whole_folders_are_listed_without_a_word(vhdx_command, volume):
    answer = vhdx_command("files", volume, "-r", "--json")
    assert (answer.code, answer.json["troubles"]) == (0, [])
    assert len([one for one in answer.json["files"] if "a rather long" in one["path"]]) == 305


@pytest.mark.peers
@pytest.mark.parametrize("length", [0, 7, 65532, 0xA5A5])
def test_a_folder_with_a_length_that_cannot_be_is_told(vhdx_command, volume, length):
    at = place_of(volume, b"a rather long name of file 0123")
    with volume.open("r+b") as handle:
        handle.seek(at + 4)
        handle.write(struct.pack("<H", length))
    answer = vhdx_command("files", volume, "/many", "--json")
    assert answer.code == 1
    assert ["damaged" in trouble["text"] for trouble in answer.json["troubles"]] == [True]
    assert vhdx_command("files", volume, "/few").code == 0


@pytest.mark.peers
def test_of_a_volume_in_doubt_files_without_names_are_listed_too(volume):
    images.run("debugfs", "-w", "-R", 'unlink "/few/a rather long name of file 0003"', volume)
    for doubtful, count in ((NO_RANGES, 0), (Ranges.of([Range(4096, 512)]), 1)):
        with RawDisk(volume) as disk:
            readable = ReadableDisk(disk)
            readable.doubtful = doubtful
            (found,) = open_volumes(readable)
            unreached = [one.path for one in found.walk() if one.path.startswith("/$unreached/")]
        assert len(unreached) == count


def test_blocks_are_filled_by_entries_to_their_last_byte():
    entry = struct.pack("<IHBB", 12, 16, 5, 1) + b"hello\0\0\0"
    rest = struct.pack("<IHBB", 0, 1024 - 16, 0, 0).ljust(1024 - 16, b"\0")
    assert is_whole_directory(entry + rest, 1024)
    assert is_whole_directory((entry + rest) * 3, 1024)
    assert not is_whole_directory(bytes(1024), 1024)
    assert not is_whole_directory(b"\xa5" * 1024, 1024)
    assert not is_whole_directory(entry + rest[:-4], 1024)
    assert not is_whole_directory(struct.pack("<IHBB", 12, 12, 5, 1).ljust(1024, b"\0"), 1024)
