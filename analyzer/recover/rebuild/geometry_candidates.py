"""What disk a block table can be the table of: each candidate fits all entries, and what is left of the metadata."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from uuid import UUID

import numpy as np

from analyzer.guest.layouts.detect import begins_disk
from analyzer.guest.layouts.gpt import GptHeader, primary_header
from analyzer.recover.rebuild.bat_shape import (
    MOST_TABLE,
    Fit,
    Wanted,
    are_entries,
    entries_of,
    fit_of,
    owned_by,
    without_noise,
)
from analyzer.recover.rebuild.signatures import ends_of
from analyzer.recover.rebuild.workspace import Entries
from vhdx.contents import Structures
from vhdx.errors import VhdxError
from vhdx.geometry import Geometry
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, read_at, read_if_possible
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import (
    FILE_PARAMETERS,
    LOGICAL_SECTOR_SIZE,
    MAX_BLOCK_SIZE,
    MAX_DISK_SIZE,
    MIB,
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

# More than the 68 KiB that `begins_disk` wants: Btrfs has its superblock furthest in, at 64 KiB.
# Enough for an MBR, both sectors of a GPT with 128 entries, and an ext superblock.
_FRONT = 128 * 1024
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A disk that fits a block table. `size_known` when something tells the size, else it is the least there can be."""

    parameters: DiskParameters
    fit: Fit
    size_evidence: str
    steps: int
    """Pairs of blocks that follow one another in the file, one block apart."""
    is_aligned: bool
    """Entries of sector bitmaps, unlike those around them, stand where they must from the table's beginning on."""


@dataclass(frozen=True, slots=True)
class Table:
    """The words of a block table whose disk is not known, and the front of its block 0."""

    offset: int
    length: int
    entries: Entries
    front: bytes

    @property
    def begins(self) -> bool:
        """Whether its first entry is that of block 0, by what that holds: a piece of a table looks like a table."""
        return begins_disk(self.front)

    @property
    def gpt(self) -> GptHeader | None:
        """The primary GPT, when block 0 holds one."""
        return primary_header(self.front, SECTOR_SIZES)


def table_at(source: ByteSource, offset: int, length: int, *, is_named: bool = False) -> Table | None:
    """The table in `length` bytes at `offset`, when every word of it can be an entry and one has a block.

    Where a region table names the place, sectors of noise are passed over.
    """
    if length > MOST_TABLE or offset + length > source.size:
        return None
    entries = entries_of(read_at(source, offset, length))
    entries = without_noise(entries) if is_named else entries
    if not are_entries(entries) or not (entries & STATE_MASK >= BlockState.FULLY_PRESENT).any():
        return None
    # Block 0 is in slot 0 whatever the size of the blocks.
    first = int(entries[0])
    is_there = first & STATE_MASK >= BlockState.FULLY_PRESENT
    front = read_if_possible(source, (first >> OFFSET_SHIFT) * MIB, _FRONT) if is_there else b""
    return Table(offset, length, entries, front)


def geometry_candidates(source: ByteSource, table: Table, taken: Ranges, left: SurvivingItems) -> Iterator[Candidate]:
    """Every disk that fits, and that contradicts nothing of what is left of the metadata; the largest blocks first."""
    for sector, block_size, flags in product(_sectors(table, left), _block_sizes(left), left.flags_to_try):
        size, why = _size(table, block_size, sector, flags)
        if left.size is not None:
            size, why = left.size, "the item that tells it is there"
        disk = DiskParameters(block_size, flags, size, left.disk_id, sector, left.physical)
        if candidate := _try(source, table, taken, disk, why):
            yield candidate


def _sectors(table: Table, left: SurvivingItems) -> tuple[int, ...]:
    if left.sector is not None:
        return (left.sector,)
    return (table.gpt.sector_size,) if table.gpt else tuple(SECTOR_SIZES)


def _block_sizes(left: SurvivingItems) -> list[int]:
    if left.block_size is not None:
        return [left.block_size]
    return [MAX_BLOCK_SIZE >> power for power in range((MAX_BLOCK_SIZE // MIN_BLOCK_SIZE).bit_length())]


def _size(table: Table, block_size: int, sector: int, flags: int) -> tuple[int, str]:
    """Bytes of the disk, and what tells them."""
    gpt = table.gpt
    if gpt:
        return (gpt.other + 1) * gpt.sector_size, "the primary GPT says where its backup stands: in the last sector"
    # A chunk is 2^23 sectors, whatever their size: so many blocks, and then the slot of the chunk's sector bitmap
    # ([MS-VHDX] 2.5). The last slot in use that is no bitmap's gives the least size that the disk can have. Only a
    # structure that knows the disk's end, and lies in that last block, can make it more.
    period = (1 << 23) * sector // block_size + 1
    used = np.flatnonzero(table.entries)
    payload = used[used % period != period - 1] if flags & HAS_PARENT else used
    last = int(payload[-1]) if len(payload) else 0
    least = (last - last // period + 1) * block_size
    why = "the last entry in use: the disk ends in that block or later"
    for end, text in ends_of(table.front, sector):
        if least - block_size < end <= MAX_DISK_SIZE and end % sector == 0:
            least, why = end, text
    return least, why


def _try(source: ByteSource, table: Table, taken: Ranges, disk: DiskParameters, why: str) -> Candidate | None:
    if not 0 < disk.size <= MAX_DISK_SIZE:
        return None
    wanted = Wanted(Geometry(disk.size, disk.block_size, disk.logical_sector_size), disk.has_parent, taken)
    if wanted.slots * ENTRY_SIZE > table.length or table.entries[wanted.slots :].any():
        return None
    entries = table.entries[: wanted.slots]
    if not disk.has_parent and (entries & STATE_MASK == BlockState.PARTIALLY_PRESENT).any():
        return None
    places = owned_by(entries, wanted)
    fit = None if places is None else fit_of(source.size, Range(table.offset, table.length), wanted, places)
    aligned = disk.has_parent and _is_aligned(entries & STATE_MASK, wanted.geometry.chunk_ratio)
    return (
        None
        if fit is None
        else Candidate(disk, fit, why, int((np.diff(fit.places[:, 0]) == disk.block_size).sum()), aligned)
    )


def _is_aligned(states: Entries, ratio: int) -> bool:
    """Most blocks are partially present, which a bitmap never is: no other count puts bitmaps where these stand."""
    # Derivation: an entry of a sector bitmap is present or zero, never partially present. If four of five blocks in
    # use are partially present, a wrong chunk ratio puts bitmaps on blocks, and each of these passes by chance in one
    # case of five at most. A child whose blocks are mostly full gives no such evidence.
    # test_a_child_is_known_by_its_bitmaps_and_its_parent_is_not holds that children are recognised.
    is_bitmap = np.arange(len(states)) % (ratio + 1) == ratio
    bitmaps, blocks = states[is_bitmap], states[~is_bitmap]
    partial, full = ((blocks == state).sum() for state in (BlockState.PARTIALLY_PRESENT, BlockState.FULLY_PRESENT))
    present = bitmaps == BlockState.FULLY_PRESENT
    return bool(present.any() and (present | (bitmaps == 0)).all() and full * 4 <= partial)
