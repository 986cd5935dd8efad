"""What differs between two states, with its data, as a delta."""

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np

from analyzer.address.state import State
from analyzer.convert.cells import CELL, nonzero_ranges, sha256_of
from analyzer.convert.model import Verify
from analyzer.diff.delta.delta import HEADER_SIZE, NO_ID, ROW_SIZE, Delta, DeltaHeader, PatchedDisk, build_header
from analyzer.diff.find import ChangesPlan, Method, exact_changes
from analyzer.diff.ranges import Change, ChangeTable
from analyzer.progress import Progress, no_progress
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.errors import VerificationError
from vhdx.findings import Finding
from vhdx.ranges import Range
from vhdx.sink import Existing, Sink
from vhdx.targets import check_target


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportPlan:
    """A delta that is going to be written; `work` in bytes, for progress."""

    target: Path
    changes: ChangesPlan
    work: int
    existing: Existing
    verify: Verify


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaOutcome:
    """A delta that was written; all sizes are bytes, hashes are SHA-256 of the flat disks as hex."""

    target: Path
    method: Method
    old_size: int
    new_size: int
    range_count: int
    data_bytes: int
    zero_bytes: int
    file_size: int
    before: str
    after: str
    verified: bool
    findings: tuple[Finding, ...]


def plan_export(
    changes: ChangesPlan, old: State, new: State, target: Path, existing: Existing, verify: Verify
) -> ExportPlan:
    """Look at what could refuse the delta; raises OutputError."""
    check_target(target, [*old.files, *new.files], existing)
    work = changes.work + old.disk.size + new.disk.size * (2 if verify is Verify.READ_BACK else 1)
    return ExportPlan(target=target, changes=changes, work=work, existing=existing, verify=verify)


def run_export(plan: ExportPlan, old: Disk, new: Disk, progress: Progress = no_progress) -> DeltaOutcome:
    """Hash both states, write what differs, lay it over the old state and see that it gives the new one, rename.

    Raises what reading and writing raise, LostDataError for what cannot be known, VerificationError.
    """
    before, after = (sha256_of(disk, progress) for disk in (old, new))
    with Sink(plan.target, existing=plan.existing) as sink:
        writer = _DeltaWriter(sink, new)
        writer.write_all(exact_changes(plan.changes, old, new, progress))
        header = writer.finish(old, bytes.fromhex(before), bytes.fromhex(after))
        sink.flush()
        if plan.verify is Verify.READ_BACK:
            with Delta(sink.path) as delta:
                patched = PatchedDisk(old, delta)
                if sha256_of(patched, progress) != after:
                    raise VerificationError(sink.path, 0, patched.size)
        sink.commit()
        return DeltaOutcome(
            target=plan.target,
            method=plan.changes.method,
            old_size=old.size,
            new_size=new.size,
            range_count=header.row_count,
            data_bytes=header.table_offset - HEADER_SIZE,
            zero_bytes=writer.zero_bytes,
            file_size=sink.size,
            before=before,
            after=after,
            verified=plan.verify is Verify.READ_BACK,
            findings=tuple(dict.fromkeys((*old.findings, *new.findings))),
        )


class _DeltaWriter:
    """Data as it comes, then the table, the header last: a file without its header is no delta.

    The table is held in memory, 24 bytes for each range.
    """

    def __init__(self, sink: Sink, new: Disk) -> None:
        self._sink, self._new = sink, new
        self._rows, self._place, self._digest = array("q"), HEADER_SIZE, hashlib.sha256()
        self.zero_bytes = 0

    def write_all(self, tables: Iterable[ChangeTable]) -> None:
        for table in tables:
            for start, length, kind in table:
                if kind is Change.ZERO:
                    self._zeros(start, length)
                elif kind is not Change.GONE:  # the header's size says what is gone
                    for part in Range(start, length).pieces(CELL):
                        self._copy(part)

    def finish(self, old: Disk, before: bytes, after: bytes) -> DeltaHeader:
        packed = np.array(self._rows, dtype="<i8").tobytes()
        self._sink.write_at(self._place, packed)
        old_id, old_guid, *_ = _facts(old)
        new_id, new_guid, block_size, physical = _facts(self._new)
        header = DeltaHeader(
            old_size=old.size,
            new_size=self._new.size,
            table_offset=self._place,
            row_count=len(packed) // ROW_SIZE,
            logical_sector_size=self._new.sector_size,
            physical_sector_size=physical,
            block_size=block_size,
            old_disk_id=old_id,
            new_disk_id=new_id,
            old_data_write_guid=old_guid,
            new_data_write_guid=new_guid,
            before=before,
            after=after,
            data_hash=self._digest.digest(),
            table_hash=hashlib.sha256(packed).digest(),
        )
        self._sink.write_at(0, build_header(header))
        return header

    def _copy(self, cell: Range) -> None:
        data = np.frombuffer(self._new.read(*cell), dtype=np.uint8)
        position = 0
        for part in nonzero_ranges(data):
            self._zeros(cell.start + position, part.start - position)
            held = data[part.start : part.end].data
            self._sink.write_at(self._place, held)
            self._digest.update(held)
            self._add(cell.start + part.start, part.length, self._place)
            self._place += part.length
            position = part.end
        self._zeros(cell.start + position, len(data) - position)

    def _zeros(self, start: int, length: int) -> None:
        self.zero_bytes += length
        self._add(start, length, 0)

    def _add(self, start: int, length: int, place: int) -> None:
        """A row of the table, `place` 0 for zeros; what goes on from the last row, of the same kind, is added to it."""
        rows = self._rows
        if rows and bool(rows[-1]) is bool(place) and rows[-3] + rows[-2] == start:
            rows[-2] += length
        elif length:
            rows.extend((start, length, place))


def _facts(disk: Disk) -> tuple[UUID, UUID, int, int]:
    """Virtual disk id, data_write_guid, block size of the base and physical sector size; a raw image has none."""
    if not isinstance(disk, Chain):
        # A VHDX that is made of the delta gets what Windows makes by default.
        return NO_ID, NO_ID, 32 << 20, 4096
    leaf = disk.leaf.parameters
    return leaf.disk_id, disk.leaf.data_write_guid, disk.base.parameters.block_size, leaf.physical_sector_size
