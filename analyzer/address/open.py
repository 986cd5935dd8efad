"""From the address of a disk to the disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.address.parse import Address, Kind, PointName, is_vhd
from analyzer.address.state import State
from analyzer.nbd.uri import NbdAddress
from vhdx.chain import Chain, StateName
from vhdx.errors import CorruptFileError, NoSuchLayerError
from vhdx.source_map import BESIDE, SourceMaps

if TYPE_CHECKING:
    from analyzer.backup.repository.repository import Repository
    from analyzer.vhd.chain import VhdChain

_NO_VHDX = "FID-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How what an address names is opened."""

    leaf: Callable[[Path], Chain]
    """Opens a VHDX with its parents."""
    vhd: Callable[[Path], "VhdChain"]
    """Opens a VHD of version 1 with its parents."""
    point: Callable[[PointName], tuple["Repository", str]]
    """Opens a repository, and says the full name of the restore point that is meant."""
    maps: SourceMaps = BESIDE
    """The maps of ddrescue that a raw image is read by."""
    sector_size: int | None = None
    """Bytes of a sector of what does not say it itself; None for what it says, or 512."""


def open_state(address: Address, access: Access) -> State:
    """Open what an address names. Raises NoSuchLayerError, and whatever opening raises."""
    match address.name:
        case PointName():
            return _open_point(address.name, access)
        case NbdAddress():
            return _open_export(address.name, access)
        case StateName() if address.kind in {Kind.RAW, Kind.DEVICE}:
            return _open_raw(address.name, address.kind, access)
        case StateName():
            return _open_chain(address.name, address.kind, access)


def _open_raw(name: StateName, kind: Kind, access: Access) -> State:
    # What reads raw images and restore points is loaded where one is named: most disks are chains.
    from analyzer.convert.disks import RawDisk

    if name.layer:
        raise NoSuchLayerError(name.path, str(name.layer), 1)
    raw = RawDisk(name.path, access.sector_size, access.maps)
    return State(raw, raw, kind)


def _open_point(name: PointName, access: Access) -> State:
    from analyzer.address.point import RestorePoint

    point = RestorePoint(*access.point(name))
    return State(point, point, Kind.POINT)


def _open_export(address: NbdAddress, access: Access) -> State:
    from analyzer.nbd.disk import NbdDisk

    disk = NbdDisk(address, sector_size=access.sector_size)
    return State(disk, disk, Kind.NBD)


def _open_chain(name: StateName, kind: Kind, access: Access) -> State:
    opened: Callable[[Path], Chain | VhdChain] = access.vhd if kind is Kind.VHD else access.leaf
    try:
        chain = opened(name.path)
    except CorruptFileError as error:
        if error.finding.code != _NO_VHDX or kind is Kind.VHD or not is_vhd(name.path):
            raise
        return _open_chain(name, Kind.VHD, access)  # under the name of a VHDX
    try:
        return State(chain if name.layer is None else chain.upto(name.layer), chain, kind)
    except BaseException:
        chain.close()
        raise
