"""What volumes call free: nothing that a file or a structure has, and nothing of a volume that was not closed."""

import random
import subprocess

import numpy as np
import pytest

import vhdx
from analyzer.compact.free import free_space_of
from analyzer.compact.plan import held_blocks
from analyzer.convert.disks import RawDisk
from tests.analyzer.guest.in_use import in_use
from tests.analyzer.judgement.disks import made, volume
from vhdx.source import read_at

MIB = 1 << 20
CHECKED_BY = {
    "ext4": ("e2fsck", "-fn"),
    "ext4-plain": ("e2fsck", "-fn"),
    "ext4-64bit-meta_bg": ("e2fsck", "-fn"),
    "ext4-1k": ("e2fsck", "-fn"),
    "ext4-unused-groups": ("e2fsck", "-fn"),
    "ext4-bigalloc": ("e2fsck", "-fn"),
    "ext2": ("e2fsck", "-fn"),
    "ntfs": ("ntfsfix", "-n"),
    "fat16": ("fsck.fat", "-n"),
    "fat32": ("fsck.fat", "-n"),
    "exfat": ("fsck.exfat", "-n"),
}
pytestmark = pytest.mark.slow


def free_of(path):
    with RawDisk(path) as disk:
        return free_space_of(disk)


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "volume.raw"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("kind", CHECKED_BY)
def test_without_its_free_space_a_file_holds_the_blocks_in_use_alone_and_its_volume_is_whole(
    kind, written, vhdx_command
):
    path, data = written(volume(kind, 1)), volume(kind, 1)
    used = in_use(kind, path)
    needed = {number for number in range(len(data) // MIB) if filled(data, used, number)}
    disk, new = path.with_name("disk.vhdx"), path.with_name("new.vhdx")
    laid_out = made(data, MIB, random.Random(1)).without(())  # blocks in any order
    disk.write_bytes(read_at(laid_out, 0, laid_out.size))
    for words in ([disk, new, "--block-size", "1M"], ["--in-place", disk]):
        assert vhdx_command("compact", *words, "--free-space").code == 0
    for one in (disk, new):
        with vhdx.open_image(one) as image:
            assert {block for block, _ in held_blocks(image)} == needed
            after = image.read(0, len(data))
        assert one.stat().st_size <= (4 + len(needed)) * MIB
        assert_volume_is_whole(kind, path, data, after, used)


def filled(data, used, number):
    """Whether a block has anything that is in use and not zero."""
    block = slice(number * MIB, (number + 1) * MIB)
    return bool((np.frombuffer(data[block], np.uint8)[used[block]]).any())


def assert_volume_is_whole(kind, path, before, after, used):
    """Every byte of files and structures is as it was, nothing else is but became zeros, and its checker is content."""
    old, new = (np.frombuffer(content, np.uint8) for content in (before, after))
    changed = old != new
    assert not (changed & used).any()
    assert not new[changed].any()
    path.write_bytes(after)
    done = subprocess.run([*CHECKED_BY[kind], path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_of_a_volume_whose_journal_is_not_known_nothing_is_free(kind, written):
    free = free_of(written(volume(kind, 1)))
    assert not len(free.ranges)
    assert free.volumes[0].why_kept


UNCLEAN = {
    "ext4": [(1024 + 0x60, lambda old: bytes([old[0] | 4])), (1024 + 0x3A, lambda _: b"\0")],
    "fat32": [(32 * 512 + 7, lambda old: bytes([old[0] & 0xF7]))],
    "exfat": [(106, lambda old: bytes([old[0] | 2]))],
}


@pytest.mark.parametrize(("kind", "number"), [("ext4", 0), ("ext4", 1), ("fat32", 0), ("exfat", 0)])
def test_of_a_volume_that_was_not_closed_cleanly_nothing_is_free(kind, number, written):
    data = bytearray(volume(kind, 1))
    at, change = UNCLEAN[kind][number]
    data[at : at + 1] = change(data[at : at + 1])
    free = free_of(written(data))
    assert not len(free.ranges)
    assert free.volumes[0].why_kept


def test_of_an_ntfs_volume_with_the_dirty_flag_or_an_open_log_nothing_is_free(written):
    data = bytearray(volume("ntfs", 1))
    log = data.find(b"\xff" * 8192)
    page = bytearray(4096)
    page[:4], page[4:6], page[6:8], page[24:26] = (
        b"RSTR",
        (30).to_bytes(2, "little"),
        b"\x09\0",
        (64).to_bytes(2, "little"),
    )
    page[64 + 12 : 64 + 14] = b"\0\0"  # client 0 uses the log
    data[log : log + 4096] = page
    free = free_of(written(data))
    assert not len(free.ranges)
    assert "journal" in free.volumes[0].why_kept
