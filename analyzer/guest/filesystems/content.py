"""What a file holds, piece by piece, holes left out."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.record import FileRecord, FileState, Packing, Stream
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.layouts.ntfs import DATA
from analyzer.guest.layouts.ntfs_streams import NtfsStream, stream_in
from analyzer.text import plural
from vhdx.ranges import NO_RANGES, Range, Ranges

_PIECE = 1 << 20  # what is in memory of a file of any size
# Clusters that NTFS compresses as one.
_UNIT_CLUSTERS = 16
# Their files hold what is at their extents. NTFS and exFAT have zeros past what was ever written: of NTFS records say
# how much that is, of exFAT the reader knows.
_MOST_RECORD = 1 << 16
_PLAIN_VOLUMES = {"ext2", "ext3", "ext4", "fat12", "fat16", "fat32"}


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
        is_single = len(stream.extents) <= 1  # as of most files
        if not is_single and _is_twice(stream):
            raise UnreadableFileError(record.path, "it has a place of the disk twice, as no sound file does")
        self.size, self.lost = stream.size, 0
        self._volume, self._record, self._stream = volume, record, stream
        facts = volume.require_readable()
        whole_blocks = facts.size // facts.block * facts.block  # the reader takes no part of one
        self._unit = facts.block * _UNIT_CLUSTERS if stream.packing is Packing.COMPRESSED else 1
        end = volume.record.start + whole_blocks
        self._past_end = self._units([*_past_end(stream, end)])
        told = _stream_told(volume, record, stream)
        self._inside, written = (told.inside, told.initialized) if told else (None, self.size)
        extents = [Range(at, min(count, written - at)) for at, _, count in stream.extents if at < written]
        stored = [Range(0, self.size)] if stream.resident else extents
        is_one = len(stored) == 1 and self._unit == 1 and not self._past_end and _is_inside(stored[0], self.size)
        self._only = stored[0] if is_one else None  # a set of ranges takes ten times as long to make
        self._several = NO_RANGES if is_one else self._units(stored) - self._past_end
        is_plain = volume.record.type in _PLAIN_VOLUMES and stream.packing is Packing.PLAIN and not stream.resident
        is_by_extents = (is_plain or told is not None) and (is_single or _are_apart(stream))
        self._offsets = [extent.offset for extent in stream.extents] if is_by_extents else []

    def pieces(self) -> Iterator[Piece]:
        """All that is stored and in the volume, sorted; what no piece covers is zeros. Raises UnreadableFileError.

        What is past the end of the volume is lost, and only counted: of hostile volumes it has no end.
        """
        self.lost += self._past_end.size if self._past_end else 0
        for part in (self._only,) if self._only else self._several:
            for at in range(part.start, part.end, _PIECE):
                yield self._piece(at, min(_PIECE, part.end - at))

    def read(self, offset: int, length: int) -> bytes:
        """A part of it, zeros where it has holes; fewer bytes where it ends. Raises UnreadableFileError."""
        length = max(0, min(length, self.size - offset))
        buffer = bytearray(length)
        self.lost += self._past_end.within(Range(offset, length)).size
        stored = Ranges.single(self._only) if self._only else self._several
        for part in stored.within(Range(offset, length)):
            buffer[part.start - offset : part.end - offset] = self._piece(*part).data
        return bytes(buffer)

    def _units(self, parts: Sequence[Range]) -> Ranges:
        """Parts of the stream, each with all of the units that are compressed as one."""
        if not parts:
            return NO_RANGES
        unit = self._unit
        rounded = ((part.start // unit * unit, -(-part.end // unit) * unit) for part in parts)
        return Ranges.of(Range.between(start, min(self.size, end)) for start, end in rounded)

    def _piece(self, offset: int, length: int) -> Piece:
        if self._inside is not None:
            data: bytes | None = self._inside[offset : offset + length]
        else:
            data = self._by_extents(Range(offset, length)) if self._offsets else None
        if data is None:
            data = self._volume.read(self._record, self._stream, Range(offset, length))
        if len(data) != length:
            whole = plural(self.size, "byte")
            raise UnreadableFileError(self._record.path, f"it ends after {offset + len(data)} of {whole}")
        self.lost += self._lost_in(offset, length)
        return Piece(offset, data)

    def _by_extents(self, part: Range) -> bytes | None:
        """A part of the stream, from where its record has it; None where that is not on the disk."""
        pieces, at = list[bytes](), part.start
        for extent in self._stream.extents[max(0, bisect_right(self._offsets, part.start) - 1) :]:
            place = Range(extent.start + at - extent.offset, min(part.end, extent.offset + extent.length) - at)
            if not extent.offset <= at or place.length <= 0 or place.end > self._volume.reader.disk.size:
                return None
            pieces.append(self._volume.read_place(place))
            at += place.length
            if at == part.end:
                return b"".join(pieces)
        return None

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


def _stream_told(volume: Volume, record: FileRecord, stream: Stream) -> NtfsStream | None:
    """What the record of a file of NTFS says of a plain stream; None where it is not what the reader says of it."""
    if volume.plain and (known := volume.plain.told(record.address, stream.name)):
        return known
    is_plain = volume.record.type == "ntfs" and stream.type == DATA and stream.packing is Packing.PLAIN
    place = record.metadata[0] if is_plain and record.metadata else Range(0, 0)
    if not 0 < place.length <= _MOST_RECORD or place.end > volume.reader.disk.size:
        return None
    told = stream_in(volume.read_place(place), record.address, stream.name)
    is_same = told and told.size == stream.size and (told.inside is not None) == bool(stream.resident)
    return told if is_same else None


def _is_inside(part: Range, size: int) -> bool:
    return 0 < part.length <= size - part.start


def _are_apart(stream: Stream) -> bool:
    """Whether the extents of a stream are in order, and none has what another has, as in all that is not hostile."""
    return all(upper.offset >= lower.offset + lower.length for lower, upper in pairwise(stream.extents))


def _is_twice(stream: Stream) -> bool:
    """Whether two parts of a stream are one place of the disk: none of these file systems shares any."""
    places = sorted((extent.start, extent.length) for extent in stream.extents)
    return any(lower + length > upper for (lower, length), (upper, _) in pairwise(places))


def _past_end(stream: Stream, end: int) -> Iterator[Range]:
    """The parts of a stream that a volume which ends at byte `end` of the disk does not have."""
    for offset, start, length in stream.extents:
        missing = min(length, start + length - end)
        if missing > 0:
            yield Range(offset + length - missing, missing)
