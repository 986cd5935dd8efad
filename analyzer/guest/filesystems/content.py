"""What a file holds, piece by piece, holes left out."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.record import FileRecord, FileState, Packing, Stream
from analyzer.guest.filesystems.volume import Volume
from analyzer.text import plural
from vhdx.ranges import Range, Ranges

_PIECE = 1 << 20  # what is in memory of a file of any size
# Clusters that NTFS compresses as one.
_UNIT_CLUSTERS = 16


class Piece(NamedTuple):
    """Bytes of a file from byte `offset`."""

    offset: int
    data: bytes


class Content:
    """The bytes of one stream. `lost` grows while it is read: how many of them could not be known, and are zeros."""

    def __init__(self, volume: Volume, record: FileRecord, stream: Stream) -> None:
        """Raises UnreadableFileError where what is stored is not what the file holds."""
        if record.obstacle or record.state is FileState.OVERWRITTEN:
            raise UnreadableFileError(record.path, record.obstacle or "another file has its record")
        if stream.packing is Packing.ENCRYPTED:
            raise UnreadableFileError(record.path, "it is encrypted (EFS)")
        self.size, self.lost = stream.size, 0
        self._volume, self._record, self._stream = volume, record, stream
        facts = volume.require_readable()
        whole_blocks = facts.size // facts.block * facts.block  # the reader takes no part of one
        self._unit = facts.block * _UNIT_CLUSTERS if stream.packing is Packing.COMPRESSED else 1
        self._past_end = self._units(_past_end(stream, volume.record.start + whole_blocks))
        extents = (Range(extent.offset, extent.length) for extent in stream.extents)
        self._stored = self._units([Range(0, self.size)] if stream.resident else extents) - self._past_end

    def pieces(self) -> Iterator[Piece]:
        """All that is stored and in the volume, sorted; what no piece covers is zeros. Raises UnreadableFileError.

        What is past the end of the volume is lost, and only counted: of hostile volumes it has no end.
        """
        self.lost += self._past_end.size
        for part in self._stored:
            for at in range(part.start, part.end, _PIECE):
                yield self._piece(at, min(_PIECE, part.end - at))

    def read(self, offset: int, length: int) -> bytes:
        """A part of it, zeros where it has holes; fewer bytes where it ends. Raises UnreadableFileError."""
        length = max(0, min(length, self.size - offset))
        buffer = bytearray(length)
        self.lost += self._past_end.within(Range(offset, length)).size
        for part in self._stored.within(Range(offset, length)):
            buffer[part.start - offset : part.end - offset] = self._piece(*part).data
        return bytes(buffer)

    def _units(self, parts: Iterable[Range]) -> Ranges:
        """Parts of the stream, each with all of the units that are compressed as one."""
        unit = self._unit
        rounded = ((part.start // unit * unit, -(-part.end // unit) * unit) for part in parts)
        return Ranges.of(Range.between(start, min(self.size, end)) for start, end in rounded)

    def _piece(self, offset: int, length: int) -> Piece:
        data = self._volume.read(self._record, self._stream, Range(offset, length))
        if len(data) != length:
            whole = plural(self.size, "byte")
            raise UnreadableFileError(self._record.path, f"it ends after {offset + len(data)} of {whole}")
        self.lost += self._lost_in(offset, length)
        return Piece(offset, data)

    def _lost_in(self, offset: int, length: int) -> int:
        """Bytes of a part of the stream that are lost; all of it where a compressed one misses any."""
        missed = self._volume.missed.ranges
        if not missed:
            return 0
        stream = self._stream
        if stream.resident:
            return length if missed.touches_any(stream.resident) else 0
        lost = 0
        for extent in stream.extents:
            lower, upper = max(offset, extent.offset), min(offset + length, extent.offset + extent.length)
            if lower < upper:
                lost += missed.within(Range(extent.start + lower - extent.offset, upper - lower)).size
        return length if lost and stream.packing is Packing.COMPRESSED else lost


def _past_end(stream: Stream, end: int) -> Iterator[Range]:
    """The parts of a stream that a volume which ends at byte `end` of the disk does not have."""
    for extent in stream.extents:
        missing = min(extent.length, extent.on_disk.end - end)
        if missing > 0:
            yield Range(extent.offset + extent.length - missing, missing)
