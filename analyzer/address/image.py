"""A disk of any address as one image to be: what a VHDX that is made of it is like."""

from dataclasses import replace
from pathlib import Path

from analyzer.address.point import RestorePoint
from analyzer.address.state import State
from analyzer.backup.restore import request_for
from analyzer.convert.create import BLOCK_SIZES, PHYSICAL_SECTOR
from analyzer.convert.model import ImageRequest, Options, OutputFormat, new_disk, request_like
from analyzer.nbd.disk import NbdDisk
from vhdx.chain import Chain
from vhdx.structures.disk import DiskType


def request_of(state: State, target: Path, output: OutputFormat, options: Options) -> ImageRequest:
    """The image that is asked for: like the chain, the restore point, or as a new disk of Windows where nothing says.

    No file of the state is ever written over.
    """
    disk = state.disk
    if isinstance(disk, Chain):
        return replace(request_like(disk, target, output, options), sources=state.files)
    if isinstance(disk, RestorePoint):
        return request_for(disk.point.manifest, target, output, options)
    sectors = disk.sector_size, max(disk.sector_size, PHYSICAL_SECTOR)
    disk_id = options.identities("virtual_disk_id")
    like = new_disk(options, disk.size, BLOCK_SIZES[DiskType.DYNAMIC], sectors, disk_id)
    return ImageRequest(target=target, format=output, like=like, options=options, sources=state.files)


def file_name_of(state: State) -> Path:
    """What an image of a disk is named after, where a folder is given for it."""
    if isinstance(state.disk, RestorePoint):
        return Path(f"{state.disk.point.manifest.name}.vhdx")
    if isinstance(state.disk, NbdDisk):
        return Path(Path(state.disk.address.export).name or "disk")
    return state.disk.path
