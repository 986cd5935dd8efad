"""What every format of image has in common: what writes it, cell by cell, and what reads it back."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from analyzer.convert.cells import CELL, Bytes, nonzero_ranges, read_cells
from analyzer.convert.copying import CellChecksums
from analyzer.convert.formats.codecs import UndecodableError
from analyzer.convert.model import Compression, ImageRequest, Layout
from analyzer.convert.threads import in_order
from analyzer.progress import Progress
from vhdx.errors import OutputError, ShortReadError, VerificationError
from vhdx.plans import RunSource
from vhdx.ranges import Range
from vhdx.runs import Kind, RunTable
from vhdx.sink import Existing, Sink
from vhdx.source import ByteSource, FileSource, read_at


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

    def finish(self) -> Mapping[str, str] | None:
        """Write what says where everything is; the digests of the whole disk, in hex, where the format has them."""
        ...


class DecodedImage(RunSource):
    """An image whose bytes are decoded as they are asked for: a disk, and the one source that it is made of."""

    def __init__(self, path: Path, size: int, unit: int) -> None:
        """Open the file for a disk of `size` bytes in units of `unit`; raises InputOutputError."""
        self.path, self._size, self.unit = path, size, unit
        self.file = FileSource(path)

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._size

    @abstractmethod
    def read_unit(self, number: int) -> bytes | None:
        """The content of a unit, all of it; None for zeros. Raises UndecodableError."""

    @abstractmethod
    def extents(self) -> Iterator[Range]:
        """The ranges of the disk, sorted, of which the image holds anything."""

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The image itself: places in it are places on the disk."""
        return (self,)

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """One run: all of it is data."""
        yield RunTable.of([(start, end - start, Kind.DATA, 0, start)] if end > start else [])

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        end = offset + len(buffer)
        for number in range(offset // self.unit, -(-end // self.unit)):
            first = number * self.unit
            lower, upper = max(first, offset), min(first + self.unit, end)
            try:
                content = self.read_unit(number) or bytes(self.unit)  # None: no format stores zeros
            except UndecodableError as error:
                raise VerificationError(self.path, first, self.unit) from error
            if len(content) < upper - first:  # only the last unit of a disk may be short
                raise VerificationError(self.path, first, self.unit)
            buffer[lower - offset : upper - offset] = content[lower - first : upper - first]

    def take(self, offset: int, length: int) -> bytes:
        """Bytes of the file; raises VerificationError where it has none, for a table that is wrong points there."""
        try:
            return read_at(self.file, offset, length)
        except ShortReadError as error:
            raise self._other() from error

    def _other(self) -> VerificationError:
        """That this is another image. It is closed: who failed to open it cannot, and Windows removes no open file."""
        self.close()
        return VerificationError(self.path, 0, self.size)

    def require(self, *, structure: object, expected: object) -> None:
        """Raise VerificationError when a structure, which holds for the whole disk, is not as it was written."""
        if structure != expected:
            raise self._other()

    def require_at(self, offset: int, expected: bytes) -> int:
        """Raise VerificationError when other bytes are at `offset` of the file; returns where these end."""
        self.require(structure=self.take(offset, len(expected)), expected=expected)
        return offset + len(expected)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


SECTOR = 512
"""Bytes of a logical sector, where a format has no others."""
AnyLayout = TypeVar("AnyLayout", bound=Layout)
AnySink = TypeVar("AnySink", bound=Sink)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(Generic[AnyLayout, AnySink]):
    """A format of other programs: what plans an image, what writes it, and what reads it back."""

    plan: Callable[[ImageRequest, int], AnyLayout]
    """By the bytes of the cells that can be copied at most; raises OutputError for what the format cannot hold."""
    compressions: Collection[Compression] = ()
    """What may be asked for."""
    writer: Callable[[AnySink, AnyLayout, Progress], ImageWriter]
    """Begins the image in an empty file; Progress counts zeros, where they take time, and nothing else."""
    image: Callable[[Path, AnyLayout], DecodedImage]
    """Opens what was written; raises VerificationError when that is another image, InputOutputError."""
    sink: type[AnySink]
    check_further: Callable[[Path, AnyLayout, Sequence[Path], Existing], None] = lambda *_: None
    """Refuses further files of the image as `check_target` does the first; raises OutputError."""
    digested: Callable[[AnyLayout], int] = lambda _: 0
    """Bytes of the disk that go through digests, zeros included."""


def require_sectors_of_512(request: ImageRequest, name: str) -> None:
    """Refuse a disk of other sectors for a format, called `name`, that has no others; raises OutputError."""
    if request.like.logical_sector_size != SECTOR:
        reason = f"a {name} has sectors of 512 bytes, the disk of {request.like.logical_sector_size}"
        raise OutputError(request.target, reason, "write a VHDX, which has both")


def copy_packed(
    disk: RunSource, cells: Iterable[int], writer: ImageWriter, progress: Progress
) -> tuple[CellChecksums, Mapping[str, str]]:
    """Copy these cells, leaving zeros out; returns also the digests that the format has.

    Raises what reading and writing raise.
    """
    checksums = CellChecksums()

    def pack(given: tuple[int, Bytes]) -> tuple[int, Bytes, list[Piece]]:
        return *given, writer.pack(given[1])

    # A copy for each cell: `read_cells` uses two buffers in turn, and more than two are under way here.
    copies = ((cell, data.copy()) for cell, data in read_cells(disk, cells))
    with closing(in_order(pack, copies)) as packed:
        for cell, data, pieces in packed:
            if pieces:
                checksums.note(cell, data)
            for piece in pieces:
                writer.put(cell * CELL + piece.start, piece)
            progress(len(data))
    return checksums, writer.finish() or {}


def units_with_data(data: Bytes, unit: int) -> Iterator[tuple[int, bytes]]:
    """(start, content) of each unit of a cell that is not zeros; the last one is filled up with zeros."""
    if len(data) % unit:
        data = np.append(data, np.zeros(-len(data) % unit, dtype=np.uint8))
    # By words: eight times fewer of them to look at.
    for number in np.flatnonzero(data.view(np.uint64).reshape(-1, unit // 8).any(axis=1)).tolist():
        yield number * unit, data[number * unit : (number + 1) * unit].tobytes()


def pieces_with_data(data: Bytes) -> list[Piece]:
    """A cell as it is, without the grains of zeros."""
    return [Piece(part.start, data[part.start : part.end].data, Form.STORED) for part in nonzero_ranges(data)]
