"""Commands for a disk that is served, which can be pasted: whoever reads block devices, told of this one."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from analyzer.nbd.uri import NbdAddress
from vhdx.system.shell import shell_command

_PLAIN = 512


class Access(Enum):
    """What clients may do."""

    READ = "read-only"
    WRITE = "writable"


class Ready(NamedTuple):
    """What a command is for, and the command, or what is pasted elsewhere."""

    purpose: str
    text: str


@dataclass(frozen=True, slots=True)
class ServedAs:
    """A disk as its clients have to be told of it: NBD itself tells nobody of sectors."""

    address: NbdAddress
    sector_size: int
    access: Access

    @property
    def is_4kn(self) -> bool:
        """Its sectors are not those that everything takes for granted."""
        return self.sector_size != _PLAIN


def ready_commands(disk: ServedAs) -> Iterator[Ready]:
    """What is most often done with a disk."""
    uri, name = str(disk.address), "disk.raw"
    yield from _qemu(disk)
    yield Ready("libvirt", _libvirt(disk))
    yield Ready("copy it", shell_command(["nbdcopy", uri, name]))
    yield Ready("as a file", f"mkdir mnt; {shell_command(['nbdfuse', f'mnt/{name}', uri])} &")
    loop = ["losetup", "-r", "-P", *(["-b", str(disk.sector_size)] if disk.is_4kn else []), "-f", "--show"]
    yield Ready("then as a device", shell_command([*loop, f"mnt/{name}"]))
    block = [f"--blocksize={disk.sector_size}"] if disk.is_4kn else []
    guest = shell_command(["guestfish", "--ro", "--format=raw", *block, "-a", _guestfish(disk.address), "-i"])
    yield Ready("files, without root", guest)
    if not disk.is_4kn:  # virt-v2v takes a file for 512 bytes a sector, whatever is in it
        yield Ready("to KVM, once it is a file", f"virt-v2v -i disk mnt/{name} -o local -os .")


def _qemu(disk: ServedAs) -> Iterator[Ready]:
    # Whoever boots writes: where the disk takes nothing, QEMU keeps it in a file of its own until it ends.
    drive = f"file={disk.address},format=raw,cache=writeback{',snapshot=on' if disk.access is Access.READ else ''}"
    start = ["qemu-system-x86_64", "-m", "2G"]
    sectors = f"logical_block_size={disk.sector_size},physical_block_size={disk.sector_size}"
    if not disk.is_4kn:  # an IDE disk has sectors of 512 bytes, in Hyper-V as well
        yield Ready("boot, generation 1", shell_command([*start, "-drive", f"{drive},if=ide"]))
    device = f"nvme,drive=d,serial=vhdx,{sectors}" if disk.is_4kn else "ide-hd,drive=d"
    machine = ["-machine", "q35", "-bios", "/usr/share/ovmf/OVMF.fd", "-drive", f"{drive},if=none,id=d"]
    yield Ready("boot, generation 2", shell_command([*start, *machine, "-device", device]))


def _libvirt(disk: ServedAs) -> str:
    """The disk's element; what cannot be written is no SATA disk, so that it is a SCSI disk, for data."""
    is_read = disk.access is Access.READ
    bus = "scsi" if is_read or disk.is_4kn else "sata"
    size = f"'{disk.sector_size}'"
    sectors = f"<blockio logical_block_size={size} physical_block_size={size}/>" if disk.is_4kn else ""
    return (
        f"<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
        f"<source protocol='nbd' name={quoteattr(disk.address.export)}>{_host(disk.address)}</source>"
        f"<target dev='sda' bus='{bus}'/>{sectors}{'<readonly/>' if is_read else ''}</disk>"
    )


def _host(address: NbdAddress) -> str:
    if address.socket is not None:
        return f"<host transport='unix' socket={quoteattr(str(address.socket))}/>"
    return f"<host name={quoteattr(address.host)} port='{address.port}'/>"


def _guestfish(address: NbdAddress) -> str:
    """The address as libguestfs has it: one scheme for both kinds of sockets."""
    return str(address).replace("nbd+unix://", "nbd://", 1)
