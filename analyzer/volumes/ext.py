"""The superblock of an ext2, ext3 or ext4 volume, at byte 1024, and of its copies in some block groups."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

START, SIZE = 1024, 1024
MAGIC = b"\x53\xef"
MAGIC_AT = 56
UUID = slice(104, 120)
STEADY = (slice(56, 58), slice(24, 28), slice(32, 36), slice(40, 44), slice(88, 90), UUID)
"""What every copy has alike: magic, sizes of block, group, inode table and inode, the UUID."""
_FIELDS = struct.Struct("<4xI12xII4xI12xI38xHIII")
LARGE = 0x80
"""Incompatible feature: blocks are counted with 64 bits."""
_BLOCKS_HIGH = slice(0x150, 0x154)
_LARGEST_POWER = 6
_GROUPS = sorted({1, *(base**power for base in (3, 5, 7) for power in range(1, 22))})
"""Groups with a copy where not all have one."""


@dataclass(frozen=True, slots=True)
class ExtSuperblock:
    """What a superblock says. `block_size` in bytes, 0 when it cannot be; counts in blocks; `written` in Unix time."""

    blocks: int
    first_block: int
    block_size: int
    blocks_per_group: int
    written: int
    group: int
    """The group that this copy was written for."""
    compatible: int
    incompatible: int
    read_only: int
    uuid: bytes

    @property
    def end(self) -> int:
        """Bytes of the volume."""
        return self.blocks * self.block_size

    def copies(self) -> Iterator[tuple[int, int]]:
        """(group, byte of the volume) at which copies of the superblock may stand, up to the volume's end."""
        if not self.block_size or not self.blocks_per_group:
            return
        for group in _GROUPS:
            at = self.copy_of(group)
            if at + SIZE > self.end:
                return
            yield group, at

    def copy_of(self, group: int) -> int:
        """The byte of the volume at which the copy of a group stands."""
        return (self.first_block + group * self.blocks_per_group) * self.block_size


def parse_superblock(block: bytes) -> ExtSuperblock | None:
    """What 1024 bytes say; None where they are no superblock."""
    if len(block) < SIZE or not block.startswith(MAGIC, MAGIC_AT):
        return None
    blocks, first, power, per_group, written, group, compatible, incompatible, read_only = _FIELDS.unpack_from(block)
    size = SIZE << power if power <= _LARGEST_POWER else 0
    if incompatible & LARGE:
        blocks |= int.from_bytes(block[_BLOCKS_HIGH], "little") << 32
    return ExtSuperblock(
        blocks, first, size, per_group, written, group, compatible, incompatible, read_only, block[UUID]
    )
