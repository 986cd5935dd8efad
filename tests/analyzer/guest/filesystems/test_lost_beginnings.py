"""NTFS whose beginning is lost with the base of its chain: files from what the checkpoints hold."""

import hashlib
import random

import pytest

from analyzer.guest.filesystems.lost_ntfs import lost_ntfs
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from tests.analyzer.guest import images
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB
from vhdx.image import image_from

pytestmark = [pytest.mark.slow, pytest.mark.skipif(images.is_missing("ntfs"), reason="nothing here makes NTFS")]


FOLDER = "folder".encode("utf-16-le")


def content(chance):
    return b"".join(b"line %d of %08x\n" % (n, chance.getrandbits(32)) for n in range(chance.randrange(300, 3000)))


@pytest.fixture
def states(tmp_path):
    """A volume in a partition, three times: with some files, with more, with more again; and all files."""
    chance, volume, files = random.Random(8), images.make_ntfs(tmp_path / "volume", 24 * MIB), {}
    found = []
    for number in range(3):
        new = {f"folder{number}/f{n:02}": content(chance) for n in range(30)}
        made = [["mkdir", f"/folder{number}"], *(["write", f"/{name}", data] for name, data in new.items())]
        images.edit_ntfs(volume, *made)
        files |= new
        found.append(tmp_path / f"state{number}")
        found[-1].write_bytes(disks.partitioned(volume.read_bytes(), "mbr"))
    return found, files


def right_below(folder, files):
    """The files that came back with their content, whatever their names are."""
    hashes = {hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}
    return {name for name, data in files.items() if hashlib.sha256(data).digest() in hashes}


def test_files_written_since_a_checkpoint_come_back_without_the_base(tmp_path, states, vhdx_command):
    found, files = states
    images.chain_of(tmp_path / "chain", *found, unit=4096)  # what a system writes at once
    (tmp_path / "chain" / "base.vhdx").unlink()
    layers = [tmp_path / "chain" / name for name in ("layer1.avhdx", "layer2.avhdx")]
    assert vhdx_command("recover", *layers, "-o", tmp_path / "disk.raw", "-q").code == 1
    answer = vhdx_command("extract", tmp_path / "disk.raw", "/", "-o", tmp_path / "out")
    assert answer.code == 1
    back = right_below(tmp_path / "out", files)
    assert {name for name in files if not name.startswith("folder0")} <= back
    written = [path for path in (tmp_path / "out").rglob("f*") if path.is_file()]
    assert all(path.read_bytes() in files.values() for path in written)
    listed = vhdx_command("files", tmp_path / "disk.raw")
    assert "its beginning is lost" in listed.err + listed.out


@pytest.mark.parametrize("is_without_first", [False, True])
@pytest.mark.parametrize("cluster", [512, 4096, 16384])
def test_the_start_of_a_volume_and_its_clusters_are_what_its_records_agree_on(tmp_path, cluster, is_without_first):
    volume, chance = tmp_path / "volume", random.Random(cluster)
    images.run("mkntfs", "-Q", "-F", "-q", "-c", cluster, images.empty(volume, 24 * MIB))
    images.edit_ntfs(volume, ["mkdir", "/folder"], *(["write", f"/folder/f{n}", content(chance)] for n in range(30)))
    start = chance.choice((63 * 512, MIB, 5 * MIB))
    flat = bytearray(start) + volume.read_bytes()
    flat[start : start + 512] = flat[-512:] = bytes(512)
    for at in range(0, len(flat) if is_without_first else 0, 512):  # $MFT and its mirror
        if flat.startswith(b"FILE", at) and flat[at + 44 : at + 48] < b"\x08":
            flat[at : at + 1024] = bytes(1024)
    image = image_from(disks.made(bytes(flat), MIB, chance).without(set()))
    (part,) = lost_ntfs(ReadableDisk(image))
    sectors = int.from_bytes(part.made[0].content[13:14], "little")
    assert (part.start, 512 * sectors) == (start, cluster)
    (volume,) = open_volumes(ReadableDisk(image))
    assert sum(record.name.startswith("f") for record in volume.walk()) >= 30


def test_files_of_a_folder_whose_record_is_lost_are_below_unreached(tmp_path, vhdx_command):
    volume, chance = images.make_ntfs(tmp_path / "volume", 24 * MIB), random.Random(9)
    files = {f"folder/f{n:02}": content(chance) for n in range(40)}
    images.edit_ntfs(volume, ["mkdir", "/folder"], *(["write", f"/{name}", data] for name, data in files.items()))
    raw = bytearray(volume.read_bytes())
    at = next(at for at in range(0, len(raw), 1024) if raw.startswith(b"FILE", at) and FOLDER in raw[at : at + 1024])
    path = tmp_path / "disk.raw"
    path.write_bytes(raw)
    path.with_name("disk.raw.map").write_text(
        "# Mapfile. Created by vhdx recover\n# Disk: 00000000-0000-0000-0000-000000000001\n"
        "# current_pos  current_status\n0x0 +\n"
        f"0x0 {at:#x} +\n{at:#x} 0x400 -\n{at + 1024:#x} {len(raw) - at - 1024:#x} +\n"
    )
    vhdx_command("extract", path, "/", "-o", tmp_path / "out")
    assert right_below(tmp_path / "out", files) == set(files)
    assert right_below(tmp_path / "out" / "$unreached", files)
