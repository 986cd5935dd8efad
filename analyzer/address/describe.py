"""What a disk is that no VHDX holds: a raw image, a device, a restore point."""

from dataclasses import dataclass

from analyzer.address.parse import Kind
from analyzer.address.state import State
from vhdx import runs
from vhdx.chain import Chain

_TYPES = {Kind.VHD: "vhd", Kind.RAW: "raw", Kind.DEVICE: "device", Kind.POINT: "point", Kind.NBD: "nbd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatDescription:
    """One disk; all sizes are bytes."""

    path: str
    """What it is called: the path of a file or device, or REPO::POINT."""
    type: str
    virtual_size: int
    logical_sector_size: int
    allocated_bytes: int
    """What may be other than zeros: what a file system, or an index of chunks, has as data."""
    lost_bytes: int
    """What is LOST."""


def describe_flat(state: State) -> FlatDescription | None:
    """What a disk is; None for a chain, whose files say more."""
    disk = state.disk
    if isinstance(disk, Chain):
        return None
    counts = dict.fromkeys((runs.Kind.DATA, runs.Kind.LOST), 0)
    for table in disk.windows():
        counts = {kind: count + table.bytes_of(kind) for kind, count in counts.items()}
    return FlatDescription(
        path=state.title,
        type=_TYPES[state.kind],
        virtual_size=disk.size,
        logical_sector_size=disk.sector_size,
        allocated_bytes=counts[runs.Kind.DATA],
        lost_bytes=counts[runs.Kind.LOST],
    )
