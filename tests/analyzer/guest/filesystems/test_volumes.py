"""Volumes: where they are found, what is said of those that cannot be read, and what is wrong inside of them."""

import struct

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import FileKind, Include
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need
from tests.analyzer.guest.exfat_writer import Exfat
from tests.support.files import room_of
from tests.support.peer_tools import missing_peer

pytestmark = pytest.mark.peers
MIB = images.MIB


def put(disk, at, image):
    with disk.open("r+b") as file:
        file.seek(at)
        file.write(image.read_bytes())


@pytest.fixture
def parts(tmp_path):
    """An ext, a FAT and an NTFS volume, each with one file."""
    for kind in ("ext4", "fat16", "ntfs"):
        need(kind)
    ext = images.make_ext(tmp_path / "ext.raw", {"on ext": b"ext"}, 4 * MIB)
    fat = images.make_fat(tmp_path / "fat.raw", 4 * MIB, bits=12)
    images.fat_write(fat, "on fat", b"fat")
    ntfs = images.make_ntfs(tmp_path / "ntfs.raw", 4 * MIB)
    images.edit_ntfs(ntfs, ("write", "/on ntfs", b"ntfs"))
    return ext, fat, ntfs


def partitioned(path, script, parts, places):
    if missing_peer("sfdisk"):
        pytest.skip("sfdisk is not installed")
    images.empty(path, 32 * MIB)
    images.run("sfdisk", "-q", path, input=script.encode())
    for at, part in zip(places, parts, strict=True):
        put(path, at, part)
    return path


@pytest.mark.parametrize("table", ["gpt", "mbr", "logical", "backup"])
def test_volumes_are_found_by_their_partition_table(vhdx_command, parts, tmp_path, table):
    sector = 2048
    if table == "logical":
        lines = ["start=2048,size=8192,type=83", "start=12288,size=40960,type=5"]
        lines += ["start=14336,size=8192,type=6", "start=24576,size=8192,type=7"]
        places = [sector * 512, 14336 * 512, 24576 * 512]
        script = "label: dos\n" + "\n".join(lines)
    else:
        places = [MIB, 8 * MIB, 16 * MIB]
        lines = [f"start={at // 512},size=8192" for at in places]
        script = ("label: dos\n" if table == "mbr" else "label: gpt\n") + "\n".join(lines)
    disk = partitioned(tmp_path / "disk.raw", script, parts, places)
    if table == "backup":
        with disk.open("r+b") as file:
            file.write(bytes(34 * 512))
    answer = vhdx_command("files", disk, "-r", "--json")
    assert answer.code == 0
    volumes = answer.json["volumes"]
    assert [(v["number"], v["start"], v["type"]) for v in volumes] == list(
        zip((1, 2, 3), places, ("ext4", "fat12", "ntfs"), strict=True)
    )
    assert [v["table"] for v in volumes] == 3 * ["mbr" if table in {"mbr", "logical"} else "gpt"]
    found = {(f["volume"], f["path"]) for f in answer.json["files"] if f["kind"] == "file"}
    assert found == {(1, "/on ext"), (2, "/on fat"), (3, "/on ntfs")}
    one = vhdx_command("files", disk, "on NTFS", "--volume", 3)
    assert one.out.splitlines()[-1].endswith("on ntfs")


def test_of_several_volumes_one_has_to_be_chosen(vhdx_command, parts, tmp_path):
    script = "label: gpt\nstart=2048,size=8192\nstart=16384,size=8192\nstart=32768,size=8192"
    disk = partitioned(tmp_path / "disk.raw", script, parts, [MIB, 8 * MIB, 16 * MIB])
    overview = vhdx_command("files", disk)
    assert overview.code == 0
    assert [line.split()[:2] for line in overview.out.splitlines()] == [["1", "ext4"], ["2", "fat12"], ["3", "ntfs"]]
    for path in ("/", "/nowhere"):  # in all of them, and in none
        answer = vhdx_command("extract", disk, path, "-o", tmp_path / "out")
        assert answer.code == 2
        assert "--volume (1, 2, 3)" in answer.err
    assert vhdx_command("files", disk, "--volume", 4).code == 2
    assert vhdx_command("extract", disk, "2:/on fat", "-o", tmp_path / "fat").code == 0
    assert (tmp_path / "fat" / "on fat").read_bytes() == b"fat"
    assert vhdx_command("files", disk, "1:/").out == vhdx_command("files", disk, "--volume", 1).out
    refused = vhdx_command("extract", disk, "1:/on ext", "2:/on fat", "-o", tmp_path / "out")
    assert refused.code == 2
    assert "several volumes" in refused.err
    assert not (tmp_path / "out").exists()


def test_a_path_is_in_the_only_volume_that_has_it(vhdx_command, parts, tmp_path):
    script = "label: gpt\nstart=2048,size=8192\nstart=16384,size=8192\nstart=32768,size=8192"
    disk = partitioned(tmp_path / "disk.raw", script, parts, [MIB, 8 * MIB, 16 * MIB])
    answer = vhdx_command("extract", disk, "/on ext", "-o", tmp_path / "out")
    assert answer.code == 0
    assert "volume 1 is the only one that has /on ext" in answer.err
    assert (tmp_path / "out" / "on ext").read_bytes() == b"ext"
    assert vhdx_command("files", disk, "/on fat").code == 0


def test_the_number_of_the_only_volume_may_be_said(vhdx_command, tmp_path):
    need("ext4")
    disk = images.make_ext(tmp_path / "disk.raw", {"file": b"content"})
    assert vhdx_command("extract", disk, "1:/file", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "file").read_bytes() == b"content"


def test_a_volume_of_the_whole_disk_is_found_below_an_empty_partition_table(vhdx_command, tmp_path):
    """Windows "initialises" a disk of WSL, which it cannot read: a GPT over the front of the ext volume."""
    need("ext4")
    if missing_peer("sfdisk"):
        pytest.skip("sfdisk is not installed")
    disk = images.make_ext(tmp_path / "disk.raw", {"kept": b"content"}, 32 * MIB)
    images.run("sfdisk", "-q", "--wipe", "never", disk, input=b"label: gpt\nstart=2048,size=2048")
    listed = vhdx_command("files", disk)
    assert listed.code == 0
    assert "kept" in listed.out
    assert "the partition table was written over it" in listed.err
    assert vhdx_command("extract", disk, "/kept", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "kept").read_bytes() == b"content"
    leaf = images.chain_of(tmp_path / "chain", disk)
    checked = vhdx_command("check", "--content", leaf, "--json")
    assert "CON-04" in {finding["code"] for finding in checked.json["subjects"][0]["findings"]}


def test_what_a_partition_is_for_by_its_type_is_said_where_nothing_is_known_that_begins_like_it(vhdx_command, tmp_path):
    disk = bytearray(content(1, 4 * MIB))
    disk[:512] = struct.pack("<446xBBHBBHII48xH", 0, 0, 0, 0x8E, 0, 0, 2048, 4096, 0xAA55)
    (tmp_path / "disk.raw").write_bytes(disk)
    assert "its type in the partition table says LVM" in vhdx_command("files", tmp_path / "disk.raw").err


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_volume_of_which_the_disk_has_not_all_is_told_by_check(vhdx_command, tmp_path, kind):
    need(kind)
    make = {"ext4": images.make_ext, "xfs": images.make_xfs, "btrfs": images.make_btrfs}[kind]
    size = {"ext4": 8 * MIB, "xfs": 32 * MIB, "btrfs": 128 * MIB}[kind]
    disk = make(tmp_path / "disk.raw", {"file": b"content"}, size)
    for cut, codes in ((size, set()), (size - 2 * MIB, {"MET-23"})):
        with disk.open("r+b") as file:
            file.truncate(cut)
        leaf = images.chain_of(tmp_path / str(cut), disk)
        found = vhdx_command("check", "--content", leaf, "--json").json["subjects"][0]["findings"]
        assert {finding["code"] for finding in found} & {"MET-23"} == codes


@pytest.mark.parametrize(
    ("at", "mark", "name"),
    [
        (0, b"XFSB", "XFS"),
        (0x10040, b"_BHRfS_M", "Btrfs"),
        (3, b"ReFS\0\0\0\0", "ReFS"),
        (3, b"-FVE-FS-", "BitLocker"),
        (32, b"NXSB", "APFS"),
        (1024, b"H+\0\4", "HFS+"),
        (1024, b"\x10\x20\xf5\xf2", "F2FS"),
        (0, b"hsqs", "SquashFS"),
    ],
)
def test_other_file_systems_are_named_and_not_read(vhdx_command, tmp_path, at, mark, name):
    disk = images.empty(tmp_path / "disk.raw", MIB)
    with disk.open("r+b") as file:
        file.seek(at)
        file.write(mark)
    answer = vhdx_command("files", disk)
    assert answer.code == 3
    assert f"it is {name}" in answer.err
    assert answer.out == ""


def test_a_disk_of_zeros_or_of_noise_is_no_volume(vhdx_command, tmp_path):
    disk = images.empty(tmp_path / "disk.raw", MIB)
    assert vhdx_command("files", disk).code == 3
    disk.write_bytes(content(1, MIB))
    assert vhdx_command("files", disk).code == 3
    disk.write_bytes(b"")
    assert vhdx_command("files", disk).code == 3


def test_without_the_reader_one_sentence_says_what_to_install(vhdx_command, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pytsk3", None)
    disk = images.empty(tmp_path / "disk.raw", MIB)
    for command in (
        ("files", disk),
        ("extract", disk, "/", "-o", tmp_path / "out"),
        ("changes", disk, disk, "--files"),
    ):
        answer = vhdx_command(*command)
        assert answer.code == 2
        assert "its extra `filesystems`" in answer.err


def test_streams_links_holes_and_packed_files_of_ntfs(vhdx_command, tmp_path):
    need("ntfs")
    disk = images.make_ntfs(tmp_path / "disk.raw", 16 * MIB)
    packed = b"abcd" * 50_000 + content(3, 70_000)
    images.edit_ntfs(
        disk,
        ("mkdir", "/packed"),
        ("compress", "/packed"),
        ("write", "/packed/file", packed),
        ("write", "/two", content(1, 5000)),
        ("link", "/two", "/second"),
        ("stream", "/two", "hidden", b"a stream"),
        ("grow", "/two", 9 * MIB),
        ("times", "/two", 133_500_000_000_000_001),
    )
    files = {f["path"]: f for f in vhdx_command("files", disk, "-r", "--json").json["files"]}
    assert files["/two"]["address"] == files["/second"]["address"]
    assert files["/two"]["streams"] == [{"name": "hidden", "size": 8}]
    assert files["/two"]["times"]["modified"] == "2024-01-17T21:20:00.000000100Z"
    out = tmp_path / "out"
    assert vhdx_command("extract", disk, "/", "/two:hidden", "-o", out).code == 0
    assert (out / "packed" / "file").read_bytes() == packed
    assert (out / "two").read_bytes() == (out / "second").read_bytes() == content(1, 5000).ljust(9 * MIB, b"\0")
    assert room_of(out / "two") < MIB
    assert (out / "two").stat().st_mtime_ns == 1_705_526_400_000_000_100
    assert (out / "two%3Ahidden").read_bytes() == b"a stream"


@pytest.mark.parametrize("kind", ["ntfs", "fat16", "ext4", "exfat"])
def test_a_deleted_file_is_listed_and_taken_out_when_that_is_asked_for(vhdx_command, tmp_path, kind):
    need(kind)
    data, disk = content(9, 20_000), tmp_path / "disk.raw"
    _with_deleted_file(kind, disk, data)
    present = [f["path"] for f in vhdx_command("files", disk, "-r", "--json").json["files"]]
    assert present == (["/zz"] if kind == "ntfs" else [])
    found = [f for f in vhdx_command("files", disk, "-r", "--deleted", "--json").json["files"] if f["kind"] == "file"]
    (file,) = [f for f in found if f["state"] == "deleted"]
    assert file["size"] == len(data)
    out = tmp_path / "out"
    assert vhdx_command("extract", disk, file["path"], "-o", out).code == 2
    answer = vhdx_command("extract", disk, file["path"], "--deleted", "-o", out, "--json")
    (written,) = out.iterdir()
    assert written.read_bytes() == data
    assert (answer.code, answer.json["renamed"], written.name) == (0, [], f"{file['path'][1:]}.deleted")
    assert [(told["path"], told["file"]) for told in answer.json["deleted"]] == [(file["path"], written.name)]


def test_a_deleted_file_beside_a_present_one_of_its_name_is_the_one_that_is_marked(vhdx_command, tmp_path):
    need("exfat")
    old, new, disk = content(9, 20_000), content(8, 30_000), tmp_path / "disk.raw"
    volume = Exfat(images.make_exfat(disk))
    volume.write("again", old)
    volume.write("between", b"x")
    volume.remove("again")
    volume.write("again", new)
    volume.save()
    answer = vhdx_command("extract", disk, "/", "--deleted", "-o", tmp_path / "out")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {"again": new, "again.deleted": old, "between": b"x"}
    assert "deleted: /again -> again.deleted: it is deleted in the disk" in answer.err
    assert "renamed" not in answer.err


def test_stdout_takes_a_single_file_and_nothing_else(vhdx_command, tmp_path):
    need("ext4")
    disk = images.make_ext(tmp_path / "disk.raw", {"folder/file": b"x", "other": b"y"})
    images.debugfs(disk, "symlink link folder/file", "mknod pipe p")
    for paths, code, said in (
        (["/folder"], 2, "it is a folder, and stdout takes a single file"),
        (["/folder/file", "/other"], 2, "it is one of 2"),
        (["/"], 2, "/: it is a folder"),
        (["/link"], 2, "it is a link to folder/file"),
        (["/pipe"], 1, "it is a device, a pipe or a socket"),
    ):
        answer = vhdx_command("extract", disk, *paths, "-o", "-")
        assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
        assert said in answer.err


def _with_deleted_file(kind, disk, data):
    if kind == "ntfs":
        images.make_ntfs(disk)
        images.edit_ntfs(disk, ("write", "/gone", data), ("write", "/zz", b"z"), ("remove", "/gone"))
    elif kind == "fat16":
        images.make_fat(disk, 16 * MIB)
        images.fat_write(disk, "gone", data)
        images.mtool("mdel", disk, "::gone")
    elif kind == "exfat":
        volume = Exfat(images.make_exfat(disk))
        volume.write("gone", data)
        volume.remove("gone")
        volume.save()
    else:
        images.make_ext(disk, {"gone": data})
        images.debugfs(disk, "rmdir lost+found", "rm gone")


def test_unwritten_extents_read_as_zeros(vhdx_command, tmp_path):
    need("ext4")
    data = content(5, 3000)
    disk = images.make_ext(tmp_path / "disk.raw", {"file": data})
    images.debugfs(disk, "fallocate file 3 300", "set_inode_field file size 300000")
    assert vhdx_command("extract", disk, "file", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "file").read_bytes() == data.ljust(300_000, b"\0")


def test_a_folder_inside_itself_is_listed_once(tmp_path):
    need("ext4")
    disk = images.make_ext(tmp_path / "disk.raw", {"a/b/file": b"x"})
    images.debugfs(disk, "link /a /a/b/loop", "link / /a/root")
    with RawDisk(disk) as image:
        (volume,) = open_volumes(ReadableDisk(image))
        paths = [record.path for record in volume.walk()]
    assert sorted(path for path in paths if path.endswith("file")) == ["/a/b/file"]
    assert len(volume.troubles) == 2


@pytest.mark.slow
def test_damage_at_random_never_ends_in_a_traceback(states_of):
    """[hostile file systems]: whatever stands in the structures, what is read is told or listed."""
    for kind in ("ntfs", "fat16", "exfat", "ext4"):
        states = states_of(kind)
        whole = states.raw[1].read_bytes()
        for seed in range(12):
            noise = content(seed, 4096)
            damaged = bytearray(whole)
            for n in range(200):
                (at,) = struct.unpack_from("<I", noise, 8 * n)
                damaged[at % (MIB if seed % 2 else len(whole))] ^= noise[8 * n + 4] or 1
            _read_everything(states.raw[1].with_name("damaged.raw"), bytes(damaged))


def _read_everything(path, raw):
    path.write_bytes(raw)
    with RawDisk(path) as image:
        for volume in open_volumes(ReadableDisk(image)):
            if volume.is_readable:
                for count, record in enumerate(volume.walk(Include.DELETED)):
                    assert record.kind in FileKind
                    assert count < 100_000
