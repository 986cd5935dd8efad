"""What a file holds, piece by piece, holes left out."""

from collections.abc import Iterator
from typing import NamedTuple

from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.file_records import FAILURES, sentence
from analyzer.guest.filesystems.record import FileRecord, FileState, Packing, Stream
from analyzer.guest.filesystems.volume import Volume
from analyzer.text import plural
from vhdx.ranges import Range, Ranges

_PIECE = 1 << 20
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
        try:
            self._file = volume.open(record)
        except FAILURES as error:
            raise self._failure(error) from error

    def pieces(self) -> Iterator[Piece]:
        """All that is stored, sorted; what no piece covers is zeros. Raises UnreadableFileError."""
        for part in self._stored():
            for at in range(part.start, part.end, _PIECE):
                yield self._piece(at, min(_PIECE, part.end - at))

    def read(self, offset: int, length: int) -> bytes:
        """A part of it, zeros where it has holes; fewer bytes where it ends. Raises UnreadableFileError."""
        length = max(0, min(length, self.size - offset))
        buffer = bytearray(length)
        for part in self._stored().within(Range(offset, length)):
            buffer[part.start - offset : part.end - offset] = self._piece(*part).data
        return bytes(buffer)

    def _stored(self) -> Ranges:
        """The ranges of the stream that are no holes."""
        stream = self._stream
        if stream.resident:
            return Ranges.of([Range(0, self.size)])
        unit = self._volume.made().block * _UNIT_CLUSTERS if stream.packing is Packing.COMPRESSED else 1
        rounded = ((e.offset // unit * unit, e.offset + e.length) for e in stream.extents)
        return Ranges.of(Range.between(start, min(self.size, -(-end // unit) * unit)) for start, end in rounded)

    def _piece(self, offset: int, length: int) -> Piece:
        try:
            data = self._file.read_random(offset, length, self._stream.type, self._stream.id)
        except FAILURES as error:
            raise self._failure(error) from error
        if len(data) != length:
            whole = plural(self.size, "byte")
            raise UnreadableFileError(self._record.path, f"it ends after {offset + len(data)} of {whole}")
        self.lost += self._lost_in(offset, length)
        return Piece(offset, bytes(data))

    def _lost_in(self, offset: int, length: int) -> int:
        """Bytes of a part of the stream that are lost; all of it where a compressed one misses any."""
        missed = self._volume.view.missed.ranges
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

    def _failure(self, error: BaseException) -> UnreadableFileError:
        return UnreadableFileError(self._record.path, f"it cannot be read ({sentence(error)})")
