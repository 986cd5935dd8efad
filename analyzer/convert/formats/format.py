"""What every format of image has in common: what is asked for, what is planned, what writes and what reads back."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from analyzer.convert.cells import Bytes
from analyzer.convert.formats.case_data import Digests, Evidence
from analyzer.progress import Progress
from vhdx.errors import OutputError
from vhdx.identities import Identities
from vhdx.reader import RunSource
from vhdx.sink import Sink


class Compression(Enum):
    """How the data of an image is packed, where its format leaves that open."""

    FORMAT = "format"
    """As the format has it: not at all where it need not be."""
    ZLIB = "zlib"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an image is to hold; sizes are bytes. `data_bytes` counts whole cells, the most that can be copied.

    The last three are for images of evidence; `segment_size` None leaves it to the format.
    """

    target: Path
    size: int
    sector_size: int
    data_bytes: int
    compression: Compression
    identities: Identities
    evidence: Evidence
    digests: Digests
    segment_size: int | None


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
        """Place a piece, which stands at byte `start` of the disk; pieces come in rising order."""
        ...

    def finish(self) -> None:
        """Write what tells where everything is."""
        ...


class WrittenImage(RunSource, Protocol):
    """An image, opened to be read back."""

    def extents(self) -> Iterator[tuple[int, int]]:
        """(start, end) of the ranges of the disk, rising, of which the image holds anything."""
        ...

    def close(self) -> None:
        """Give the file back to the system."""
        ...


class Layout(Protocol):
    """The plan of one image. Nothing was touched to make it."""

    @property
    def needed_bytes(self) -> int:
        """What the target's file system must have free."""
        ...

    def writer(self, sink: Sink, progress: Progress, /) -> ImageWriter:
        """Begin the image in a new file; `progress` is told of zeros, where they take time, and of nothing else."""
        ...

    def open(self, path: Path) -> WrittenImage:
        """Open what was written; raises VerificationError when that is another image, InputOutputError."""
        ...


def require_compression(target: Path, asked: Compression, allowed: Collection[Compression], name: str) -> None:
    """Refuse a way of packing that the format called `name` does not have; raises OutputError."""
    if asked is not Compression.FORMAT and asked not in allowed:
        reason = f"{name} leaves no choice of {asked.value} compression"
        raise OutputError(target, reason, "leave the option out, or choose another format")
