"""Sparse files: a hole that the file system means is zeros, and only what is lost, or past the disk's end, is lost."""

import re

import pytest

from analyzer.guest.filesystems.volume import Volume
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need

pytestmark = pytest.mark.peers
MIB = images.MIB
SPARSE = {
    "hole at the end": (2 * MIB, [(0, 100_000)]),
    "hole in front": (2 * MIB, [(MIB, 100_000)]),
    "hole in the middle": (2 * MIB, [(0, 100_000), (MIB + 4096, 100_000)]),
    "nothing else": (2 * MIB, []),
    "a tree of extents": (8 * MIB, [(at << 16, 4096) for at in range(120)]),
    "far apart": (40 * MIB, [(0, 5000), (20 * MIB, 100), (40 * MIB - 5000, 5000)]),
}


def bytes_of(size, parts):
    """What a sparse file holds, its holes as zeros."""
    data = bytearray(size)
    for at, length in parts:
        data[at : at + length] = content(at + 1, length)
    return bytes(data)


@pytest.fixture
def make_ext(tmp_path):
    """Makes a volume of that type with the sparse files in it."""
    need("ext4")
    folder = tmp_path / "sparse"
    folder.mkdir()
    for name, (size, parts) in SPARSE.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
            for at, length in parts:
                file.seek(at)
                file.write(content(at + 1, length))

    def make(kind, name="disk.raw"):
        disk = images.empty(tmp_path / name, 64 * MIB)
        images.run("mkfs.ext4", "-q", "-t", kind, "-b", 1024, "-d", folder, disk)
        return disk

    return make


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_holes_of_ext_are_zeros(vhdx_command, make_ext, tmp_path, kind):
    disk, out = make_ext(kind), tmp_path / "out"
    answer = vhdx_command("extract", disk, "/", "-o", out)
    assert (answer.code, answer.err) == (0, "")
    for name, sparse in SPARSE.items():
        assert (out / name).read_bytes() == bytes_of(*sparse), name


def test_files_of_ext_are_read_from_their_extents_without_asking_the_reader(
    vhdx_command, make_ext, tmp_path, monkeypatch
):
    monkeypatch.setattr(Volume, "read", None)  # not to be called
    answer = vhdx_command("extract", make_ext("ext4"), "/", "-o", tmp_path / "out")
    assert (answer.code, answer.err) == (0, "")
    assert all((tmp_path / "out" / name).read_bytes() == bytes_of(*sparse) for name, sparse in SPARSE.items())


@pytest.mark.parametrize("is_in_map", [True, False], ids=["lost", "damaged"])
def test_a_file_whose_tree_of_extents_is_gone_is_not_an_empty_one(vhdx_command, make_ext, tmp_path, is_in_map):
    disk, name = make_ext("ext4"), "a tree of extents"
    place = int(re.search(r"\(ETB\d\):(\d+)", images.debugfs_said(disk, f'stat "{name}"'))[1]) * 1024
    with disk.open("r+b") as file:
        file.seek(place)
        file.write(bytes(1024))
    if is_in_map:
        head = "# Mapfile. Created by vhdx recover\n# Disk: 00000000-0000-0000-0000-000000000001\n0 +\n"
        end = place + 1024
        lines = f"0 {place} +\n{place} 1024 -\n{end} {64 * MIB - end} +\n"
        disk.with_name("disk.raw.map").write_text(head + lines)
    answer = vhdx_command("extract", disk, "/", "-o", tmp_path / "out", "--json")
    assert answer.code == 1
    reason = "its record or its tables are lost" if is_in_map else "not all of the places of its data are known"
    assert [(told["path"], told["text"]) for told in answer.json["left_out"]] == [(f"/{name}", reason)]


def test_holes_of_ntfs_are_zeros_whether_sparse_or_compressed(vhdx_command, tmp_path):
    need("ntfs")
    disk, data = images.make_ntfs(tmp_path / "disk.raw", 16 * MIB), content(1, 100_000)
    wanted = (data.ljust(MIB + 4096, b"\0") + data).ljust(2 * MIB, b"\0")
    images.edit_ntfs(
        disk,
        ("grow", "/sparse", 2 * MIB),
        ("poke", "/sparse", 0, data),
        ("poke", "/sparse", MIB + 4096, data),
        ("grow", "/all of it", MIB),
        ("mkdir", "/packed"),
        ("compress", "/packed"),
        ("write", "/packed/sparse", wanted),
    )
    out = tmp_path / "out"
    answer = vhdx_command("extract", disk, "/", "-o", out)
    assert (answer.code, answer.err) == (0, "")
    for path in ("sparse", "packed/sparse"):
        assert (out / path).read_bytes() == wanted
    assert (out / "all of it").read_bytes() == bytes(MIB)


@pytest.mark.parametrize("kind", ["ext4", "ntfs", "fat16", "exfat"])
def test_what_is_past_the_end_of_a_shrunk_disk_is_lost_and_said_so(vhdx_command, states_of, tmp_path, kind):
    states, disk = states_of(kind), tmp_path / "disk.raw"
    whole = states.raw[1].read_bytes()
    starts = sorted(whole.index(data[:512]) for data in states.after.values() if len(data) > 1024)
    end = (starts[-1] + 512) // 512 * 512  # one sector of the last file, and all of the others
    disk.write_bytes(whole[:end])
    listed = vhdx_command("files", disk)
    assert re.search(r"ends \d+ bytes past the end of the disk", listed.err)
    out = tmp_path / "out"
    answer = vhdx_command("extract", disk, "/", "-o", out, "--partial", "--json")
    assert answer.code == 1
    for path, data in states.after.items():
        assert not (out / path).exists() or (out / path).read_bytes() == data
    assert answer.json["partial"]
    for partial in answer.json["partial"]:
        written, wanted = (out / partial["file"]).read_bytes(), states.after[partial["path"][1:]]
        kept = len(wanted) - partial["lost_bytes"]
        assert written == wanted[:kept].ljust(len(wanted), b"\0")
    for text in (answer.err, vhdx_command("extract", disk, "/", "-o", tmp_path / "more").err):
        assert "Offset missing" not in text
