"""What of a file belongs to nothing and holds something: room nobody owns, blocks let go, slack past the disk's end."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analyzer.examine.log_history import history_of
from analyzer.guest.layouts.detect import looks_like
from analyzer.judgement.unowned import free_room, owners_of
from vhdx.image import Image
from vhdx.ranges import Range
from vhdx.sink import Existing, Sink
from vhdx.source import ByteSource, read_at
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import KIB, MIB
from vhdx.targets import check_target, make_folder

MOST_PIECES = 4096
"""Pieces that are looked at."""
# A sample at each MiB shows what a piece holds, and a file of terabytes is still done in minutes.
_SAMPLE, _MOST_SAMPLED, _PIECE = 64 * KIB, 64 * MIB, MIB
_BYTE_VALUES = 256
# Bits of entropy in a byte: above the first it is compressed, encrypted or random; below the second text or tables.
# Nothing depends on it but the word that people read.
_RANDOM, _PLAIN = 7.5, 5.0


class Remnant(Enum):
    """Why a piece belongs to nothing."""

    UNOWNED = "unowned"
    """No structure and no block table entry has it."""
    STALE_BLOCK = "stale block"
    """An entry whose block reads as zeros keeps its place."""
    SLACK = "slack"
    """The last block hangs over the disk's end."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` bytes at `offset` of the file, what they look like, and their entropy in bits for each byte, 0 to 8."""

    kind: Remnant
    offset: int
    length: int
    block: int | None
    looks: str
    entropy: float
    file: Path | None = None
    """Where it was written to."""


@dataclass(frozen=True, slots=True)
class Carving:
    """The pieces that hold something, by place, and how many were not looked at."""

    path: Path
    pieces: tuple[Piece, ...]
    unlisted: int


def carve(image: Image) -> Carving:
    """Everything in the file that belongs to nothing and is not zeros; raises InputOutputError, ShortReadError."""
    remnants = [*_unowned(image), *_stale(image), *_slack(image)]
    chosen = sorted(remnants, key=lambda remnant: remnant.part.start)[:MOST_PIECES]
    pieces = (_piece(image.source, *remnant) for remnant in chosen)
    return Carving(image.path, tuple(piece for piece in pieces if piece), len(remnants) - len(chosen))


class _Place(NamedTuple):
    """A range of the file that may hold a remnant, and the block of the disk that it is of."""

    kind: Remnant
    part: Range
    block: int | None = None


def _unowned(image: Image) -> Iterator[_Place]:
    table = image.table
    for mibs in free_room(owners_of(table)):
        yield _Place(Remnant.UNOWNED, Range(mibs.start * MIB, mibs.length * MIB))
    whole = image.source.size // MIB * MIB
    if image.source.size > whole >= MIB and not _is_owned(image, whole):
        yield _Place(Remnant.UNOWNED, Range.between(whole, image.source.size))


def _is_owned(image: Image, at: int) -> bool:
    """Whether a block begins in, or reaches into, the part of a MiB that the file ends with."""
    table = image.table
    size = table.geometry.block_size
    for _, entries in table.all_places():
        starts = (entries[entries & 7 >= BlockState.FULLY_PRESENT] >> 20) * MIB
        if ((starts <= at) & (starts + size > at)).any():
            return True
    return any(one.start <= at < one.end for one in table.structures)


def _stale(image: Image) -> Iterator[_Place]:
    for anchor in history_of(image).anchored:
        length = min(image.geometry.block_size, image.source.size - anchor.file_offset)
        if length > 0 and anchor.file_offset >= MIB:
            yield _Place(Remnant.STALE_BLOCK, Range(anchor.file_offset, length), anchor.block)


def _slack(image: Image) -> Iterator[_Place]:
    geometry, block = image.geometry, image.geometry.block_count - 1
    used, entry = geometry.bytes_of_block(block), image.table.payload_entry(block)
    end = min(entry.file_offset + geometry.block_size, image.source.size)
    # A place in the first MiB, where headers are, is that of a damaged entry.
    if entry.state.holds_data and entry.file_offset >= MIB and entry.file_offset + used < end:
        yield _Place(Remnant.SLACK, Range.between(entry.file_offset + used, end), block)


def _piece(source: ByteSource, kind: Remnant, part: Range, block: int | None) -> Piece | None:
    """The piece with what it looks like; None when what is read of it, at most 64 MiB, is zeros."""
    totals, looks = np.zeros(_BYTE_VALUES, dtype=np.int64), ""
    for sample in Range(part.start, min(part.length, _MOST_SAMPLED)).pieces(_SAMPLE):
        data = read_at(source, *sample)
        totals += np.bincount(np.frombuffer(data, np.uint8), minlength=_BYTE_VALUES)
        looks = looks or looks_like(data[: 4 * KIB])
    if totals[0] == totals.sum():
        return None
    # Bits for each byte that is not zero: how far from one another the bytes are.
    counts = totals[1:][totals[1:] > 0]
    shares = counts / counts.sum()
    entropy = float(-(shares * np.log2(shares)).sum()) or 0.0
    plain = "data" if entropy >= _PLAIN else "text or sparse records"
    guess = "compressed or encrypted data" if entropy >= _RANDOM else plain
    return Piece(kind, *part, block, looks or guess, round(entropy, 2))


def extract(image: Image, carving: Carving, folder: Path, existing: Existing) -> Carving:
    """Write each piece to a file of its own in `folder`, named by its kind and its offset.

    The folder is made where there is none. All names are checked before the first is written.

    Raises OutputError, InputOutputError.
    """
    files = [folder / f"{piece.offset:016x}-{piece.kind.name.lower()}.bin" for piece in carving.pieces]
    if files:
        make_folder(folder)
    for file in files:
        check_target(file, [image.path], existing)
    for file, piece in zip(files, carving.pieces, strict=True):
        with Sink(file, existing=existing) as sink:
            for part in Range(piece.offset, piece.length).pieces(_PIECE):
                sink.write_at(part.start - piece.offset, read_at(image.source, *part))
            sink.commit()
    written = (replace(piece, file=file) for file, piece in zip(files, carving.pieces, strict=True))
    return replace(carving, pieces=tuple(written))
