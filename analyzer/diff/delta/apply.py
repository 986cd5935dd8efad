"""A delta upon the state that it was made from: one more layer, and so an image of any format."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from analyzer.convert.convert import plan_output
from analyzer.convert.model import VHDX_FORMATS, Options, OutputFormat, Plan, check_block_size
from analyzer.diff.delta.container import NO_ID, Delta
from analyzer.diff.states import State
from analyzer.examine.hash import sha256_of
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.errors import DamagedDeltaError, OutputError, VhdxError, WrongBaseError
from vhdx.runs import Kind, Run, RunTable, overlay
from vhdx.source import ByteSource
from vhdx.structures.constants import MAX_DISK_SIZE
from vhdx.structures.disk import DiskType
from vhdx.targets import check_target
from vhdx.writer import NewDisk


class PatchedDisk:
    """The state that a delta makes of a base (a `DiskSource`). It is open as long as both are."""

    def __init__(self, base: Disk, delta: Delta) -> None:
        """Lay `delta` over `base`; that it fits is for the caller to see to."""
        self._base, self._delta = base, delta
        self._table = replace(delta.table, layer=np.full_like(delta.table.layer, len(base.sources)))
        self.size, self.sector_size = delta.header.new_size, delta.header.logical_sector_size
        self.sources: Sequence[ByteSource] = (*base.sources, delta.file)
        self.findings = base.findings

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk. Past the base's end, what the delta leaves out is zeros."""
        upto = self.size if end is None else min(end, self.size)
        seam = min(upto, self._base.size)
        for table in self._base.windows(start, seam) if start < seam else ():
            yield overlay(self._table.clip(table.start[0], table.end), table)
        if max(start, seam) < upto:
            yield self._table.clip(max(start, seam), upto)

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        return None if run.kind is Kind.HOLE else self._base.error_for(run)

    def require_unchanged(self) -> None:
        """See DiskSource."""
        self._base.require_unchanged()
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
    if output in VHDX_FORMATS:
        _require_possible(delta, target)
    # All is read before anything is written: a delta upon any other base gives a disk that never was.
    wanted, size = delta.header.before.hex(), delta.header.old_size
    if base.disk.size != size:
        reason = f"a disk of {base.disk.size} bytes instead of {size}"
        raise WrongBaseError(base.disk.path, delta.path, reason, wanted)
    if (found := sha256_of(base.disk, progress)) != wanted:
        raise WrongBaseError(base.disk.path, delta.path, f"its SHA-256 is {found}", wanted)
    patched = PatchedDisk(base.disk, delta)
    if sha256_of(patched, progress) != delta.header.after.hex():
        raise DamagedDeltaError(delta.path, "what it makes of its base is not the state that it was made for")
    return plan_output(patched, target, output, partial(_new_disk, delta, options), options, sources)


def _require_possible(delta: Delta, target: Path) -> None:
    size = delta.header.new_size
    if not 0 < size <= MAX_DISK_SIZE or size % delta.header.logical_sector_size:
        raise OutputError(target, f"no VHDX holds a disk of {size} bytes", "choose --format raw")


def _new_disk(delta: Delta, options: Options, disk_type: DiskType) -> NewDisk:
    header, new_id = delta.header, delta.header.new_disk_id
    return NewDisk(
        type=disk_type,
        size=header.new_size,
        block_size=options.block_size or header.block_size,
        logical_sector_size=header.logical_sector_size,
        physical_sector_size=header.physical_sector_size,
        disk_id=options.identities("virtual_disk_id") if new_id == NO_ID else new_id,
        file_write_guid=options.identities("file_write_guid"),
        data_write_guid=options.identities("data_write_guid"),
    )
