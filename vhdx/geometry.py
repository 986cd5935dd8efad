"""Blocks, chunks, BAT slots and bitmap positions: the only place that knows the formulas ([MS-VHDX] 2.5)."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vhdx.structures.bat import ENTRY_SIZE
from vhdx.structures.constants import MIB, SECTORS_PER_CHUNK

Number = TypeVar("Number", int, npt.NDArray[np.int64])


@dataclass(frozen=True, slots=True)
class Geometry:
    """The arithmetic of one file. Sizes are bytes; blocks, chunks and slots are counted from 0."""

    size: int
    block_size: int
    sector_size: int

    @property
    def chunk_ratio(self) -> int:
        """Payload blocks that one sector bitmap block describes."""
        return SECTORS_PER_CHUNK * self.sector_size // self.block_size

    @property
    def chunk_size(self) -> int:
        """Bytes of the disk that one sector bitmap block describes."""
        return SECTORS_PER_CHUNK * self.sector_size

    @property
    def bits_size(self) -> int:
        """Bytes of a sector bitmap for each block."""
        return self.block_size // self.sector_size // 8

    @property
    def block_count(self) -> int:
        """Payload blocks; the last one may hang over the disk's end."""
        return -(-self.size // self.block_size)

    @property
    def chunk_count(self) -> int:
        """Sector bitmap blocks, were all of them there."""
        return -(-self.block_count // self.chunk_ratio)

    @property
    def slots_in_base(self) -> int:
        """BAT entries that a fixed or dynamic file needs."""
        # A base needs no bitmap behind its last block, so its table may end there; a child's goes on to the whole
        # chunk ([MS-VHDX] 2.5).
        return self.payload_slot(self.block_count - 1) + 1

    @property
    def slots_in_child(self) -> int:
        """BAT entries that a differencing file needs."""
        return self.chunk_count * (self.chunk_ratio + 1)

    def payload_slot(self, block: Number) -> Number:
        """The BAT entry of a payload block: a bitmap's entry follows every `chunk_ratio` of them."""
        return block + block // self.chunk_ratio

    def blocks_before(self, slot: Number) -> Number:
        """How many payload blocks have entries in front of a slot; of a block's own slot that is the block."""
        return slot - slot // (self.chunk_ratio + 1)

    def is_bitmap(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which slots are those of sector bitmaps."""
        found: npt.NDArray[np.bool_] = slots % (self.chunk_ratio + 1) == self.chunk_ratio
        return found

    def blocks_in(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The payload block of each slot; -1 of a sector bitmap's, and behind the disk's last block."""
        blocks = self.blocks_before(slots)
        return np.where(self.is_bitmap(slots) | (blocks >= self.block_count), -1, blocks)

    def chunk_and_block(self, slot: int) -> tuple[int, int | None]:
        """The chunk of a slot, and its payload block, None where it is the sector bitmap's."""
        chunk, within = divmod(slot, self.chunk_ratio + 1)
        return chunk, slot - chunk if within < self.chunk_ratio else None

    def bitmap_slot(self, chunk: int) -> int:
        """The BAT entry of a chunk's sector bitmap."""
        return (chunk + 1) * (self.chunk_ratio + 1) - 1

    def block_at(self, position: int) -> int:
        """The payload block that holds a byte of the disk."""
        return position // self.block_size

    def bytes_of_block(self, block: int) -> int:
        """How much of a block belongs to the disk: all, but for the last one."""
        return min(self.block_size, self.size - block * self.block_size)


def bat_region_size(slots: int) -> int:
    """Bytes of a BAT region with room for `slots` entries: whole MiB."""
    return -(-slots * ENTRY_SIZE // MIB) * MIB
