"""What the tools of Linux make of clones: tables and volumes without a fault, no identity shared with the original."""

import json
import os
import subprocess
from uuid import UUID

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.convert.new_identity.disk import cloned
from analyzer.convert.new_identity.workspace import Scope
from tests.analyzer.convert.new_identity.disks import check_gpt, flat
from tests.support.peer_tools import missing_peer
from vhdx.identities import seeded_identities

pytestmark = pytest.mark.peers

MIB = 1 << 20
SEED = seeded_identities("peers")
E2FSCK = ["e2fsck", "-fn"]
VOLUMES = {
    "ntfs": (8, ["mkntfs", "-F", "-q", "-f"], ["ntfsinfo", "-m", "-f"]),
    "fat32": (34, ["mkfs.fat", "-F", "32"], ["fsck.fat", "-n"]),
    "fat16": (8, ["mkfs.fat", "-F", "16", "-s", "1"], ["fsck.fat", "-n"]),
    "exfat": (8, ["mkfs.exfat"], ["fsck.exfat", "-n"]),
    "ext2": (20, ["mkfs.ext4", "-q", "-b", "1024", "-O", "^metadata_csum,^uninit_bg,^has_journal"], E2FSCK),
    "ext4-groups": (24, ["mkfs.ext4", "-q", "-b", "1024", "-O", "^metadata_csum,uninit_bg,^64bit"], E2FSCK),
    "ext4-groups-64": (24, ["mkfs.ext4", "-q", "-b", "2048", "-O", "^metadata_csum,uninit_bg,64bit"], E2FSCK),
    "ext4-block-4k": (8, ["mkfs.ext4", "-q", "-b", "4096", "-O", "^metadata_csum,uninit_bg"], E2FSCK),
    "ext4-seed": (24, ["mkfs.ext4", "-q", "-b", "1024", "-O", "metadata_csum,metadata_csum_seed"], E2FSCK),
    "ext4-sparse2": (24, ["mkfs.ext4", "-q", "-b", "1024", "-O", "^metadata_csum,sparse_super2,^resize_inode"],
                     E2FSCK),
    "ext4-all-copies": (24, ["mkfs.ext4", "-q", "-b", "1024", "-O", "^metadata_csum,^sparse_super,^resize_inode"],
                        E2FSCK),
    "swap": (1, ["mkswap", "-q"], ["blkid", "-p"]),
}  # fmt: skip
"""MiB, what makes the volume, and what checks it without writing."""


def tool(*arguments, text=None):
    """What a program prints; raises CalledProcessError when it is not content."""
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    words = [str(word) for word in arguments]
    return subprocess.run(words, check=True, capture_output=True, text=True, input=text, env=environment).stdout


def blank(path, size):
    with path.open("wb") as handle:
        handle.truncate(size)
    return path


def volume(path, name):
    """A file with a fresh file system."""
    mib, maker, _ = VOLUMES[name]
    tool(*maker, blank(path, mib * MIB))
    return path


def clone(source, target, *, scope=Scope.VOLUMES, identities=SEED, sector=512):
    """Write the clone of a raw image; gives what was told of it."""
    with RawDisk(source, sector) as disk:
        made = cloned(disk, identities, scope=scope)
        target.write_bytes(flat(made))
    return made.clone


def going_back(told):
    """Identities that give each new one's old one: a clone of the clone is the original."""
    old = {change.new: change.old for change in told.changes}

    def identity(role):
        found = role.rsplit(" ", 1)[1]
        if found in old:
            return UUID(old[found])
        serial = int.from_bytes(bytes.fromhex(found), "little")
        return UUID(bytes=int(old[f"{serial:0{len(found)}x}"], 16).to_bytes(len(found) // 2, "little").ljust(16, b"\0"))

    return identity


def identities_of(path):
    """Everything by which blkid would find a volume."""
    pairs = dict(line.split("=", 1) for line in tool("blkid", "-p", "-o", "export", path).splitlines())
    return {value for key, value in pairs.items() if "UUID" in key}


def ids_of_table(path):
    table = json.loads(tool("sfdisk", "-J", path))["partitiontable"]
    return {table["id"].upper(), *(part["uuid"].upper() for part in table["partitions"] if "uuid" in part)}


@pytest.fixture
def require_tools(require_peer):
    for name in ("sfdisk", "sgdisk", "mkntfs", "ntfsinfo", "mkfs.fat", "mkfs.exfat", "mkfs.ext4", "mkswap", "blkid"):
        require_peer(name)


@pytest.mark.parametrize("name", VOLUMES)
def test_a_cloned_volume_has_no_fault_another_identity_and_nothing_else_changed(require_tools, tmp_path, name):
    source, target, back = volume(tmp_path / "a", name), tmp_path / "b", tmp_path / "c"
    told = clone(source, target)
    assert told.kept == ()
    tool(*VOLUMES[name][2], target)
    assert identities_of(source)
    assert not identities_of(source) & identities_of(target)
    clone(target, back, identities=going_back(told))
    assert back.read_bytes() == source.read_bytes()


def test_an_ext4_whose_checksums_depend_on_its_uuid_gets_one_only_where_all_is_asked_for(require_tools, tmp_path):
    source = blank(tmp_path / "a", 24 * MIB)
    tool("mkfs.ext4", "-q", "-b", "1024", "-O", "metadata_csum,^metadata_csum_seed", source)
    told = clone(source, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == source.read_bytes()
    assert "tune2fs" in told.kept[0].then
    assert clone(source, tmp_path / "c", scope=Scope.ALL).kept == ()
    tool("e2fsck", "-fn", tmp_path / "c")
    assert not identities_of(source) & identities_of(tmp_path / "c")
    assert "metadata_csum_seed" in tool("dumpe2fs", "-h", tmp_path / "c")


def test_a_mounted_ext4_is_left_until_its_journal_is_replayed(require_tools, require_peer, tmp_path):
    require_peer("debugfs")
    source = volume(tmp_path / "a", "ext4-seed")
    tool("debugfs", "-w", "-R", "feature needs_recovery", source)
    assert "journal" in clone(source, tmp_path / "b").kept[0].why
    assert (tmp_path / "b").read_bytes() == source.read_bytes()


@pytest.fixture
def partitioned(require_tools, tmp_path):
    """A disk with a GPT and a volume of every kind; the start and size in bytes of each."""
    path = tmp_path / "gpt.raw"
    blank(path, (8 + sum(mib for mib, *_ in VOLUMES.values())) * MIB)
    tool("sgdisk", *(f"--new={n}:0:+{mib}M" for n, (mib, *_) in enumerate(VOLUMES.values(), 1)), path)
    places = {}
    parts = json.loads(tool("sfdisk", "-J", path))["partitiontable"]["partitions"]
    for name, part in zip(VOLUMES, parts, strict=True):
        places[name] = (part["start"] * 512, part["size"] * 512)
        with path.open("r+b") as handle:
            handle.seek(places[name][0])
            handle.write(volume(tmp_path / name, name).read_bytes())
    return path, places


def test_a_gpt_disk_and_its_clone_share_no_identity(partitioned, tmp_path):
    source, places = partitioned
    target = tmp_path / "clone.raw"
    told = clone(source, target)
    assert told.kept == ()
    assert "No problems found" in tool("sgdisk", "--verify", target)
    tool("sfdisk", "--verify", target)
    assert len(ids_of_table(source)) == len(places) + 1 == len(ids_of_table(target))
    assert not ids_of_table(source) & ids_of_table(target)
    for name, (start, size) in places.items():
        (tmp_path / name).write_bytes(target.read_bytes()[start : start + size])
        tool(*VOLUMES[name][2], tmp_path / name)
    clone(target, tmp_path / "back.raw", identities=going_back(told))
    assert (tmp_path / "back.raw").read_bytes() == source.read_bytes()


def test_an_mbr_disk_and_its_clone_share_no_identity(require_tools, tmp_path):
    source, target = blank(tmp_path / "a", 60 * MIB), tmp_path / "b"
    script = "label: dos\n1: size=8M,type=7\n2: size=40M,type=5\n5: size=9M,type=b\n6: size=9M,type=83\n"
    tool("sfdisk", "-q", source, text=script)
    parts = json.loads(tool("sfdisk", "-J", source))["partitiontable"]["partitions"]
    logical = next(part for part in parts if part["node"].endswith("6"))  # the second record of the chain
    with source.open("r+b") as handle:
        handle.seek(logical["start"] * 512)
        handle.write(volume(tmp_path / "v", "fat16").read_bytes()[: logical["size"] * 512])
    told = clone(source, target)
    tool("sfdisk", "--verify", target)
    assert not ids_of_table(source) & ids_of_table(target)
    assert f"0x{told.changes[0].new}".upper() in ids_of_table(target)
    assert {change.what for change in told.changes} == {
        "the disk signature of the master boot record",
        "the serial number of the FAT volume",
    }


def test_a_hybrid_mbr_of_sgdisk_has_its_signature_and_its_gpt_renewed(require_tools, tmp_path):
    source, target = blank(tmp_path / "a", 40 * MIB), tmp_path / "b"
    tool("sgdisk", "--new=1:0:+8M", "--new=2:0:+8M", "--hybrid=1", source)
    with source.open("r+b") as handle:
        handle.seek(440)
        handle.write(b"abcd")
    clone(source, target)
    assert "No problems found" in tool("sgdisk", "--verify", target)
    assert not ids_of_table(source) & ids_of_table(target)
    assert source.read_bytes()[444:512] == target.read_bytes()[444:512]
    assert target.read_bytes()[440:444] != b"abcd"


@pytest.mark.skipif(missing_peer("fdisk"), reason="fdisk is not installed")
def test_a_gpt_of_4096_byte_sectors_stays_right(tmp_path):
    """sgdisk takes every image for one of 512-byte sectors; fdisk can be told."""
    source, target = blank(tmp_path / "a", 40 * MIB), tmp_path / "b"
    tool("fdisk", "-b", "4096", source, text="g\nn\n1\n\n+8M\nn\n2\n\n+8M\nw\n")
    clone(source, target, sector=4096)
    assert "No errors detected" in tool("fdisk", "-b", "4096", target, text="v\nq\n")
    old, new = source.read_bytes(), target.read_bytes()
    for at in (4096, len(old) - 4096):
        (was, parts), (now, renewed) = check_gpt(old, at, 4096), check_gpt(new, at, 4096)
        assert len(parts) == 2 == len(renewed)
        assert not {was, *parts} & {now, *renewed}
