"""VHDX files in the disk of a host: those that are there, deleted ones by their records, and by themselves."""

import random
import re

import pytest

from tests.analyzer.guest import images
from tests.analyzer.judgement.disks import partitioned

MIB = images.MIB
pytestmark = [pytest.mark.slow, pytest.mark.peers]
NAMES = ("base.vhdx", "layer1.avhdx")
needs_ntfs = pytest.mark.skipif(images.is_missing("ntfs"), reason="nothing here makes NTFS")
needs_ext = pytest.mark.skipif(images.is_missing("ext"), reason="nothing here makes ext")


@pytest.fixture
def chain(tmp_path):
    """A chain of two files as {name: bytes}, and the disk that its leaf shows."""
    chance = random.Random(3)
    old = bytearray(chance.randbytes(3 * MIB) + bytes(MIB))
    new = bytearray(old)
    new[MIB : MIB + 4096] = chance.randbytes(4096)
    states = []
    for number, state in enumerate((old, new)):
        states.append(tmp_path / f"state{number}")
        states[-1].write_bytes(state)
    leaf = images.chain_of(tmp_path / "chain", *states)
    return {name: (leaf.parent / name).read_bytes() for name in NAMES}, bytes(new)


def ntfs_with(folder, files):
    volume = images.make_ntfs(folder / "volume", 48 * MIB)
    images.edit_ntfs(volume, ["mkdir", "/VMs"], *(["write", f"/VMs/{name}", data] for name, data in files.items()))
    return volume


def host_of(folder, volume):
    host = folder / "host.raw"
    host.write_bytes(partitioned(volume.read_bytes(), "mbr"))
    return host


def statuses(image):
    """{status: bytes} of the map beside an image."""
    found = dict.fromkeys("+/-", 0)
    for line in image.with_name(image.name + ".map").read_text().splitlines():
        if line.startswith("0x") and len(line.split()) == 3 and line.split()[1].startswith("0x"):
            found[line.split()[2]] += int(line.split()[1], 16)
    return found


@needs_ntfs
def test_files_that_a_folder_has_come_out_as_they_are(vhdx_command, tmp_path, chain):
    files, _ = chain
    host, out = host_of(tmp_path, ntfs_with(tmp_path, files)), tmp_path / "out"
    found = vhdx_command("carve", host, "--extract", out, "--json")
    assert found.code == 0
    assert {(one["path"], one["origin"]) for one in found.json["files"]} == {(f"/VMs/{name}", "file") for name in files}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files


@needs_ntfs
def test_deleted_files_come_out_by_their_records_and_nothing_of_them_is_called_known(vhdx_command, tmp_path, chain):
    files, disk = chain
    volume, out = ntfs_with(tmp_path, files), tmp_path / "out"
    images.edit_ntfs(volume, *(["remove", f"/VMs/{name}"] for name in files))
    host = host_of(tmp_path, volume)
    scanned = vhdx_command("scan", host)
    assert scanned.code == 0
    assert f"$ vhdx carve {host} --extract DIR" in scanned.out
    (told,) = vhdx_command("scan", host, "--json").json["hosts"]
    found = vhdx_command("carve", host, "--extract", out, "--json")
    assert [one | {"file": None} for one in found.json["files"]] == told["files"]
    assert {one["origin"] for one in found.json["files"]} == {"deleted"}
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".map"} == files
    told = vhdx_command("recover", host, "-o", host.parent / "again" / "disk.raw", "--dry-run").err
    assert f"`vhdx carve {host} --extract DIR`" in told
    again = vhdx_command("recover", *(out / name for name in NAMES), "-o", tmp_path / "disk.raw")
    assert again.code == 1
    assert "base.vhdx: it was taken out of the disk of a host, where it was deleted" in again.out
    assert (tmp_path / "disk.raw").read_bytes() == disk
    assert statuses(tmp_path / "disk.raw") == {"+": 0, "/": len(disk), "-": 0}


@needs_ntfs
def test_files_behind_a_damaged_mft_come_out_by_its_mirror(vhdx_command, tmp_path, chain):
    files, _ = chain
    volume, out = ntfs_with(tmp_path, files), tmp_path / "out"
    raw = bytearray(volume.read_bytes())
    cluster, mft = raw[13] * 512, int.from_bytes(raw[48:56], "little")
    raw[mft * cluster : mft * cluster + 4096] = bytes(4096)
    volume.write_bytes(raw)
    host = host_of(tmp_path, volume)
    found = vhdx_command("carve", host, "--extract", out, "--json")
    assert "$MFTMirr" in found.json["notes"][0]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files
    assert {one["origin"] for one in found.json["files"]} == {"file"}


@needs_ntfs
def test_fragments_of_a_deleted_file_are_put_together_and_what_others_have_now_is_lost(vhdx_command, tmp_path, chain):
    files, _ = chain
    volume, out = images.make_ntfs(tmp_path / "volume", 32 * MIB), tmp_path / "out"
    fillers = [f"/f{number}" for number in range(54)]
    images.edit_ntfs(
        volume,
        *(["write", name, b"f" * (MIB // 2)] for name in fillers),
        *(["remove", name] for name in fillers[::2]),
        *(["write", f"/{name}", data] for name, data in files.items()),
        *(["remove", f"/{name}"] for name in files),
    )
    host = host_of(tmp_path, volume)
    found = vhdx_command("carve", host, "--extract", out, "--json").json["files"]
    assert max(one["fragments"] for one in found) > 1
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".map"} == files
    images.edit_ntfs(volume, ["write", "/later", b"l" * 2 * MIB])
    host = host_of(tmp_path, volume)
    out = tmp_path / "later"
    found = vhdx_command("carve", host, "--extract", out, "--json").json["files"]
    assert sum(one["lost_bytes"] for one in found) > 0
    inputs = [out / name for name in NAMES if (out / name).is_file()]
    assert vhdx_command("recover", *inputs, "-o", tmp_path / "disk.raw", "-q").code == 1
    assert statuses(tmp_path / "disk.raw")["+"] == 0


@needs_ntfs
def test_where_a_deleted_checkpoint_shows_its_base_that_is_there_nothing_is_known(vhdx_command, tmp_path, chain):
    files, disk = chain
    volume, out = ntfs_with(tmp_path, files), tmp_path / "out"
    images.edit_ntfs(volume, ["remove", f"/VMs/{NAMES[1]}"])
    host = host_of(tmp_path, volume)
    vhdx_command("carve", host, "--extract", out)
    assert not (out / f"{NAMES[0]}.map").exists()
    assert vhdx_command("recover", *(out / name for name in NAMES), "-o", tmp_path / "disk.raw", "-q").code == 1
    assert (tmp_path / "disk.raw").read_bytes() == disk
    assert statuses(tmp_path / "disk.raw")["+"] == 0


def in_ext(folder, files):
    """ext with these files, each in one piece: what writes files there leaves holes for zeros, which no host does."""
    volume = images.make_ext(
        folder / "volume", {name: b"x" * len(data) for name, data in files.items()}, 48 * MIB, "-b", "4096"
    )
    with volume.open("r+b") as disk:
        for name, data in files.items():
            blocks = [int(one) for one in images.debugfs_said(volume, f'blocks "{name}"').split()]
            assert blocks == list(range(blocks[0], blocks[0] + len(blocks)))
            disk.seek(blocks[0] * (len(data) // len(blocks)))
            disk.write(data)
    return volume


def delete_from_ext(volume, files):
    """As Linux does: the inode is emptied, too."""
    inodes = [images.debugfs_said(volume, f'stat "{name}"').split()[1] for name in files]
    images.debugfs(volume, *(f'rm "{name}"' for name in files), *(f"clri <{inode}>" for inode in inodes))


@needs_ext
def test_deleted_files_without_records_come_out_by_their_structure(vhdx_command, tmp_path, chain):
    files, disk = chain
    volume, out = in_ext(tmp_path, files), tmp_path / "out"
    delete_from_ext(volume, files)
    host = host_of(tmp_path, volume)
    found = vhdx_command("carve", host, "--extract", out, "--json")
    assert found.code == 0
    assert {one["origin"] for one in found.json["files"]} == {"structure"}
    names = sorted(path for path in out.iterdir() if path.suffix != ".map")
    assert sorted(path.read_bytes() for path in names) == sorted(files.values())
    assert vhdx_command("recover", *names, "-o", tmp_path / "disk.raw", "-q").code == 1
    assert (tmp_path / "disk.raw").read_bytes() == disk
    assert statuses(tmp_path / "disk.raw")["+"] == 0


@needs_ext
def test_a_file_without_a_record_ends_where_another_file_lies_now(vhdx_command, tmp_path, chain):
    files, _ = chain
    volume, out = in_ext(tmp_path, files), tmp_path / "out"
    delete_from_ext(volume, files)
    start = volume.read_bytes().index(b"vhdxfile")
    block, free = (start + 5 * MIB) // 4096, re.search(r"(\d+) free blocks", images.debugfs_said(volume, "stats"))
    images.debugfs(volume, f"setb {block}", f"set_bg 0 free_blocks_count {int(free[1]) - 1}", "set_bg 0 checksum calc")
    host = host_of(tmp_path, volume)
    found = vhdx_command("carve", host, "--extract", out, "--json").json["files"]
    assert found[0]["size"] == block * 4096 - start
    inputs = [path for path in out.iterdir() if path.suffix != ".map"]
    assert vhdx_command("recover", *inputs, "-o", tmp_path / "disk.raw", "-q").code == 1
    told = statuses(tmp_path / "disk.raw")
    assert told["+"] == 0
    assert told["-"] > 0


def test_marks_of_nothing_are_no_files_and_cost_little(vhdx_command, tmp_path):
    host = tmp_path / "host.raw"
    host.write_bytes(bytes(512) + b"vhdxfile".ljust(512, b"x") * 8192)
    found = vhdx_command("carve", host, "--extract", tmp_path / "none", "--json")
    assert found.code == 1
    assert found.json["files"] == []
