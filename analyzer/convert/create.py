"""New empty disks."""

from dataclasses import dataclass
from pathlib import Path

from analyzer.convert.model import check_block_size, parent_locator
from vhdx.chain import Chain
from vhdx.errors import OutputError
from vhdx.identities import Identities, random_identities
from vhdx.parents import require_linked
from vhdx.sink import Existing, Sink
from vhdx.structures.constants import MAX_DISK_SIZE, MIB
from vhdx.structures.disk import DiskType
from vhdx.system import files
from vhdx.targets import check_space, check_target
from vhdx.writer import NewDisk, VhdxWriter

BLOCK_SIZES = {DiskType.FIXED: 32 * MIB, DiskType.DYNAMIC: 32 * MIB, DiskType.DIFFERENCING: 2 * MIB}
"""Those that Windows gives new disks, by type."""
PHYSICAL_SECTOR = 4096
"""Bytes of a physical sector that Windows gives a new disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDiskOptions:
    """What is asked for; sizes are bytes, None where Windows' default or the parent's will do."""

    type: DiskType = DiskType.DYNAMIC
    size: int | None = None
    block_size: int | None = None
    logical_sector_size: int | None = None
    physical_sector_size: int | None = None
    identities: Identities = random_identities
    existing: Existing = Existing.REFUSE


def plan_creation(target: Path, options: NewDiskOptions, chain: Chain | None) -> NewDisk:
    """What the new file will be; raises OutputError for what the format does not have."""
    check_target(target, [layer.path for layer in chain.layers] if chain else [], options.existing)
    parent = chain.leaf if chain else None
    check_block_size(target, options.block_size)
    size = options.size or (parent.size if parent else 0)
    logical = options.logical_sector_size or (parent.sector_size if parent else 512)
    if not 0 < size <= MAX_DISK_SIZE or size % logical:
        raise OutputError(target, f"no VHDX holds a disk of {size} bytes", "choose whole sectors, up to 64 TiB")
    # A bitmap has a bit for each logical sector of the disk: parent and child must agree on them.
    if parent and logical != parent.sector_size:
        reason = f"its parent has logical sectors of {parent.sector_size} bytes, not {logical}"
        raise OutputError(target, reason, "leave --logical-sector out")
    inherited = parent.parameters.physical_sector_size if parent else PHYSICAL_SECTOR
    disk = NewDisk(
        type=options.type,
        size=size,
        block_size=options.block_size or BLOCK_SIZES[options.type],
        logical_sector_size=logical,
        physical_sector_size=options.physical_sector_size or inherited,
        disk_id=parent.parameters.disk_id if parent else options.identities("virtual_disk_id"),
        file_write_guid=options.identities("file_write_guid"),
        data_write_guid=options.identities("data_write_guid"),
        locator=parent_locator(parent.path, target, parent.data_write_guid) if parent else (),
        items=chain.items if chain else (),
    )
    fixed = disk.geometry.block_count * disk.block_size if options.type is DiskType.FIXED else 0
    check_space(target, disk.first_block + fixed)
    return disk


def run_creation(target: Path, disk: NewDisk, existing: Existing, parent: Path | None = None) -> int:
    """Write the file, a differencing one on `parent`; returns its size in bytes. Raises OutputError."""
    with Sink(target, existing=existing) as sink:
        VhdxWriter(sink, disk).finish()
        if files.is_read_by_windows(target.parent):
            sink.fill_holes()  # else Windows does not attach it
        if parent is not None:
            require_linked(sink.path, parent, target)
        sink.commit()
        return sink.size
