"""The delta container (docs/delta-format.md): header, data, and a table of ranges that says where the data goes."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import numpy as np

from analyzer.progress import Progress, no_progress
from vhdx.errors import DamagedDeltaError
from vhdx.ranges import Column, Range
from vhdx.runs import Kind, RunTable
from vhdx.source import FileSource, read_at
from vhdx.structures.constants import MAX_BLOCK_SIZE, MIN_BLOCK_SIZE

SIGNATURE = b"vhdxdelt"
VERSION = 1
HEADER_SIZE = 512
ROW_SIZE = 24
_FIELDS = struct.Struct("<8sI4xQQQQIII4x16s16s16s16s32s32s32s32s")
_SEAL = HEADER_SIZE - 32
# Bytes of a disk: no file is larger, and no sum of two such numbers leaves 64 bits.
_LARGEST = 1 << 62
NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaHeader:
    """What a delta says of itself; sizes and offsets are bytes, NO_ID where a raw image has no identity."""

    old_size: int
    new_size: int
    table_offset: int
    """Where the data ends and the table begins."""
    row_count: int
    logical_sector_size: int
    physical_sector_size: int
    block_size: int
    """Of the new state's base: what a VHDX made from the delta gets."""
    old_disk_id: UUID
    new_disk_id: UUID
    old_data_write_guid: UUID
    new_data_write_guid: UUID
    before: bytes
    """The SHA-256 of the flat old disk."""
    after: bytes
    data_hash: bytes
    """The SHA-256 of what is between the header and the table."""
    table_hash: bytes


def build_header(header: DeltaHeader) -> bytes:
    """The 512 bytes of a header, sealed by the SHA-256 of what is before the seal."""
    facts = (getattr(header, field.name) for field in fields(DeltaHeader))
    plain = (fact.bytes if isinstance(fact, UUID) else fact for fact in facts)
    packed = _FIELDS.pack(SIGNATURE, VERSION, *plain).ljust(_SEAL, b"\0")
    return packed + hashlib.sha256(packed).digest()


def parse_header(path: Path, page: bytes) -> DeltaHeader:
    """The header in the first 512 bytes of the file at `path`; raises DamagedDeltaError."""
    if page[: len(SIGNATURE)] != SIGNATURE:
        raise DamagedDeltaError(path, "it is no delta of vhdx")
    if len(page) < HEADER_SIZE or hashlib.sha256(page[:_SEAL]).digest() != page[_SEAL:HEADER_SIZE]:
        raise DamagedDeltaError(path, "the checksum of its header does not match")
    _, version, *values = _FIELDS.unpack_from(page)
    if version != VERSION:
        raise DamagedDeltaError(path, f"it is of version {version}, and this program knows version {VERSION}")
    facts: Iterator[Any] = (
        UUID(bytes=value) if isinstance(value, bytes) and len(value) == len(NO_ID.bytes) else value for value in values
    )
    header = DeltaHeader(**dict(zip((field.name for field in fields(DeltaHeader)), facts, strict=True)))
    sectors = {header.logical_sector_size, header.physical_sector_size} <= {512, 4096}
    blocks = MIN_BLOCK_SIZE <= header.block_size <= MAX_BLOCK_SIZE and not header.block_size & (header.block_size - 1)
    if not (sectors and blocks and max(header.old_size, header.new_size) <= _LARGEST):
        raise DamagedDeltaError(path, "its header has sizes that no disk has")
    return header


class Delta:
    """A delta, opened read-only and checked whole: `table` has its ranges, HOLE where the old state stays."""

    def __init__(self, path: Path, progress: Progress = no_progress) -> None:
        """Open and check it; raises DamagedDeltaError, NotRegularFileError, InputOutputError."""
        self.path, self.file = path, FileSource(path)
        try:
            self.header = parse_header(path, read_at(self.file, 0, min(HEADER_SIZE, self.file.size)))
            self.table = self._ranges()
            self._check_data(progress)
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> Self:
        """The delta itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.file.close()

    def _ranges(self) -> RunTable:
        header = self.header
        expected = header.table_offset + header.row_count * ROW_SIZE
        if header.table_offset < HEADER_SIZE or self.file.size != expected:
            raise DamagedDeltaError(self.path, f"it has {self.file.size} bytes and its header says {expected}")
        packed = read_at(self.file, header.table_offset, header.row_count * ROW_SIZE)
        if hashlib.sha256(packed).digest() != header.table_hash:
            raise DamagedDeltaError(self.path, "the checksum of its table does not match")
        # A checksum says that nothing happened to the file, and not that its writer was honest.
        rows = np.frombuffer(packed, dtype="<i8").astype(np.int64).reshape(-1, 3)
        if not _lawful(rows, header):
            raise DamagedDeltaError(self.path, "its table has ranges that are outside the disk or the file, or overlap")
        return _gapless(rows, header.new_size)

    def _check_data(self, progress: Progress) -> None:
        digest = hashlib.sha256()
        for piece in Range.between(HEADER_SIZE, self.header.table_offset).pieces(1 << 20):
            digest.update(read_at(self.file, *piece))
            progress(piece.length)
        if digest.digest() != self.header.data_hash:
            raise DamagedDeltaError(self.path, "the checksum of its data does not match")


def _lawful(rows: Column, header: DeltaHeader) -> bool:
    """Every range is on the disk and behind the one before it, and its bytes, where it has any, are in the file."""
    start, length, offset = rows.T
    data = offset != 0
    inside = (start >= 0) & (length > 0) & (start <= header.new_size) & (length <= header.new_size - start)
    stored = (offset >= HEADER_SIZE) & (length <= header.table_offset - offset)
    return bool((inside & (stored | ~data)).all() and (start[1:] >= start[:-1] + length[:-1]).all())


def _gapless(rows: Column, size: int) -> RunTable:
    """The ranges as runs of layer 0, with holes between them and up to the disk's end."""
    start, length, offset = rows.T
    edges = np.concatenate(([0], np.column_stack((start, start + length)).ravel(), [size]))
    kind, place = (np.full(len(edges) - 1, value, dtype=np.int64) for value in (Kind.HOLE, 0))
    kind[1::2], place[1::2] = np.where(offset != 0, Kind.DATA, Kind.ZERO), offset
    table = RunTable(edges[:-1], np.diff(edges), kind, np.zeros_like(kind), place)
    return table.select(table.length > 0)
