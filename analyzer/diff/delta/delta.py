"""The delta container (docs/delta-format.md): header, data, table of ranges; and what it makes of its base."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from analyzer.address.state import State
from analyzer.convert.cells import sha256_of
from analyzer.convert.convert import plan_output
from analyzer.convert.disks import OverlaidDisk
from analyzer.convert.model import VHDX_FORMATS, ImageRequest, Options, OutputFormat, Plan, check_block_size, new_disk
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.errors import DamagedDeltaError, OutputError, VhdxError, WrongBaseError
from vhdx.ranges import Column, Range
from vhdx.runs import Kind, Run, RunTable
from vhdx.source import Closing, FileSource, read_at
from vhdx.structures.constants import MAX_BLOCK_SIZE, MAX_DISK_SIZE, MIN_BLOCK_SIZE
from vhdx.targets import check_target

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


class Delta(Closing):
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

    def close(self) -> None:
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


class PatchedDisk(OverlaidDisk):
    """The state that a delta makes of a base: past its end, what the delta leaves out is zeros."""

    def __init__(self, base: Disk, delta: Delta) -> None:
        """Lay `delta` over `base`; that it fits is for the caller to see to."""
        super().__init__(base, delta.table, delta.file, delta.header.new_size)
        self._delta = delta

    @property
    def sector_size(self) -> int:
        """See DiskSource."""
        return self._delta.header.logical_sector_size

    def error_for(self, run: Run) -> VhdxError | None:
        """See RunSource."""
        return None if run.kind is Kind.HOLE else super().error_for(run)

    def require_unchanged(self) -> None:
        """See DiskSource."""
        super().require_unchanged()
        self._delta.file.require_unchanged()


def plan_application(
    delta: Delta, base: State, target: Path, output: OutputFormat, options: Options, progress: Progress = no_progress
) -> Plan:
    """Look at everything that could refuse the output, every byte of the base included; nothing is written.

    The plan is for `run_conversion`, with `PatchedDisk(base.disk, delta)`. Raises OutputError, WrongBaseError for any
    other base than the one that the delta was made from, DamagedDeltaError when what comes out is not what went in,
    NoSpaceError, and what reading raises.
    """
    check_block_size(target, options.block_size)
    sources = [*base.files, delta.path]
    check_target(target, sources, options.existing)
    size, sector_size = delta.header.new_size, delta.header.logical_sector_size
    if output in VHDX_FORMATS and (not 0 < size <= MAX_DISK_SIZE or size % sector_size):
        raise OutputError(target, f"no VHDX holds a disk of {size} bytes", "choose --format raw")
    # All is read before anything is written: a delta upon any other base gives a disk that never was.
    wanted = delta.header.before.hex()
    if base.disk.size != delta.header.old_size:
        reason = f"a disk of {base.disk.size} bytes instead of {delta.header.old_size}"
        raise WrongBaseError(base.disk.path, delta.path, reason, wanted)
    if (found := sha256_of(base.disk, progress)) != wanted:
        raise WrongBaseError(base.disk.path, delta.path, f"its SHA-256 is {found}", wanted)
    patched = PatchedDisk(base.disk, delta)
    if sha256_of(patched, progress) != delta.header.after.hex():
        raise DamagedDeltaError(delta.path, "what it makes of its base is not the state that it was made for")
    header, sectors = delta.header, (delta.header.logical_sector_size, delta.header.physical_sector_size)
    disk_id = options.identities("virtual_disk_id") if header.new_disk_id == NO_ID else header.new_disk_id
    like = new_disk(options, header.new_size, header.block_size, sectors, disk_id)
    request = ImageRequest(target=target, format=output, like=like, options=options, sources=sources)
    return plan_output(patched, request)
