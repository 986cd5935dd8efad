"""A disk that boots, by BIOS and by UEFI: a kernel and a busybox of Debian, on a FAT partition behind syslinux.

It is made without root. The guest says on its serial port what its disk holds, writes to it, and goes.
"""

import gzip
import io
import os
import re
import subprocess
from pathlib import Path

from tests.analyzer.guest import images
from tests.support.files import ROOT

CACHE = Path(os.environ.get("VHDX_BOOT_CACHE") or ROOT / ".boot")
"""Where what is fetched from Debian is kept: 80 MB."""
MIB, SECTOR = 1 << 20, 512
SIZE, FIRST = 48 * MIB, MIB
_IN_KERNEL = ("drivers/ata", "drivers/scsi/s", "block", "lib", "crypto", "arch/x86/crypto", "fs/fat", "fs/nls")
_WANTED = ("./boot/vmlinuz*", *(f"./lib/modules/*/kernel/{each}*" for each in _IN_KERNEL))
_MODULES = ("ata_piix", "ahci", "sd_mod", "vfat", "nls_cp437", "nls_ascii")
_INIT = """#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
while read module; do busybox insmod /modules/$module.ko; done < /order
while [ ! -b /dev/sda1 ]; do busybox sleep 0.1; done
busybox mount -t vfat /dev/sda1 /disk
echo "STATE $(busybox cat /disk/state.txt)"
echo "SUM $(busybox sha256sum /disk/payload.bin)"
busybox cp /disk/payload.bin /disk/copy.bin
echo "the guest was in $(busybox cat /disk/state.txt)" > /disk/written.txt
busybox rm /disk/unwanted.bin
busybox sync
busybox umount /disk
echo "THE GUEST HAS FINISHED"
busybox poweroff -f
"""


def fetched():
    """The folder with all that a bootable disk is made of, fetched once."""
    done = CACHE / "done"
    if not done.exists():
        CACHE.mkdir(exist_ok=True)
        depends = subprocess.run(
            ["apt-cache", "depends", "linux-image-amd64"], check=True, capture_output=True, text=True
        )
        kernel = re.search(r"Depends: (linux-image-\S+)", depends.stdout)[1]
        images.run(
            "apt-get", "download", kernel, "syslinux", "syslinux-common", "syslinux-efi", "busybox-static", cwd=CACHE
        )
        for package in CACHE.glob("*.deb"):
            wanted = ["--wildcards", *_WANTED] if package.name.startswith("linux-image") else []
            command = ["dpkg-deb", "--fsys-tarfile", str(package)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
                subprocess.run(["tar", "-x", "-C", CACHE, *wanted], stdin=tar.stdout, check=True)
        done.touch()
    return CACHE


def initrd(parts):
    """The guest's whole system: a busybox, the modules that its disk needs, and what it does."""
    modules = {path.stem.replace("-", "_"): path for path in (parts / "lib/modules").rglob("*.ko")}
    order = []
    for name in _MODULES:
        order += [each for each in needed_by(name, modules) if each not in order]
    files = {
        "init": (0o755, _INIT.encode()), "bin/busybox": (0o755, (parts / "bin/busybox").read_bytes()),
        "order": (0o644, "\n".join(order).encode() + b"\n"),
        **{f"modules/{name}.ko": (0o644, modules[name].read_bytes()) for name in order},
    }  # fmt: skip
    return gzip.compress(archive(files, ["bin", "proc", "dev", "disk", "modules"]), 1)


def needed_by(name, modules):
    """A module behind all that it needs; what the kernel has built in is no module."""
    found = re.search(rb"depends=([^\0]*)\0", modules[name].read_bytes())[1].decode()
    for other in filter(None, found.replace("-", "_").split(",")):
        yield from needed_by(other, modules)
    yield name


def archive(files, folders):
    """A cpio archive of the kind that kernels unpack."""
    out = io.BytesIO()

    def put(name, mode, data=b""):
        fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    for folder in folders:
        put(folder, 0o040755)
    for name, (mode, data) in files.items():
        put(name, 0o100000 | mode, data)
    put("TRAILER!!!", 0)
    return out.getvalue()


def make(folder, payload):
    """A bootable raw disk whose state is "base"."""
    parts = fetched()
    volume = images.make_fat(folder / "volume", SIZE - FIRST)
    images.run(parts / "usr/bin/syslinux", "--install", volume)
    (kernel,) = (parts / "boot").glob("vmlinuz*")
    config = "default linux\nlabel linux\nkernel vmlinuz\ninitrd initrd\nappend console=ttyS0 quiet panic=-1\n"
    images.mtool("mmd", volume, "::EFI", "::EFI/BOOT")
    for name, data in {
        "EFI/BOOT/BOOTX64.EFI": (parts / "usr/lib/SYSLINUX.EFI/efi64/syslinux.efi").read_bytes(),
        "EFI/BOOT/ldlinux.e64": (parts / "usr/lib/syslinux/modules/efi64/ldlinux.e64").read_bytes(),
        "vmlinuz": kernel.read_bytes(), "initrd": initrd(parts), "syslinux.cfg": config.encode(),
        "payload.bin": payload, "unwanted.bin": payload[::-1], "state.txt": b"base\n",
    }.items():  # fmt: skip
        images.fat_write(volume, name, data)
    boot = (parts / "usr/lib/syslinux/mbr/mbr.bin").read_bytes().ljust(440, b"\0")
    entry = b"\x80\xfe\xff\xff\x0e\xfe\xff\xff" + (FIRST // SECTOR).to_bytes(4, "little")
    entry += ((SIZE - FIRST) // SECTOR).to_bytes(4, "little")
    disk = folder / "base.raw"
    disk.write_bytes((boot.ljust(446, b"\0") + entry).ljust(510, b"\0") + b"\x55\xaa" + bytes(FIRST - SECTOR))
    with disk.open("ab") as out:
        out.write(volume.read_bytes())
    return disk


def with_state(disk, target, state):
    """A copy of a disk in another state."""
    volume = target.with_suffix(".volume")
    volume.write_bytes(disk.read_bytes()[FIRST:])
    images.fat_write(volume, "state.txt", f"{state}\n".encode())
    target.write_bytes(disk.read_bytes()[:FIRST] + volume.read_bytes())
    return target


def file_in(disk, name):
    """The content of a file of a raw disk."""
    return images.run("mtype", "-i", f"{disk}@@{FIRST}", f"::{name}")
