"""What every format of image has in common: what is asked for, what writes it and what reads it back."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from analyzer.convert.cells import Bytes
from analyzer.convert.model import Compression, Layout, Options
from analyzer.progress import Progress
from vhdx.errors import OutputError
from vhdx.ranges import Range
from vhdx.reader import RunSource
from vhdx.sink import Existing, Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """The image that is asked for; sizes are bytes. `data_bytes` counts whole cells, the most that can be copied."""

    target: Path
    size: int
    sector_size: int
    data_bytes: int
    options: Options


class Form(Enum):
    """How a piece is kept."""

    STORED = "stored"
    PACKED = "packed"
    SEEN = "seen"
    """Not kept: the whole cell as it is, for digests."""


class Piece(NamedTuple):
    """A part of a cell on its way to the file: `start` counts from the cell's first byte."""

    start: int
    data: bytes | memoryview
    form: Form


class ImageWriter(Protocol):
    """Makes an image of cells. `pack` may run in any thread, the others run in one."""

    def pack(self, data: Bytes) -> list[Piece]:
        """What of a cell is to be kept, as it is to be kept; no pieces for zeros. Touches nothing but its argument."""
        ...

    def put(self, start: int, piece: Piece) -> None:
        """Place a piece, which is at byte `start` of the disk; pieces come sorted."""
        ...

    def finish(self) -> Mapping[str, str]:
        """Write what says where everything is; the digests of the whole disk, in hex, where the format has them."""
        ...


class WrittenImage(RunSource, Protocol):
    """An image, opened to be read back."""

    def extents(self) -> Iterator[Range]:
        """The ranges of the disk, sorted, of which the image holds anything."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


AnyLayout = TypeVar("AnyLayout", bound=Layout)
AnySink = TypeVar("AnySink", bound=Sink)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(Generic[AnyLayout, AnySink]):
    """A format of other programs: what plans an image, what writes it, and what reads it back."""

    plan: Callable[[ImageRequest], AnyLayout]
    """Raises OutputError for a disk that the format cannot hold."""
    writer: Callable[[AnySink, AnyLayout, Progress], ImageWriter]
    """Begins the image in an empty file; Progress counts zeros, where they take time, and nothing else."""
    image: Callable[[Path, AnyLayout], WrittenImage]
    """Opens what was written; raises VerificationError when that is another image, InputOutputError."""
    sink: type[AnySink]
    check_further: Callable[[Path, AnyLayout, Sequence[Path], Existing], None] = lambda *_: None
    """Refuses further files of the image as `check_target` does the first; raises OutputError."""
    digested: Callable[[AnyLayout], int] = lambda _: 0
    """Bytes of the disk that go through digests, zeros included."""


def require_compression(target: Path, asked: Compression, allowed: Collection[Compression], name: str) -> None:
    """Refuse a way of packing that the format called `name` does not have; raises OutputError."""
    if asked is not Compression.FORMAT and asked not in allowed:
        reason = f"{name} leaves no choice of {asked.value} compression"
        raise OutputError(target, reason, "leave the option out, or choose another format")
