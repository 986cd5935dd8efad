"""VHD, fixed and dynamic: for Azure, older Hyper-V and many readers. Sectors of 512 bytes, disks to 2040 GiB."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np

from analyzer.convert.cells import CELL
from analyzer.convert.formats.codecs import UndecodableError
from analyzer.convert.formats.format import SECTOR, DecodedImage, Piece, pieces_with_data, require_sectors_of_512
from analyzer.convert.model import ImageRequest
from analyzer.progress import Progress
from analyzer.vhd import structures as vhd
from vhdx.errors import OutputError
from vhdx.ranges import Range
from vhdx.sink import Sink

AZURE_UNIT = 1 << 20
"""Azure takes disks of whole MiB alone."""
_TABLE_OFFSET: int = SECTOR + vhd.HEADER_SIZE


@dataclass(frozen=True, slots=True)
class FixedLayout:
    """A fixed VHD to be: the raw disk and a footer. `room` bytes are the disk's `size` or, for Azure, more."""

    size: int
    room: int
    data_bytes: int
    unique_id: UUID

    @property
    def needed_bytes(self) -> int:
        """See Layout; what is zeros takes no room."""
        return self.data_bytes + SECTOR

    def footer(self) -> bytes:
        """The last sector of the file."""
        return vhd.build_footer(vhd.DiskType.FIXED, self.room, self.unique_id)


@dataclass(frozen=True, slots=True)
class DynamicLayout:
    """A dynamic VHD to be: footer's copy, header, BAT, blocks as they come, footer."""

    size: int
    data_bytes: int
    unique_id: UUID

    @property
    def entries(self) -> int:
        """Of the BAT."""
        return -(-self.size // vhd.BLOCK)

    @property
    def first_block(self) -> int:
        """The first byte behind the BAT, which fills whole sectors."""
        return _TABLE_OFFSET + -(-self.entries * 4 // SECTOR) * SECTOR

    @property
    def needed_bytes(self) -> int:
        """See Layout; what is zeros inside a block takes no room."""
        return self.first_block + self.data_bytes + self.data_bytes // CELL * vhd.BITMAP + SECTOR

    def footer(self) -> bytes:
        """The first and the last sector of the file."""
        return vhd.build_footer(vhd.DiskType.DYNAMIC, self.size, self.unique_id)


def plan_dynamic(request: ImageRequest, data_bytes: int) -> DynamicLayout:
    """A dynamic VHD; raises OutputError for a disk that the format cannot hold."""
    return DynamicLayout(request.like.size, data_bytes, _id_of_possible(request))


def plan_fixed(request: ImageRequest, data_bytes: int, *, unit: int = SECTOR) -> FixedLayout:
    """A fixed VHD of whole units, zeros behind the disk's end where it has none; raises OutputError."""
    size = request.like.size
    return FixedLayout(size, -(-size // unit) * unit, data_bytes, _id_of_possible(request))


def _id_of_possible(request: ImageRequest) -> UUID:
    require_sectors_of_512(request, "VHD")
    if request.like.size > vhd.MAX_SIZE:
        reason = f"a VHD holds 2040 GiB at most, the disk has {request.like.size} bytes"
        raise OutputError(request.target, reason, "write a VHDX or a qcow2")
    return request.options.identities("unique_id")


class FixedWriter:
    """Every byte has its place."""

    def __init__(self, sink: Sink, layout: FixedLayout, _progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._layout = sink, layout

    pack = staticmethod(pieces_with_data)

    def put(self, start: int, piece: Piece) -> None:
        """See ImageWriter."""
        self._sink.write_at(start, piece.data)

    def finish(self) -> None:
        """Write the footer."""
        self._sink.write_at(self._layout.room, self._layout.footer())


class DynamicWriter:
    """Places blocks as the first bytes of each come."""

    def __init__(self, sink: Sink, layout: DynamicLayout, _progress: Progress) -> None:
        """Begin an image in an empty file."""
        self._sink, self._layout, self._end = sink, layout, layout.first_block
        self._bat = np.full((layout.first_block - _TABLE_OFFSET) // 4, vhd.UNUSED, dtype=">u4")

    pack = staticmethod(pieces_with_data)

    def put(self, start: int, piece: Piece) -> None:
        """See ImageWriter."""
        block, inside = divmod(start, vhd.BLOCK)
        if self._bat[block] == vhd.UNUSED:
            self._allocate(block)
        self._sink.write_at(int(self._bat[block]) * SECTOR + vhd.BITMAP + inside, piece.data)

    def finish(self) -> None:
        """Write table, header, and the footer with its copy last."""
        self._sink.write_at(_TABLE_OFFSET, self._bat.tobytes())
        self._sink.write_at(SECTOR, vhd.build_dynamic_header(_TABLE_OFFSET, self._layout.entries))
        for place in (self._end, 0):  # the first sector last: until then the file does not begin as a VHD
            self._sink.write_at(place, self._layout.footer())

    def _allocate(self, block: int) -> None:
        """Give a block its place, all of its sectors marked as there: those that are not written read as zeros."""
        self._bat[block] = self._end // SECTOR
        self._sink.write_at(self._end, b"\xff" * vhd.BITMAP)
        self._end += vhd.BITMAP + vhd.BLOCK


class FixedImage(DecodedImage):
    """A fixed VHD, read back."""

    def __init__(self, path: Path, layout: FixedLayout) -> None:
        """Open it; raises VerificationError when its footer is another, InputOutputError."""
        super().__init__(path, layout.size, CELL)
        self.require(structure=self.file.size, expected=self.require_at(layout.room, layout.footer()))

    def read_unit(self, number: int) -> bytes:
        """See DecodedImage."""
        return self.take(number * CELL, min(CELL, self.size - number * CELL))

    def extents(self) -> Iterator[Range]:
        """See DecodedImage; what the file system does not hold needs no look."""
        for part in self.file.extents():
            yield Range.between(min(part.start, self.size), min(part.end, self.size))


class DynamicImage(DecodedImage):
    """A dynamic VHD, read back."""

    def __init__(self, path: Path, layout: DynamicLayout) -> None:
        """Open it; raises VerificationError when a structure is another than was written, InputOutputError."""
        super().__init__(path, layout.size, CELL)
        for place in (0, self.file.size - vhd.FOOTER_SIZE):
            self.require_at(place, layout.footer())
        self.require_at(SECTOR, vhd.build_dynamic_header(_TABLE_OFFSET, layout.entries))
        self._bat = np.frombuffer(self.take(_TABLE_OFFSET, layout.entries * 4), dtype=">u4")

    def read_unit(self, number: int) -> bytes | None:
        """See DecodedImage; a unit is half a block."""
        block, inside = divmod(number * CELL, vhd.BLOCK)
        if self._bat[block] == vhd.UNUSED:
            return None
        place = int(self._bat[block]) * SECTOR
        if self.take(place, vhd.BITMAP) != b"\xff" * vhd.BITMAP:
            raise UndecodableError("its sector bitmap is another")
        return self.take(place + vhd.BITMAP + inside, CELL)

    def extents(self) -> Iterator[Range]:
        """See DecodedImage."""
        for block in np.flatnonzero(self._bat != vhd.UNUSED).tolist():
            yield Range.between(block * vhd.BLOCK, min((block + 1) * vhd.BLOCK, self.size))
