"""Volumes of which a folder was overwritten: the files that it named are listed by their records, noise is not."""

import random

import pytest

from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need

pytestmark = pytest.mark.peers
MIB = images.MIB
FILES = {f"file{number:02}": content(200 + number, 3000) for number in range(30)}


def noise(length):
    return random.Random(length).randbytes(length)


def overwritten(path, sign, before, length):
    """Put noise where a sign is that stands in a folder's blocks alone, from `before` bytes in front of it on."""
    raw = bytearray(path.read_bytes())
    at = raw.index(sign)
    start = (at - before(at)) if callable(before) else at - before
    raw[start : start + length] = noise(length)
    path.write_bytes(raw)


def extracted(vhdx_command, disk, out):
    vhdx_command("extract", disk, "/", "-o", out)
    return sorted(path.read_bytes() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize("options", [("-O", "metadata_csum"), ("-O", "^metadata_csum,^extents,^64bit")])
def test_files_of_ext_whose_folder_holds_noise_come_out_and_nothing_else(vhdx_command, tmp_path, options):
    need("ext4")
    disk = images.make_ext(tmp_path / "disk.raw", FILES, 8 * MIB, "-b", 1024, *options)
    healthy = [file["path"] for file in vhdx_command("files", disk, "-r", "--json").json["files"]]
    assert not [path for path in healthy if "unreached" in path]
    overwritten(disk, b"lost+found", lambda at: at % 1024, 1024)
    assert extracted(vhdx_command, disk, tmp_path / "out") == sorted(FILES.values())


def test_noise_where_inodes_were_is_no_file(vhdx_command, tmp_path):
    need("ext4")
    disk = images.make_ext(tmp_path / "disk.raw", FILES, 8 * MIB, "-b", 1024, "-O", "^metadata_csum,^extents,^64bit")
    overwritten(disk, b"lost+found", lambda at: at % 1024, 1024)
    told = images.debugfs_said(disk, "imap <24>")
    block = int(told.rpartition("block ")[2].split(",")[0])
    with disk.open("r+b") as file:
        file.seek(block * 1024)
        file.write(noise(1024))
    found = extracted(vhdx_command, disk, tmp_path / "out")
    assert set(found) < set(FILES.values())
    assert len(found) >= len(FILES) - 8


def ntfs_with_folder(path):
    """An NTFS with the files in one folder, and that folder's record."""
    need("ntfs")
    images.make_ntfs(path, 8 * MIB)
    lines = [("mkdir", "/folder"), *(("write", f"/folder/{name}", data) for name, data in FILES.items())]
    images.edit_ntfs(path, *lines)
    return path


def test_files_of_ntfs_whose_folders_index_holds_noise_keep_their_names(vhdx_command, tmp_path):
    disk = ntfs_with_folder(tmp_path / "disk.raw")
    assert "unreached" not in vhdx_command("files", disk, "-r").out
    raw, name = disk.read_bytes(), "file00".encode("utf-16-le")
    blocks = (at for at in range(0, len(raw), 4096) if raw.startswith(b"INDX", at))
    start = next(at for at in blocks if name in raw[at : at + 4096])
    disk.write_bytes(raw[:start] + noise(4096) + raw[start + 4096 :])
    answer = vhdx_command("files", disk, "-r", "--json")
    assert (answer.code, "folder is damaged" in str(answer.json["troubles"])) == (1, True)
    paths = {file["path"] for file in answer.json["files"] if file["kind"] == "file"}
    assert {path.rpartition("-")[2].rpartition("/")[2] for path in paths} == set(FILES)


def test_files_of_ntfs_whose_folder_has_lost_its_record_come_out_by_the_names_in_theirs(vhdx_command, tmp_path):
    disk = ntfs_with_folder(tmp_path / "disk.raw")
    raw, name = disk.read_bytes(), "folder".encode("utf-16-le")
    records = (at for at in range(0, len(raw), 1024) if raw.startswith(b"FILE", at))
    start = next(at for at in records if name in raw[at : at + 1024])
    disk.write_bytes(raw[:start] + noise(1024) + raw[start + 1024 :])
    answer = vhdx_command("files", disk, "-r", "--json")
    paths = {file["path"] for file in answer.json["files"] if file["kind"] == "file"}
    assert {path.rpartition("-")[2] for path in paths if path.startswith("/$unreached/inode-")} == set(FILES)
    assert vhdx_command("files", disk, min(paths)).out.rstrip().endswith("-file00")
    assert extracted(vhdx_command, disk, tmp_path / "out") == sorted(FILES.values())
