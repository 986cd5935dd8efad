"""What tells whether a disk is the one that it was: it changes with what the disk shows."""

from analyzer.address.point import RestorePoint
from analyzer.address.state import layers_of
from analyzer.nbd.disk import NbdDisk
from analyzer.recovery_map.disk import without_map
from vhdx.chain import Chain
from vhdx.disk import Disk


def identity_of(disk: Disk) -> str:
    """The identity of a state: a VHDX and a restore point have one, of other files it is size and time.

    An export of another server is known by its address and size alone.
    """
    disk = without_map(disk)
    if isinstance(disk, Chain):
        return f"vhdx {disk.leaf.data_write_guid}"
    if isinstance(disk, RestorePoint):
        manifest = disk.point.manifest
        return f"point {manifest.name} {manifest.created.isoformat()}"
    if isinstance(disk, NbdDisk):
        return f"nbd {disk.address} {disk.size}"
    found = (path.stat() for path in layers_of(disk))
    return "files " + " ".join(f"{status.st_size}-{status.st_mtime_ns}" for status in found)
