"""What a merge writes over, kept in a file: the parent can be brought back, whatever became of the merge.

Layout, little-endian: magic, the parent's size, its data_write_guid before and from then on; then records, each the
CRC-32C of what follows, offset, length, and what was there. They are durable before it is written over; the last record
may be torn.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from analyzer.merge.media import Media
from vhdx.contents import Structures
from vhdx.edit.medium import Medium
from vhdx.errors import UndoRefusedError
from vhdx.in_place import open_edited
from vhdx.ranges import GrowingRanges, Range
from vhdx.sink import Sink
from vhdx.source import FileSource, read_at
from vhdx.structures.fields import crc32c

MAGIC = b"vhdxmrg1"
_HEAD = struct.Struct("<8sQ16s16s")
_RECORD = struct.Struct("<IQQ")
_PIECE = 1 << 20
# What is written is held back until what it writes over is durable; of more than this it is not waited for a flush.
_MOST_PENDING = 32 << 20


class KeepingMedium:
    """A medium that keeps in an undo file what is written over, durably and once, before that happens."""

    def __init__(self, medium: Medium, undo: Medium, kept: GrowingRanges, size: int) -> None:
        """`kept` is what the undo file has already, `size` how long the file was at first."""
        self._medium, self._undo, self._kept, self._first_size = medium, undo, kept, size
        self._pending: list[tuple[int, bytes]] = []
        self._waiting = 0
        self.path = medium.path

    @property
    def size(self) -> int:
        """See ByteSource."""
        ends = (offset + len(data) for offset, data in self._pending)
        return max(self._medium.size, max(ends, default=0))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        if any(at < offset + len(buffer) and offset < at + len(data) for at, data in self._pending):
            self._write_pending()
        self._medium.read_into(offset, buffer)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """See Medium."""
        self._keep(Range(offset, len(data)))
        self._pending.append((offset, bytes(data)))
        self._waiting += len(data)
        if self._waiting >= _MOST_PENDING:
            self._write_pending()

    def set_size(self, size: int) -> None:
        """See Medium."""
        self._write_pending()
        self._medium.set_size(size)

    def zero(self, part: Range) -> None:
        """See Medium."""
        self._keep(part)
        self._write_pending()
        self._medium.zero(part)

    def release(self, part: Range) -> None:
        """See Medium: what can be brought back is not given away."""

    def flush(self) -> None:
        """See Medium."""
        self._write_pending()
        self._medium.flush()

    def _keep(self, part: Range) -> None:
        inside = Range.between(min(part.start, self._first_size), min(part.end, self._first_size))
        for gap in self._kept.ranges.gaps(inside) if inside.length else ():
            for piece in gap.pieces(_PIECE):
                body = _RECORD.pack(0, *piece)[4:] + read_at(self._medium, *piece)
                self._undo.write_at(self._undo.size, crc32c(body).to_bytes(4, "little") + body)
            self._kept.add(gap)

    def _write_pending(self) -> None:
        self._undo.flush()
        for offset, data in self._pending:
            self._medium.write_at(offset, data)
        self._pending, self._waiting = [], 0


@contextmanager
def keeping(parent: Path, undo: Path, identity: UUID, media: Media) -> Iterator[Medium]:
    """The parent's medium, with what is written over kept in `undo`, which an interrupted run may have begun.

    Raises UndoRefusedError for a file that is another one, and what opening either raises.
    """
    with media(parent) as medium:
        if not undo.exists():
            now = Structures(medium).headers.get().current.data_write_guid
            with Sink(undo) as sink:
                sink.write_at(0, _HEAD.pack(MAGIC, medium.size, now.bytes_le, identity.bytes_le))
                sink.commit()
        with FileSource(undo) as source:
            size, _, after = _head(source, parent)
            if after != identity:
                raise UndoRefusedError(parent, undo, "it is of another merge", "name another file with --undo")
            kept, end = GrowingRanges(), _HEAD.size
            for part, at in _records(source):
                kept.add(part)
                end = at + part.length
        with open_edited(undo) as file:
            file.set_size(end)  # a torn record is of something that was not written over
            yield KeepingMedium(medium, file, kept, size)


def identity_of_undo(undo: Path, parent: Path, now: UUID) -> UUID | None:
    """The identity that the parent gets by the merge that began an undo file; None where there is no such file.

    Raises UndoRefusedError for one that is not of this parent, which has the data_write_guid `now`.
    """
    if not undo.exists():
        return None
    with FileSource(undo) as source:
        _, before, after = _head(source, parent)
    if now not in {before, after}:
        raise UndoRefusedError(parent, undo, "it exists already, and is of another file", "name another with --undo")
    return after


def is_undo_of_merge(undo: Path) -> bool:
    """Whether a file is one that a merge wrote; raises what opening it raises."""
    with FileSource(undo) as source:
        return source.size >= _HEAD.size and read_at(source, 0, len(MAGIC)) == MAGIC


def undo_merge(parent: Path, undo: Path) -> int:
    """Bring the parent back bit for bit; returns its size. It can be repeated.

    Raises UndoRefusedError for a parent that is another file, or that was written to since.
    """
    with FileSource(undo) as source, open_edited(parent) as medium:
        size, before, after = _head(source, parent)
        now = Structures(medium).headers.get().current.data_write_guid
        if now not in {before, after}:
            advice = "name the parent that was merged into, as the merge left it"
            raise UndoRefusedError(parent, undo, f"its data_write_guid is {now}, not {after}", advice)
        for part, at in _records(source):
            medium.write_at(part.start, read_at(source, at, part.length))
        medium.flush()
        medium.set_size(size)
        medium.flush()
        return size


def _head(source: FileSource, parent: Path) -> tuple[int, UUID, UUID]:
    if not is_undo_of_merge(source.path):
        raise UndoRefusedError(parent, source.path, "it is no undo file of a merge", "name another file")
    _, size, before, after = _HEAD.unpack(read_at(source, 0, _HEAD.size))
    return size, UUID(bytes_le=before), UUID(bytes_le=after)


def _records(source: FileSource) -> Iterator[tuple[Range, int]]:
    """What is kept, each with its place in the undo file, none twice. It ends at a record that is not whole."""
    at = _HEAD.size
    while at + _RECORD.size <= source.size:
        checksum, offset, length = _RECORD.unpack(read_at(source, at, _RECORD.size))
        if length > _PIECE or at + _RECORD.size + length > source.size:
            return
        body = read_at(source, at + 4, _RECORD.size - 4 + length)
        if crc32c(body) != checksum:
            return
        yield Range(offset, length), at + _RECORD.size
        at += _RECORD.size + length
