"""A delta upon the state that it was made from, to an image of any format."""

from pathlib import Path

from analyzer.convert.convert import check_further, plan_output
from analyzer.convert.model import DISK_TYPES, Options, OutputFormat, Plan, check_block_size
from analyzer.diff.delta.container import NO_ID, Delta
from analyzer.diff.delta.disk import PatchedDisk
from analyzer.diff.states import State
from analyzer.examine.hash import sha256_of
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.errors import DamagedDeltaError, OutputError, WrongBaseError
from vhdx.structures.constants import MAX_DISK_SIZE
from vhdx.structures.disk import DiskType
from vhdx.targets import check_target
from vhdx.writer import NewDisk


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
    disk_type = DISK_TYPES.get(output)
    new_disk = _new_disk(delta, target, disk_type, options) if disk_type else None
    patched = PatchedDisk(base.disk, delta)
    require_base(delta, base.disk, progress)
    if sha256_of(patched, progress) != delta.header.after.hex():
        raise DamagedDeltaError(delta.path, "what it makes of its base is not the state that it was made for")
    plan = plan_output(patched, target, output, new_disk, options)
    check_further(plan, sources)
    return plan


def require_base(delta: Delta, base: Disk, progress: Progress = no_progress) -> None:
    """Read all of the base, and raise WrongBaseError unless it is, bit for bit, the one the delta was made from."""
    wanted = delta.header.before.hex()
    if base.size != delta.header.old_size:
        reason = f"a disk of {base.size} bytes instead of {delta.header.old_size}"
        raise WrongBaseError(base.path, delta.path, reason, wanted)
    found = sha256_of(base, progress)
    if found != wanted:
        raise WrongBaseError(base.path, delta.path, f"its SHA-256 is {found}", wanted)


def _new_disk(delta: Delta, target: Path, disk_type: DiskType, options: Options) -> NewDisk:
    header = delta.header
    if not 0 < header.new_size <= MAX_DISK_SIZE or header.new_size % header.logical_sector_size:
        raise OutputError(target, f"no VHDX holds a disk of {header.new_size} bytes", "choose --format raw")
    new_id = header.new_disk_id
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
