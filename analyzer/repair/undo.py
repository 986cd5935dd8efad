"""The undo file: what a file was before it was changed in its place, and whether it may be brought back.

Layout, little-endian: head (magic, version, counts, both sizes) · witnesses (offset, length, SHA-256 of what was
there before) · records (offset, length, length of `after`, then both contents; an `after` of no length means zeros) ·
SHA-256 of all that. Records do not overlap, none is longer than PIECE, none reaches past the file's former end.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analyzer.repair.workspace import RepairPlan
from vhdx.errors import ShortReadError, UndoRefusedError
from vhdx.patched import PIECE, OverlaySource, Patch
from vhdx.ranges import Range, Ranges
from vhdx.sink import Existing, Sink
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.targets import check_target

MAGIC, VERSION = b"vhdxundo", 1
MOST_WITNESSED = 16 << 20
"""The most bytes of one structure that are witnessed."""
_HEAD = struct.Struct("<8sIIQQQ")
_WITNESS = struct.Struct("<QQ32s")
_RECORD = struct.Struct("<QQQ")
_SEAL_SIZE = 32  # SHA-256
_MOST_WITNESSES = 64  # twice what a plan has: a file that says more was not written by one
_NOT_THIS = "name the file that this undo file was made for, as the repair left it"


@dataclass(frozen=True, slots=True)
class UndoFile:
    """An undo file that is whole: head and witnesses; the records are read one at a time."""

    source: FileSource
    original_size: int
    result_size: int
    record_count: int
    witnesses: tuple[tuple[int, int, bytes], ...]

    def records(self) -> Iterator[tuple[Patch, bytes | None]]:
        """What puts each range back, and what was written there, None for zeros; raises ShortReadError, ValueError."""
        at = _HEAD.size + len(self.witnesses) * _WITNESS.size
        for _ in range(self.record_count):
            offset, length, written = _RECORD.unpack(read_at(self.source, at, _RECORD.size))
            if not 0 < length <= PIECE or written not in {0, length} or offset + length > self.original_size:
                raise ValueError(f"the record at byte {at} is impossible")
            at += _RECORD.size
            before, after = read_at(self.source, at, length), read_at(self.source, at + length, written)
            at += length + written
            yield Patch(offset, length, before), after or None


def undo_of(path: Path) -> Path:
    """Where the undo file of a file goes when nobody says otherwise: beside it."""
    return path.with_name(path.name + ".undo")


def write_undo(undo: Path, source: FileSource, writes: Sequence[Patch], plan: RepairPlan) -> None:
    """Write what `writes` will write over, and make it durable, its folder too.

    Raises OutputError, InputOutputError.
    """
    check_target(undo, [source.path], Existing.REFUSE)
    size = source.size  # what is past the end has nothing to bring back
    inside = (write.cut(min(write.offset, size), min(write.end, size)) for write in writes)
    pieces = [piece for write in inside for piece in write.pieces()]
    witnesses = [_WITNESS.pack(*one, _sha256(source, one.start, one.end)) for one in plan.witnesses]
    head = _HEAD.pack(MAGIC, VERSION, len(witnesses), len(pieces), source.size, plan.result_size)
    with Sink(undo) as sink:
        seal = hashlib.sha256()

        def put(data: bytes) -> None:
            seal.update(data)
            sink.write_at(sink.size, data)

        put(head + b"".join(witnesses))
        for piece in pieces:
            after = piece.after or b""
            put(_RECORD.pack(piece.offset, piece.length, len(after)))
            put(read_at(source, piece.offset, piece.length))
            put(after)
        sink.write_at(sink.size, seal.digest())
        sink.commit()


def _sha256(source: ByteSource, start: int, end: int) -> bytes:
    digest = hashlib.sha256()
    for at in range(start, end, PIECE):
        digest.update(read_at(source, at, min(PIECE, end - at)))
    return digest.digest()


def open_undo(source: FileSource, path: Path) -> UndoFile:
    """Judge an undo file for the file at `path`; raises UndoRefusedError when it is none or is not whole."""
    again = "use the undo file that the repair named, whole"
    if source.size < _HEAD.size + _SEAL_SIZE:
        raise UndoRefusedError(path, source.path, "it is too short to be an undo file", again)
    magic, version, witnesses, records, original, result = _HEAD.unpack(read_at(source, 0, _HEAD.size))
    if magic != MAGIC:
        raise UndoRefusedError(path, source.path, "it is not an undo file", again)
    if version != VERSION or witnesses > _MOST_WITNESSES:
        raise UndoRefusedError(path, source.path, f"it has the version {version}", "use the vhdx that wrote it")
    end = source.size - _SEAL_SIZE
    if _sha256(source, 0, end) != read_at(source, end, _SEAL_SIZE):
        raise UndoRefusedError(path, source.path, "its checksum does not match, so it is damaged", again)
    table = read_at(source, _HEAD.size, witnesses * _WITNESS.size)
    return UndoFile(source, original, result, records, tuple(_WITNESS.iter_unpack(table)))


def check_undo(undo: UndoFile, file: FileSource) -> None:
    """Refuse a file that is not the one, or that was changed since it was repaired; raises UndoRefusedError."""
    name = undo.source.path
    if not undo.original_size <= file.size <= undo.result_size:
        sizes = f"{undo.original_size} bytes before and {undo.result_size} after"
        raise UndoRefusedError(file.path, name, f"it has {file.size} bytes, the one repaired had {sizes}", _NOT_THIS)
    try:
        patches = list(_checked(undo, file))
        restored = OverlaySource(file, patches)
        for offset, length, digest in undo.witnesses:
            if _sha256(restored, offset, offset + length) != digest:
                reason = f"its bytes from {offset} to {offset + length} are not those of the file repaired"
                raise UndoRefusedError(file.path, name, reason, _NOT_THIS)
    except (ShortReadError, ValueError) as error:
        raise UndoRefusedError(file.path, name, f"they do not fit together ({error})", _NOT_THIS) from error


def _checked(undo: UndoFile, file: FileSource) -> Iterator[Patch]:
    """What the records put back where witnesses look; each record is compared with the file first."""
    witnessed = Ranges.of(Range(offset, length) for offset, length, _ in undo.witnesses)
    for back, written in undo.records():
        found, before = read_at(file, back.offset, back.length), back.content(back.offset, back.end)
        now, old, new = (np.frombuffer(data, np.uint8) for data in (found, before, written or bytes(back.length)))
        # Every byte is one that was there, or one that was written: whatever a crash has left.
        if not ((now == old) | (now == new)).all():
            reason = f"somebody wrote to it since, between byte {back.offset} and {back.end}"
            raise UndoRefusedError(file.path, undo.source.path, reason, _NOT_THIS)
        if witnessed.touches(Range(back.offset, back.length)):
            yield back
