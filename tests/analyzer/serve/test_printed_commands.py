"""The commands that are printed for a served disk, given to the programs that they are for."""

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import vhdx
from analyzer.nbd.uri import NbdAddress
from analyzer.serve.commands import Access, ServedAs, ready_commands
from analyzer.serve.export import Export
from analyzer.serve.listening import HAS_PATHS, door_at_path
from tests.analyzer.guest import images
from tests.analyzer.serve.conftest import Running
from tests.support.effort import SAFETY

DOMAIN = (
    "<domain type='qemu'><name>tried</name><memory unit='MiB'>256</memory><os>"
    "<type arch='x86_64' machine='q35'>hvm</type></os><devices>{}</devices></domain>"
)
ADDRESSES = [NbdAddress(socket=Path("/run/a b/s"), export="x & 'y'"), NbdAddress(host="127.0.0.1", port=10809)]


def printed(disk, purpose):
    """The command of a purpose."""
    return next(ready.text for ready in ready_commands(disk) if ready.purpose == purpose)


def require(*names):
    missing = [name for name in names if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


@pytest.mark.peers
@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("address", ADDRESSES, ids=["path", "port"])
def test_libvirt_takes_the_element_into_a_domain(tmp_path, address, sector_size, access):
    require("virsh")
    domain = tmp_path / "domain.xml"
    domain.write_text(DOMAIN.format(printed(ServedAs(address, sector_size, access), "libvirt")))
    done = subprocess.run(
        ["virsh", "--connect", "test:///default", f"define --validate {shlex.quote(str(domain))}; dumpxml tried"],
        check=False, capture_output=True, text=True, env=os.environ | {"HOME": str(tmp_path)}, timeout=SAFETY,
    )  # fmt: skip
    assert "defined from" in done.stdout, done.stderr
    assert ("<readonly/>" in done.stdout) == (access is Access.READ)
    assert ("logical_block_size='4096'" in done.stdout) == (sector_size == 4096)


@contextlib.contextmanager
def listening(path, disk):
    """A disk served at a socket in the file system."""
    running = Running([Export("", disk, "disk.vhdx")], None, door_at_path(path)).start()
    try:
        yield ServedAs(running.address, disk.sector_size, Access.READ)
    finally:
        running.end()


@pytest.mark.peers
@pytest.mark.parametrize("name", ["dynamic", "sectors-4096"])
def test_the_file_and_the_device_made_of_it_read_as_the_disk(recipe, tmp_path, monkeypatch, name):
    require("nbdfuse", "losetup", "blockdev", "fusermount3")
    if not HAS_PATHS or os.geteuid() or not Path("/dev/fuse").exists():
        pytest.skip("only root can make a loop device of a file that FUSE shows")
    fixture, leaf = recipe(name)
    monkeypatch.chdir(tmp_path)
    with vhdx.open_chain(leaf) as disk, listening(tmp_path / "s", disk) as served_as:
        make, mount = printed(served_as, "as a file").removesuffix(" &").split("; ")
        subprocess.run(shlex.split(make), check=True)
        with subprocess.Popen(shlex.split(mount), stderr=subprocess.DEVNULL) as fuse:
            try:
                device = _device(printed(served_as, "then as a device"), fuse)
                size = subprocess.run(["blockdev", "--getss", device], check=True, capture_output=True, text=True)
                with Path(device).open("rb") as file:
                    data = file.read()
                subprocess.run(["losetup", "--detach", device], check=True)
            finally:
                subprocess.run(["fusermount3", "-u", "-z", "mnt"], check=False)
                fuse.wait(SAFETY)
    assert int(size.stdout) == disk.sector_size
    assert hashlib.sha256(data).hexdigest() == fixture.models[fixture.leaf].sha256()


def _device(command, fuse):
    while not Path("mnt/disk.raw").exists():
        assert fuse.poll() is None
        time.sleep(0.05)
    made = subprocess.run(shlex.split(command), check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr}")
    return made.stdout.strip()


@pytest.mark.boot
def test_guestfish_reads_a_file_without_root_or_a_copy(tmp_path):
    """Its appliance needs a kernel: one of /boot, or SUPERMIN_KERNEL and SUPERMIN_MODULES. Without KVM two minutes."""
    require("guestfish", "mkfs.ext4", "debugfs")
    if not os.environ.get("SUPERMIN_KERNEL") and not list(Path("/boot").glob("vmlinuz*")):
        pytest.skip("guestfish has no kernel: neither in /boot nor by SUPERMIN_KERNEL")
    raw = tmp_path / "d.raw"
    with raw.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", raw], check=True)
    (tmp_path / "said").write_text("it is here\n")
    subprocess.run(["debugfs", "-w", "-R", f"write {tmp_path}/said said", raw], check=True, capture_output=True)
    images.chain_of(tmp_path / "vm", raw, names=("d.vhdx",))
    with vhdx.open_chain(tmp_path / "vm/d.vhdx") as disk, listening(tmp_path / "s", disk) as served_as:
        words = shlex.split(printed(served_as, "files, without root"))
        assert words.pop() == "-i"  # it looks for an operating system, of which there is none
        commands = ["run", ":", "mount-ro", "/dev/sda", "/", ":", "cat", "/said"]
        environment = os.environ | {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_MEMSIZE": "512"}
        done = subprocess.run([*words, *commands], check=True, capture_output=True, env=environment, timeout=SAFETY)
    assert done.stdout.startswith(b"it is here\n")
