"""The items that make up the virtual disk: size, block, sectors, identity ([MS-VHDX] 2.6.2)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from construct import Int32ul, Int64ul, Struct

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import (
    FILE_PARAMETERS,
    LOGICAL_SECTOR_SIZE,
    MAX_BLOCK_SIZE,
    MAX_DISK_SIZE,
    MIN_BLOCK_SIZE,
    NIL,
    PHYSICAL_SECTOR_SIZE,
    SECTOR_SIZES,
    VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
)
from vhdx.structures.fields import Guid, parsed

SECTION = "2.6.2"
# The first of them is what makes a file fixed ([MS-VHDX] 2.6.2.1).
LEAVE_BLOCKS_ALLOCATED, HAS_PARENT = 1, 2

_PARAMETERS = Struct("block_size" / Int32ul, "flags" / Int32ul)
_LAYOUTS = {
    FILE_PARAMETERS: _PARAMETERS,
    VIRTUAL_DISK_SIZE: Struct("size" / Int64ul),
    VIRTUAL_DISK_ID: Struct("disk_id" / Guid),
    LOGICAL_SECTOR_SIZE: Struct("logical_sector_size" / Int32ul),
    PHYSICAL_SECTOR_SIZE: Struct("physical_sector_size" / Int32ul),
}


class DiskType(Enum):
    """How a file takes its room."""

    FIXED = "fixed"
    DYNAMIC = "dynamic"
    DIFFERENCING = "differencing"


@dataclass(frozen=True, slots=True)
class DiskParameters:
    """What disk this is; all sizes are bytes."""

    block_size: int
    flags: int
    size: int
    disk_id: UUID
    logical_sector_size: int
    physical_sector_size: int

    @property
    def is_fixed(self) -> bool:
        """Blocks once allocated stay so ("leave blocks allocated"): a fixed disk."""
        return bool(self.flags & LEAVE_BLOCKS_ALLOCATED)

    @property
    def has_parent(self) -> bool:
        """A differencing disk: what it does not hold is its parent's."""
        return bool(self.flags & HAS_PARENT)


def parse_disk_parameters(items: Mapping[UUID, bytes]) -> DiskParameters:
    """The parameters from the content of the five items that every file must have."""
    return DiskParameters(
        **{name: value for item, layout in _LAYOUTS.items() for name, value in parsed(layout, items[item]).items()}
    )


def has_parent_flag(item: bytes) -> bool:
    """Whether the file parameters say that the file has a parent: for one whose other items are lost."""
    return bool(parsed(_PARAMETERS, item)["flags"] & HAS_PARENT)


def build_disk_parameters(disk: DiskParameters) -> dict[UUID, bytes]:
    """The content of the five items that `parse_disk_parameters` reads back."""
    return {
        FILE_PARAMETERS: bytes(_PARAMETERS.build({"block_size": disk.block_size, "flags": disk.flags})),
        VIRTUAL_DISK_SIZE: bytes(Int64ul.build(disk.size)),
        VIRTUAL_DISK_ID: bytes(Guid.build(disk.disk_id)),
        LOGICAL_SECTOR_SIZE: bytes(Int32ul.build(disk.logical_sector_size)),
        PHYSICAL_SECTOR_SIZE: bytes(Int32ul.build(disk.physical_sector_size)),
    }


def check_disk_parameters(disk: DiskParameters, at: Mapping[UUID, int]) -> Iterator[Finding]:
    """What is wrong with the parameters; `at` has the file offset of each item."""
    size, place = disk.block_size, at[FILE_PARAMETERS]
    if not MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE or size & (size - 1):
        text = f"the block size {size} is not a power of two from 1 to 256 MiB"
        yield Finding("MET-15", Severity.ERROR, text, place, 4, SECTION)
    if disk.flags & ~(LEAVE_BLOCKS_ALLOCATED | HAS_PARENT):
        text = f"reserved bits of the file parameters are set ({disk.flags:#x})"
        yield Finding("MET-19", Severity.ERROR, text, place + 4, 4, SECTION)
    if disk.is_fixed and disk.has_parent:
        text = "a differencing file is marked as fixed; the mark is ignored"
        yield Finding("MET-20", Severity.NOTE, text, place + 4, 4, SECTION)
    yield from _check_sizes(disk, at)
    if disk.disk_id == NIL:
        yield Finding("MET-21", Severity.WARNING, "the virtual disk id is zero", at[VIRTUAL_DISK_ID], 16, SECTION)


def _check_sizes(disk: DiskParameters, at: Mapping[UUID, int]) -> Iterator[Finding]:
    if disk.logical_sector_size not in SECTOR_SIZES:
        text = f"the logical sector size {disk.logical_sector_size} is neither 512 nor 4096"
        yield Finding("MET-17", Severity.ERROR, text, at[LOGICAL_SECTOR_SIZE], 4, SECTION)
    if disk.physical_sector_size not in SECTOR_SIZES:
        text = f"the physical sector size {disk.physical_sector_size} is neither 512 nor 4096"
        yield Finding("MET-18", Severity.ERROR, text, at[PHYSICAL_SECTOR_SIZE], 4, SECTION)
    if not 0 < disk.size <= MAX_DISK_SIZE:
        text = f"the virtual disk size {disk.size} is not within 1 byte to 64 TiB"
        yield Finding("MET-16", Severity.ERROR, text, at[VIRTUAL_DISK_SIZE], 8, SECTION)
    elif disk.logical_sector_size in SECTOR_SIZES and disk.size % disk.logical_sector_size:
        sector = disk.logical_sector_size
        text = f"the virtual disk size {disk.size} is not a multiple of the logical sector, {sector} bytes"
        yield Finding("MET-16", Severity.ERROR, text, at[VIRTUAL_DISK_SIZE], 8, SECTION)
