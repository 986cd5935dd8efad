"""Which state of which disk is meant: a file's, or that of one layer of its chain."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from analyzer.convert.disks import RawDisk
from vhdx.chain import Chain, StateName
from vhdx.disk import Disk
from vhdx.errors import NoSuchLayerError
from vhdx.source import FileSource, read_at
from vhdx.structures.identifier import SIGNATURE, container_in


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A state, opened: a disk, and whatever was opened to get at it. Use it in a `with` statement."""

    disk: Disk
    whole: Disk
    """The disk itself, or the chain that it is a layer's state of."""
    doubt: str = ""
    """Why it is not read by the map beside it, although one is there: nothing says what of it was lost."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that were opened, those of layers above the state too: none may be written to."""
        return layers_of(self.whole)

    def __enter__(self) -> Self:
        """The state itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all files."""
        self.whole.close()


def open_state(name: StateName, open_leaf: Callable[[Path], Chain]) -> State:
    """Open a state; a VHDX with its parents by `open_leaf`, anything else as a raw image.

    Raises NoSuchLayerError, and whatever opening raises.
    """
    if _is_raw(name.path):
        if name.layer:
            raise NoSuchLayerError(name.path, str(name.layer), 1)
        raw = RawDisk(name.path)
        return State(raw, raw)
    chain = open_leaf(name.path)
    try:
        return State(chain if name.layer is None else chain.upto(name.layer), chain)
    except BaseException:
        chain.close()
        raise


def _is_raw(path: Path) -> bool:
    """Whether a file is taken for a raw image: neither its name nor its first bytes say that it is any program's image.

    Raises NotRegularFileError, InputOutputError.
    """
    if path.suffix.lower() in {".vhdx", ".avhdx"}:
        return False  # a damaged one must not pass for a disk
    with FileSource(path) as file:
        front = read_at(file, 0, min(file.size, 32))
        return not front.startswith(SIGNATURE) and container_in(front) is None


def layers_of(disk: Disk) -> tuple[Path, ...]:
    """The files of a disk, base first."""
    return tuple(layer.path for layer in disk.layers) if isinstance(disk, Chain) else (disk.path,)
