"""Block devices as disks: a loop device of this machine, where it may be made."""

import os
import shutil
import subprocess

import pytest

from vhdx.system import windows

MIB = 1 << 20


@pytest.fixture
def loop_device(tmp_path):
    """Makes loop devices of contents, with sectors of some size."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("losetup"):
        pytest.skip("only root makes loop devices")
    made = []

    def make(content, sector_size=512):
        image = tmp_path / f"image{len(made)}"
        image.write_bytes(content)
        command = ["losetup", "--find", "--show", "--sector-size", str(sector_size), image]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no loop device can be made: {done.stderr.strip()}")
        made.append(done.stdout.strip())
        return made[-1]

    yield make
    for device in made:
        subprocess.run(["losetup", "--detach", device], check=True)


def content(size=3 * MIB):
    data = bytearray(size)
    data[MIB : MIB + 5000] = os.urandom(5000)
    return bytes(data)


def test_a_drive_becomes_a_vhdx_with_its_own_sectors_and_a_warning(vhdx_command, loop_device, tmp_path):
    data = content()
    device, target = loop_device(data, 4096), tmp_path / "disk.vhdx"
    done = vhdx_command("convert", device, target)
    assert done.code == 0, done.err
    assert f"{device} is a device: what somebody writes to it meanwhile" in done.err
    assert vhdx_command("convert", target, tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == data
    (told,) = vhdx_command("info", target, "--json").json["files"]
    assert told["logical_sector_size"] == 4096


def test_a_device_is_a_disk_like_any_other(vhdx_command, loop_device, tmp_path):
    data = content()
    device, raw = loop_device(data), tmp_path / "same.raw"
    raw.write_bytes(data)
    hashes = vhdx_command("hash", device, raw).out.splitlines()
    assert hashes[0].split()[0] == hashes[1].split()[0]
    (told,) = vhdx_command("info", device, "--json").json["files"]
    assert (told["type"], told["virtual_size"], told["logical_sector_size"]) == ("device", len(data), 512)
    assert vhdx_command("changes", raw, device).code == 0


@pytest.mark.parametrize(
    ("path", "is_drive"),
    [
        (r"\\.\PhysicalDrive0", True),
        (r"\\.\physicaldrive12", True),
        (r"\\?\PhysicalDrive1", True),
        ("\\\\.\\PhysicalDrive0\\", True),  # as a Path of Python 3.11 has it
        (r"\\.\PhysicalDrive", False),
        (r"C:\PhysicalDrive0", False),
        (r"\\server\PhysicalDrive0", False),
    ],
)
def test_a_drive_of_windows_is_known_by_its_name(path, is_drive):
    assert windows.is_drive(path) is is_drive
