"""A VHDX file that lies in the disk of a host, and the bytes of it."""

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from analyzer.guest.filesystems.record import Extent, FileRecord
from analyzer.guest.filesystems.volume import Volume
from vhdx.errors import ShortReadError
from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.source import ByteSource, Unread, read_known


class Origin(Enum):
    """What tells of a file."""

    FILE = "file"
    """A folder of a volume has it."""
    DELETED = "deleted"
    """Its record is left, and says where it was: what is free there now may have been others' since."""
    STRUCTURE = "structure"
    """It begins there, and nothing else tells of it: where it is not in one piece, the rest is not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedFile:
    """A file in the disk of a host. All places in `extents` are bytes of that disk, all of `lost` bytes of the file."""

    name: str
    path: str | None
    """In its volume; None where no record tells of it."""
    volume: int | None
    origin: Origin
    start: int
    """Where its first byte is, or was."""
    size: int
    extents: tuple[Extent, ...]
    lost: Ranges = NO_RANGES
    """Others have these places now, or they could not be found."""
    reason: str | None = None
    """Why it cannot be taken out."""
    of_volume: Volume | None = None
    record: FileRecord | None = None


class PlacedSource:
    """A file by its places on a disk: zeros where it has none, and unread where that is lost."""

    def __init__(self, disk: ByteSource, file: HostedFile) -> None:
        """Read from `disk`, which stays the caller's to close."""
        self._disk, self._extents = disk, file.extents
        self._offsets = [extent.offset for extent in file.extents]
        self.path, self.size = Path(file.name), file.size
        self.unread = Unread(disk.path, file.lost) if file.lost else None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        end = offset + len(buffer)
        if end > self.size:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        buffer[:] = bytes(len(buffer))
        for extent in self._extents[max(0, bisect_right(self._offsets, offset) - 1) :]:
            first, last = max(offset, extent.offset), min(end, extent.offset + extent.length, self.size)
            if extent.offset >= end:
                break
            if first < last:
                part = Range.between(first, last)
                self._read_extent(extent, part, buffer[part.start - offset : part.end - offset])

    def _read_extent(self, extent: Extent, part: Range, buffer: memoryview) -> None:
        lost = self.unread.ranges if self.unread else NO_RANGES
        for piece, is_lost in lost.split(part):
            if not is_lost:
                place = extent.start + piece.start - extent.offset
                read_known(self._disk, place, buffer[piece.start - part.start : piece.end - part.start])
