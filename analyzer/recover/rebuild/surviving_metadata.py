"""What is left of the metadata's items when some of them are lost: each is judged by itself."""

from dataclasses import dataclass, field
from uuid import UUID

from vhdx.contents import Structures
from vhdx.errors import VhdxError
from vhdx.structures.constants import (
    FILE_PARAMETERS,
    LOGICAL_SECTOR_SIZE,
    MAX_BLOCK_SIZE,
    MAX_DISK_SIZE,
    MIN_BLOCK_SIZE,
    NIL,
    PARENT_LOCATOR,
    PHYSICAL_SECTOR_SIZE,
    SECTOR_SIZES,
    VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
)
from vhdx.structures.disk import HAS_PARENT, DiskParameters
from vhdx.structures.metadata import ITEM_SIZES

# Paths are UTF-16 with lengths of 16 bits, so a genuine locator is smaller.
_LARGEST_LOCATOR = 64 * 1024
# Two flags are defined; an item with any other bit set is not sound.
_LARGEST_FLAGS = 3
# It changes nothing of what is read; Hyper-V and qemu-img both write 4096 unless told otherwise.
_USUAL_PHYSICAL = 4096


@dataclass(frozen=True, slots=True)
class SurvivingItems:
    """What the items say that are sound; None, or as if nothing was there, for the others."""

    block_size: int | None = None
    flags: int | None = None
    size: int | None = None
    sector: int | None = None
    physical: int = _USUAL_PHYSICAL
    disk_id: UUID = NIL
    locator: bytes = field(default=b"", repr=False)

    def whole(self) -> DiskParameters | None:
        """The disk, when nothing that tells its blocks is lost."""
        if self.block_size is None or self.flags is None or self.size is None or self.sector is None:
            return None
        return DiskParameters(self.block_size, self.flags, self.size, self.disk_id, self.sector, self.physical)

    @property
    def flags_to_try(self) -> tuple[int, ...]:
        """With and without a parent, as far as nothing tells which."""
        return (0, HAS_PARENT) if self.flags is None else (self.flags,)


NOTHING = SurvivingItems()


def read_surviving_items(structures: Structures) -> SurvivingItems:
    """What is sound of the items that the metadata table names; NOTHING where the table is lost itself."""
    if not structures.metadata.is_sound:
        return NOTHING
    try:
        return _judged({item: structures.item(item)[:_LARGEST_LOCATOR] for item in (*ITEM_SIZES, PARENT_LOCATOR)})
    except VhdxError:
        return NOTHING


def _judged(items: dict[UUID, bytes]) -> SurvivingItems:
    block_size, flags = _number(items, FILE_PARAMETERS, 0, 4), _number(items, FILE_PARAMETERS, 4, 8)
    sector, physical = _number(items, LOGICAL_SECTOR_SIZE, 0, 4), _number(items, PHYSICAL_SECTOR_SIZE, 0, 4)
    size = _number(items, VIRTUAL_DISK_SIZE, 0, 8)
    is_block_size = MIN_BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE and not block_size & (block_size - 1)
    sound = is_block_size and flags <= _LARGEST_FLAGS
    return SurvivingItems(
        block_size if sound else None,
        flags if sound else None,
        size if 0 < size <= MAX_DISK_SIZE and not size % min(SECTOR_SIZES) else None,
        sector if sector in SECTOR_SIZES else None,
        physical if physical in SECTOR_SIZES else _USUAL_PHYSICAL,
        UUID(bytes_le=items[VIRTUAL_DISK_ID]) if len(items.get(VIRTUAL_DISK_ID, b"")) == len(NIL.bytes) else NIL,
        items.get(PARENT_LOCATOR, b""),
    )


def _number(items: dict[UUID, bytes], item: UUID, start: int, end: int) -> int:
    return int.from_bytes(items.get(item, b"")[start:end], "little")
