"""Disks of two readings, and files of ext that no folder names: both are shown, and both can be taken out."""

import re
import struct
from uuid import UUID
from zlib import crc32

import pytest

from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need

pytestmark = pytest.mark.peers
MIB = images.MIB
RESERVED = UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")
FILES = {f"top/file{n}": content(n, 3000 + 700 * n) for n in range(20)}


def whole_ext(path):
    """A disk of 24 MiB that is all ext4, with copies of its superblock 8 MiB apart."""
    return images.make_ext(path, FILES, 24 * MIB, "-b", 1024)


def formatted(path, at):
    """The same with an NTFS of 4 MiB quickly made over it at a byte: what that wrote, and nothing else."""
    made = images.make_ntfs(path.with_suffix(".ntfs"), 4 * MIB).read_bytes()
    with path.open("r+b") as disk:
        disk.write(bytes(2048))
        for sector in range(0, len(made), 512):
            if made[sector : sector + 512].count(0) < 512:
                disk.seek(at + sector)
                disk.write(made[sector : sector + 512])
        if at:
            entry = struct.pack("<BBHBBHII", 0, 0, 0, 7, 0, 0, at // 512, len(made) // 512)
            disk.seek(446)
            disk.write(entry.ljust(64, b"\0") + b"\x55\xaa")


@pytest.mark.parametrize("at", [0, MIB, 12 * MIB])
def test_an_ext_of_all_of_the_disk_is_shown_beneath_what_was_made_over_it(vhdx_command, tmp_path, at):
    need("ext4")
    need("ntfs")
    disk = whole_ext(tmp_path / "disk.raw")
    formatted(disk, at)
    answer = vhdx_command("files", disk, "--json")
    assert [(volume["type"], volume["beneath"]) for volume in answer.json["volumes"]] == [
        ("ntfs", False),
        ("ext4", True),
    ]
    notes = " ".join(answer.json["volumes"][1]["notes"])
    assert re.search(r"1 of 2 copies of its superblock stand, last written 20\d\d-", notes)
    assert "over it lies ntfs" in notes
    assert not {file["volume"] for file in answer.json["files"]} - {1}
    paths = {file["path"][1:] for file in vhdx_command("files", disk, "-r", "--volume", 2, "--json").json["files"]}
    assert at < 12 * MIB or set(FILES) <= paths
    leaf = images.chain_of(tmp_path / "chain", disk)
    told = vhdx_command("recover", leaf, "--dry-run")
    assert "two readings: ntfs" in told.out
    assert "--volume N reads either" in told.out
    assert vhdx_command("recover", leaf, "--dry-run", "--json").json["volume"]["over"]
    assert "beneath its volumes lies an ext volume that takes all" in vhdx_command("check", "--content", leaf).out


def test_a_disk_of_one_reading_has_nothing_beneath(vhdx_command, tmp_path):
    need("ext4")
    disk = whole_ext(tmp_path / "disk.raw")
    assert [volume["beneath"] for volume in vhdx_command("files", disk, "--json").json["volumes"]] == [False]
    leaf = images.chain_of(tmp_path / "chain", disk)
    assert "one ext volume without partitions" in vhdx_command("recover", leaf, "--dry-run").out


def test_group_descriptors_under_another_table_are_read_by_their_copy(vhdx_command, tmp_path):
    """A GPT in sectors of 4096 bytes has its header where an ext of such blocks has its group descriptors."""
    need("ext4")
    disk = whole_ext(tmp_path / "disk.raw")
    with disk.open("r+b") as file:
        file.seek(2048)
        file.write(b"EFI PART\0\0\1\0\x5c".ljust(512, b"\0") + content(1, 400))
    answer = vhdx_command("files", disk, "-r", "--json")
    assert set(FILES) <= {file["path"][1:] for file in answer.json["files"]}
    assert "or what stands behind it, is lost" in " ".join(answer.json["volumes"][0]["notes"])


def test_files_of_a_cut_ext_that_no_folder_names_are_listed_and_come_out_whole(vhdx_command, tmp_path):
    need("ext4")
    disk = whole_ext(tmp_path / "disk.raw")
    inode = int(re.search(r"Inode: (\d+)", images.debugfs_said(disk, "stat /top/file3"))[1])
    images.debugfs(disk, "unlink /top/file3")
    healthy = [file["path"] for file in vhdx_command("files", disk, "-r", "--json").json["files"]]
    assert not [path for path in healthy if "unreached" in path]
    with disk.open("r+b") as file:
        file.truncate(23 * MIB)
    answer = vhdx_command("files", disk, "-r", "--json")
    assert [file["path"] for file in answer.json["files"] if "unreached" in file["path"]] == [
        f"/$unreached/inode-{inode}"
    ]
    assert vhdx_command("files", disk, f"/$unreached/inode-{inode}").code == 0
    assert vhdx_command("extract", disk, "/", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "$unreached" / f"inode-{inode}").read_bytes() == FILES["top/file3"]
    assert vhdx_command("extract", disk, f"/$unreached/inode-{inode}", "-o", tmp_path / "one").code == 0
    assert (tmp_path / "one" / f"inode-{inode}").read_bytes() == FILES["top/file3"]


_STRAY = {
    "ntfs": lambda path: images.make_ntfs(path, 16 * MIB),
    "fat32": lambda path: images.make_fat(path, 64 * MIB, 32),
    "exfat": lambda path: images.make_exfat(path, 16 * MIB),
    "XFS": lambda path: images.make_xfs(path, {}, 64 * MIB),
    "Btrfs": lambda path: images.make_btrfs(path, {}, 128 * MIB),
}


@pytest.mark.parametrize(
    ("kind", "table"), [("ntfs", "gpt"), ("fat32", "mbr"), ("exfat", "mbr"), ("XFS", "gpt"), ("Btrfs", "gpt")]
)
def test_a_volume_of_all_of_a_disk_is_told_under_a_stray_table(vhdx_command, tmp_path, kind, table):
    """What else of it stands than its beginning: records of $MFT, a boot sector's copy, superblocks of later groups."""
    need(kind.lower())
    disk = _STRAY[kind](tmp_path / "disk.raw")
    if kind == "ntfs":
        images.edit_ntfs(disk, ("write", "/kept", FILES["top/file3"]))
    if kind == "fat32":
        images.fat_write(disk, "kept", FILES["top/file3"])
    leaf = images.chain_of(tmp_path / "chain", under_table(disk, table))
    told = vhdx_command("check", "--content", leaf)
    assert re.search(f"CON-02: empty partitions were made over an? {kind} volume", told.out)
    assert vhdx_command("recover", leaf, "--dry-run", "--json").json["volume"]["kind"] == kind
    assert f"it is {kind}" in vhdx_command("files", leaf).err or kind in {"ntfs", "fat32", "exfat"}
    if kind in {"ntfs", "fat32"}:
        assert vhdx_command("extract", leaf, "/kept", "-o", tmp_path / "out").code == 0
        assert (tmp_path / "out" / "kept").read_bytes() == FILES["top/file3"]


def under_table(path, table):
    """The disk with an empty partition: by an MBR over its first sector, or a GPT over its front and its end."""
    count = path.stat().st_size // 512
    kind, first, length = (7, 2048, count // 2) if table == "mbr" else (0xEE, 1, count - 1)
    front = struct.pack("<B3xB3xII", 0, kind, first, length).rjust(462, b"\0").ljust(510, b"\0") + b"\x55\xaa"
    writes = {0: front}
    if table == "gpt":
        entries = struct.pack("<16s16sQQ", RESERVED.bytes_le, bytes(range(16)), 34, count // 2).ljust(128 * 128, b"\0")
        writes[1] = gpt_header(entries, 1, count - 1, 2) + entries
        writes[count - 33] = entries + gpt_header(entries, count - 1, 1, count - 33)
    with path.open("r+b") as file:
        for sector, raw in writes.items():
            file.seek(sector * 512)
            file.write(raw)
    return path


def gpt_header(entries, here, other, at):
    fields = b"EFI PART", 0x10000, 92, 0, 0, here, other, 34, max(here, other) - 34, bytes(16), at, 128, 128
    head = struct.pack("<8sIIIIQQQQ16sQII", *fields) + struct.pack("<I", crc32(entries))
    return (head[:16] + struct.pack("<I", crc32(head)) + head[20:]).ljust(512, b"\0")
