"""A disk that was opened by its address: what is read, and what else was opened to get at it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.address.parse import Kind
from analyzer.recovery_map.beside import is_accompanied
from vhdx import runs
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.errors import NoSuchLayerError
from vhdx.source import Closing

WITHOUT_FILES = frozenset({Kind.POINT, Kind.NBD})
"""What has no file of this machine that a map could be beside."""


@dataclass(frozen=True, slots=True, eq=False)
class State(Closing):
    """A state of a disk, opened. Use it in a `with` statement."""

    disk: Disk
    whole: Disk
    """The disk itself, or what it is a part or a view of: the chain that it is a layer's state of."""
    kind: Kind = Kind.LEAF
    doubt: str = ""
    """Why it is not read by the map beside it, although one is there: nothing says what of it was lost."""

    @property
    def title(self) -> str:
        """What to call it: the path of its file, or REPO::POINT."""
        return title_of(self.disk)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that were opened, those of layers above the state too: none may be written to."""
        return layers_of(self.whole)

    def close(self) -> None:
        """Close all files."""
        self.whole.close()


def read_by_map(state: State) -> State:
    """The state as the map beside its file has it; as it is where that cannot be used, which is a doubt."""
    if state.kind in WITHOUT_FILES or not any(map(is_accompanied, state.files)):
        return state  # most disks have no map: what reads one is loaded where there is one
    from analyzer.recovery_map.disk import UnusableMapError, by_map

    try:
        return replace(state, disk=by_map(state.disk))
    except UnusableMapError as error:
        return replace(state, doubt=str(error))


def layers_of(disk: Disk) -> tuple[Path, ...]:
    """The files of a disk, base first; none of a restore point or an export."""
    layers: Sequence[Disk] = getattr(disk, "layers", ())
    if layers:
        return tuple(layer.path for layer in layers)
    return () if form_of(disk) in {"point", "nbd"} else (disk.path,)


def state_of_layer(disk: Disk, layer: int) -> Disk:
    """The state of a layer of a disk that is a chain; raises NoSuchLayerError."""
    if hasattr(disk, "layers"):
        state: Disk = disk.upto(layer)  # type: ignore[attr-defined] # of a VHDX or a VHD
        return state
    if layer:
        raise NoSuchLayerError(disk.path, str(layer), 1)
    return disk


def title_of(disk: Disk) -> str:
    """What to call a disk: the path of its file; REPO::POINT, or an export's address, which are no paths."""
    # Asked by name: to ask for the class would load all that reads repositories.
    return str(getattr(disk, "title", getattr(disk, "address", disk.path)))


def form_of(disk: Disk) -> str:
    """How a disk is kept, in a word of JSON's: vhdx, vhd, raw, point or nbd."""
    if hasattr(disk, "layers"):
        return "vhdx" if isinstance(disk, Chain) else "vhd"
    return "point" if hasattr(disk, "title") else "nbd" if hasattr(disk, "address") else "raw"


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
