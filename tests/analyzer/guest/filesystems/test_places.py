"""Where on the disk a file stands: its data, its record, its tables."""

import struct

import pytest

from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import MAKERS, content, need
from tests.analyzer.guest.filesystems.test_volumes import put

MIB = images.MIB
OFFSET = 3 * MIB


def files_of(vhdx_command, disk):
    return {f["path"][1:]: f for f in vhdx_command("files", disk, "-r", "--json").json["files"] if f["kind"] == "file"}


def record_is_of(kind, raw, start, size):
    """Whether what stands at a place is what the format keeps of a file of that size."""
    match kind:
        case "ntfs":
            return raw[start : start + 4] == b"FILE"
        case "exfat":
            return raw[start] == 0x85 and struct.unpack_from("<Q", raw, start + 32 + 24)[0] == size
        case "ext4":
            return struct.unpack_from("<I", raw, start + 4)[0] == size
    return struct.unpack_from("<I", raw, start + 28)[0] == size


@pytest.mark.peers
@pytest.mark.parametrize("kind", list(MAKERS))
def test_data_and_records_stand_where_they_are_said_to(vhdx_command, states_of, tmp_path, kind):
    states = states_of(kind)
    disk = images.empty(tmp_path / "disk.raw", OFFSET + states.raw[1].stat().st_size)
    put(disk, OFFSET, states.raw[1])
    _write_mbr(disk)
    raw = disk.read_bytes()
    for path, file in files_of(vhdx_command, disk).items():
        stored = b"".join(raw[start : start + length] for start, length in file["content"])
        assert states.after[path] in stored if kind == "ntfs" else stored == states.after[path]
        assert record_is_of(kind, raw, file["metadata"][0][0], file["size"])
        if kind.startswith("fat"):
            tables = file["metadata"][1:]
            assert len(tables) == len(file["content"])
            assert all(any(raw[start : start + length]) for start, length in tables)


def _write_mbr(disk):
    sectors = (disk.stat().st_size - OFFSET) // 512
    with disk.open("r+b") as file:
        file.seek(446)
        file.write(struct.pack("<B3sB3sII", 0, b"\0\0\0", 7, b"\0\0\0", OFFSET // 512, sectors))
        file.seek(510)
        file.write(b"\x55\xaa")


@pytest.mark.peers
def test_blocks_of_extents_and_further_records_are_a_files_metadata(vhdx_command, tmp_path):
    need("ext4")
    need("ntfs")
    names = [f"f{number:03}" for number in range(200)]
    disk = images.make_ext(tmp_path / "ext.raw", dict.fromkeys(names, b"x" * 1024), 8 * MIB, "-b", 1024)
    images.debugfs(disk, *(f"rm {name}" for name in names[::2]))
    images.ext_write(disk, "big", content(1, 6_500_000))
    big, raw = files_of(vhdx_command, disk)["big"], disk.read_bytes()
    assert len(big["metadata"]) > 1
    assert all(raw[start : start + 2] == b"\x0a\xf3" for start, _ in big["metadata"][1:])
    disk = images.make_ntfs(tmp_path / "ntfs.raw", 8 * MIB)
    streams = [("stream", "/many", f"stream number {number}", content(number, 90)) for number in range(60)]
    images.edit_ntfs(disk, ("write", "/many", b"x"), *streams)
    many, raw = files_of(vhdx_command, disk)["many"], disk.read_bytes()
    assert len(many["streams"]) == 60
    records = [start for start, _ in many["metadata"] if raw[start : start + 4] == b"FILE"]
    assert len(records) > 1
    assert len(many["metadata"]) - len(records) <= 2  # their list and who may read it, which outgrew the record


@pytest.mark.peers
def test_links_and_files_kept_elsewhere_are_told_by_their_reparse_points(vhdx_command, tmp_path):
    need("ntfs")
    disk, name = images.make_ntfs(tmp_path / "disk.raw"), "C:\\x".encode("utf-16-le")
    link = struct.pack("<HHHHI", 0, len(name), len(name), len(name), 0) + name + name
    images.edit_ntfs(
        disk,
        ("write", "/link", b""),
        ("reparse", "/link", struct.pack("<IHH", 0xA000000C, len(link), 0) + link),
        ("write", "/packed", content(1, 3000)),
        ("reparse", "/packed", struct.pack("<IHH", 0x80000017, 16, 0) + bytes(16)),
    )
    answer = vhdx_command("extract", disk, "/", "-o", tmp_path / "out", "--json")
    assert answer.code == 1
    assert [told["path"] for told in answer.json["left_out"]] == ["/packed"]
    assert "C:\\x" in answer.json["links"][0]["text"]
    assert list((tmp_path / "out").iterdir()) == []
