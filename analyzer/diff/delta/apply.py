"""A delta upon the state that it was made from: one more layer, and so an image of any format."""

from pathlib import Path

from analyzer.convert.convert import plan_output
from analyzer.convert.disks import OverlaidDisk
from analyzer.convert.model import VHDX_FORMATS, ImageRequest, Options, OutputFormat, Plan, check_block_size, new_disk
from analyzer.diff.delta.container import NO_ID, Delta
from analyzer.diff.states import State
from analyzer.examine.hash import sha256_of
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.errors import DamagedDeltaError, OutputError, VhdxError, WrongBaseError
from vhdx.runs import Kind, Run
from vhdx.structures.constants import MAX_DISK_SIZE
from vhdx.targets import check_target


class PatchedDisk(OverlaidDisk):
    """The state that a delta makes of a base: past its end, what the delta leaves out is zeros."""

    def __init__(self, base: Disk, delta: Delta) -> None:
        """Lay `delta` over `base`; that it fits is for the caller to see to."""
        super().__init__(base, delta.table, delta.file)
        self._delta = delta
        self.size, self.sector_size = delta.header.new_size, delta.header.logical_sector_size

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
    header, sectors = delta.header, (delta.header.logical_sector_size, delta.header.physical_sector_size)
    disk_id = options.identities("virtual_disk_id") if header.new_disk_id == NO_ID else header.new_disk_id
    like = new_disk(options, header.new_size, header.block_size, sectors, disk_id)
    request = ImageRequest(target=target, format=output, like=like, options=options, sources=sources)
    return plan_output(patched, request)


def _require_possible(delta: Delta, target: Path) -> None:
    size = delta.header.new_size
    if not 0 < size <= MAX_DISK_SIZE or size % delta.header.logical_sector_size:
        raise OutputError(target, f"no VHDX holds a disk of {size} bytes", "choose --format raw")
