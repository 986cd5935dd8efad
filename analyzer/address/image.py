"""A disk of any address as one image to be: what a VHDX that is made of it is like."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.address.state import State, form_of
from analyzer.convert.create import BLOCK_SIZES, PHYSICAL_SECTOR
from analyzer.convert.model import ImageRequest, Options, OutputFormat, new_disk, request_like
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.structures.disk import DiskType

if TYPE_CHECKING:
    from analyzer.backup.repository.manifest import Manifest


def request_of(state: State, target: Path, output: OutputFormat, options: Options) -> ImageRequest:
    """The image that is asked for: like the chain, the restore point, or as a new disk of Windows where nothing says.

    No file of the state is ever written over.
    """
    disk = state.disk
    if isinstance(disk, Chain):
        return replace(request_like(disk, target, output, options), sources=state.files)
    if manifest := _manifest_of(disk):
        from analyzer.backup.restore import request_for

        return request_for(manifest, target, output, options)
    sectors = disk.sector_size, max(disk.sector_size, PHYSICAL_SECTOR)
    disk_id = options.identities("virtual_disk_id")
    like = new_disk(options, disk.size, BLOCK_SIZES[DiskType.DYNAMIC], sectors, disk_id)
    return ImageRequest(target=target, format=output, like=like, options=options, sources=state.files)


def file_name_of(state: State) -> Path:
    """What an image of a disk is named after, where a folder is given for it."""
    if manifest := _manifest_of(state.disk):
        return Path(f"{manifest.name}.vhdx")
    if form_of(state.disk) == "nbd":
        from analyzer.nbd.disk import NbdDisk

        if isinstance(state.disk, NbdDisk):
            return Path(Path(state.disk.address.export).name or "disk")
    return state.disk.path


def _manifest_of(disk: Disk) -> "Manifest | None":
    """What a repository says of a disk that is one of its restore points."""
    if form_of(disk) != "point":  # most disks are chains: what reads repositories is loaded where one was
        return None
    from analyzer.address.point import RestorePoint

    return disk.point.manifest if isinstance(disk, RestorePoint) else None
