"""Restores onto a block device: all of the disk, nothing behind it, and never onto anything else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import vhdx.in_place
from analyzer.backup.restore import PointDisk, restore_device
from tests.analyzer.backup.helpers import MIB, back_up, new_repository
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of
from vhdx.errors import InputOutputError, OutputError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows knows no block devices by path")


@pytest.fixture(scope="module")
def point():
    """A restore point, and the bytes of its disk."""
    fixture = fixture_of("chain-3")
    repository = new_repository()
    (manifest,) = back_up(repository, chain_of([fixture.files[name] for name in reversed(fixture.chain)]))
    model = fixture.models[fixture.leaf]
    return PointDisk(repository, manifest.name), model.read(0, model.size)


@pytest.fixture
def device(tmp_path, monkeypatch, point):
    """A file that passes for a device, full of what was there before, and a MiB larger than the disk."""
    path = tmp_path / "device"
    path.write_bytes(b"old!" * ((len(point[1]) + MIB) // 4))
    monkeypatch.setattr(vhdx.in_place, "is_block_device", lambda asked: asked == path)
    return path


def test_a_device_gets_the_disk_zeros_too_and_nothing_behind_its_end(point, device):
    disk, expected = point
    restored = restore_device(disk, device)
    assert device.read_bytes() == expected + b"old!" * (MIB // 4)
    assert (restored.found_bytes, restored.written_bytes) == (0, len(expected))


def test_a_second_run_writes_only_what_is_not_there(point, device):
    disk, expected = point
    restore_device(disk, device)
    with device.open("r+b") as handle:
        handle.seek(len(expected) - 1)
        handle.write(b"\xa5")
    again = restore_device(disk, device)
    assert device.read_bytes()[: len(expected)] == expected
    assert again.written_bytes == disk.index.length_of(len(disk.index.ids) - 1)


def test_an_interrupted_run_is_gone_on_with(point, device, monkeypatch):
    disk, expected = point
    written, write = [], vhdx.in_place.BlockDevice.write_at

    def failing(self, offset, data):
        if len(written) == 5:
            raise InputOutputError(device, "write", "the cable was pulled", offset)
        written.append(offset)
        write(self, offset, data)

    monkeypatch.setattr(vhdx.in_place.BlockDevice, "write_at", failing)
    with pytest.raises(InputOutputError, match="cable"):
        restore_device(disk, device)
    monkeypatch.setattr(vhdx.in_place.BlockDevice, "write_at", write)
    restore_device(disk, device)
    assert device.read_bytes()[: len(expected)] == expected


def test_a_device_that_is_too_small_or_no_device_stays_as_it_is(point, device, tmp_path):
    disk, expected = point
    os.truncate(device, len(expected) - 512)
    before = device.read_bytes()
    with pytest.raises(OutputError, match="larger device"):
        restore_device(disk, device)
    assert device.read_bytes() == before
    file = tmp_path / "file.raw"
    file.write_bytes(b"x" * len(expected))
    with pytest.raises(OutputError, match="no block device"):
        restore_device(disk, file)
    assert file.read_bytes() == b"x" * len(expected)


@pytest.fixture
def loop(tmp_path, point):
    """A real block device over a file."""
    if os.geteuid() or not shutil.which("losetup"):
        pytest.skip("only root can make a loop device, with losetup")
    image = tmp_path / "loop.img"
    image.write_bytes(b"\xff" * len(point[1]))
    made = subprocess.run(["losetup", "--find", "--show", image], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no loop device can be had: {made.stderr.strip()}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


def test_a_real_device_is_written_and_read_back(point, loop, tmp_path):
    disk, expected = point
    restore_device(disk, Path(loop))
    assert (tmp_path / "loop.img").read_bytes()[: len(expected)] == expected
