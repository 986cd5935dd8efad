"""XFS: what its groups begin with, and the blocks of version 5, which name their place, volume and owner.

"XFS Algorithms & Data Structures". Every number is big-endian, but for the checksums.
"""

import struct
from typing import NamedTuple

from google_crc32c import extend
from google_crc32c import value as crc32c

SIGNATURE = b"XFSB"
SECTOR = 512
"""Addresses that blocks name count in these, whatever the volume's sector is."""
_SUPER = struct.Struct(">4xIQ16x16sQ28xII4xIHHH17xBB67xB23xI4xI20x16s")
_BLOCK_SIZES, _INODE_SIZES = frozenset(1 << power for power in range(9, 17)), frozenset({256, 512, 1024, 2048})
# Groups that are believed: 4 PiB of them.
_MOST_GROUPS = 1 << 12
_SUMMED, _OTHER_UUID = 5, 0x4


class XfsSuper(NamedTuple):
    """What a superblock says: sizes in bytes, counts in blocks, logarithms of a block's inodes and a group's blocks."""

    block_size: int
    blocks: int
    uuid: bytes
    log_start: int
    """The block of the log, 0 where it is on another disk."""
    group_blocks: int
    groups: int
    log_blocks: int
    version: int
    sector_size: int
    inode_size: int
    inodes_log: int
    group_log: int
    folder_log: int
    """Of the blocks that a block of a folder has."""
    incompatible: int
    checksum: int
    metadata_uuid: bytes

    @property
    def is_sane(self) -> bool:
        """Sizes and counts can be."""
        sizes = self.block_size in _BLOCK_SIZES and self.sector_size in _BLOCK_SIZES and self.inode_size in _INODE_SIZES
        return sizes and self.group_blocks > 0 and 0 < self.groups <= _MOST_GROUPS

    @property
    def is_summed(self) -> bool:
        """It is of version 5: what it writes of its own has checksums."""
        return self.version & 0xF == _SUMMED

    @property
    def identity(self) -> bytes:
        """The UUID that is in every block, which the volume may have been made with, and has another one since."""
        return self.metadata_uuid if self.incompatible & _OTHER_UUID else self.uuid

    def at(self, group: int, block: int = 0) -> int:
        """The byte of the volume at which a block of a group is."""
        return (group * self.group_blocks + block) * self.block_size

    def at_block(self, number: int) -> int:
        """The byte at which a block is whose number has the group in its upper bits."""
        return self.at(number >> self.group_log, number & ((1 << self.group_log) - 1))

    def at_inode(self, number: int) -> int:
        """The byte at which an inode is."""
        index = number & ((1 << self.inodes_log) - 1)
        return self.at_block(number >> self.inodes_log) + index * self.inode_size


def parse_super(raw: bytes | None) -> XfsSuper | None:
    """What the first sector of a group says; None where it is no superblock, or has sizes that cannot be."""
    if not raw or len(raw) < _SUPER.size or not raw.startswith(SIGNATURE):
        return None
    found = XfsSuper(*_SUPER.unpack_from(raw))
    return found if found.is_sane else None


class Head(NamedTuple):
    """Where a block of version 5 has its address, the volume's UUID, its owner's number and the checksum."""

    address: int
    uuid: int
    owner: tuple[int, int]
    """The first byte and the one behind the last."""
    checksum: int


_SHORT_TREE = Head(16, 32, (48, 52), 52)
_LONG_TREE = Head(24, 40, (56, 64), 64)
_FOLDER = Head(8, 24, (40, 48), 4)
_NODE = Head(16, 32, (48, 56), 12)
HEADS = {
    **dict.fromkeys((b"AB3B", b"AB3C", b"IAB3", b"FIB3", b"R3FC", b"RMB3"), _SHORT_TREE),
    b"BMA3": _LONG_TREE,
    **dict.fromkeys((b"XDB3", b"XDD3", b"XDF3"), _FOLDER),
}
"""By what a block begins with."""
_NODES, _NODES_AT = frozenset({b"\x3d\xf1", b"\x3d\xff", b"\x3e\xbe"}), 8
"""Leaves and nodes of folders have their magic behind two pointers."""
# What the second to fourth sectors of a group begin with, and where each names its group, the volume, its checksum.
GROUP_HEADS = (None, (b"XAGF", 8, 64, 216), (b"XAGI", 8, 296, 312), (b"XAFL", 4, 8, 32))
_SUPER_CHECKSUM = 224
_INODE, _INODE_CHECKSUM, _INODE_NUMBER, _INODE_UUID = b"IN", 100, 152, 160


def head_of(raw: bytes) -> Head | None:
    """What kind of a head a block of version 5 has; None where it has none."""
    return HEADS.get(raw[:4]) or (_NODE if raw[_NODES_AT : _NODES_AT + 2] in _NODES else None)


def address_of(raw: bytes, uuid: bytes) -> int | None:
    """The byte of the volume that a block, one of this volume, was written for."""
    head = HEADS.get(raw[:4])
    if head is None or raw[head.uuid : head.uuid + 16] != uuid:
        return None
    return int.from_bytes(raw[head.address : head.address + 8], "big") * SECTOR


def inode_of(raw: bytes, uuid: bytes) -> int | None:
    """The number of an inode of version 3, one of this volume."""
    is_one = raw.startswith(_INODE) and raw[_INODE_UUID : _INODE_UUID + 16] == uuid
    return int.from_bytes(raw[_INODE_NUMBER : _INODE_NUMBER + 8], "big") if is_one else None


def block_holds(raw: bytes, place: int, uuid: bytes, owner: int) -> bool:
    """Whether a block is of this volume and owner, was written for this byte of it, and has its checksum."""
    head = head_of(raw)
    return (
        head is not None
        and raw[head.uuid : head.uuid + 16] == uuid
        and int.from_bytes(raw[head.address : head.address + 8], "big") * SECTOR == place
        and int.from_bytes(raw[slice(*head.owner)], "big") == owner
        and _sums_up(raw, head.checksum)
    )


def inode_holds(raw: bytes, number: int, uuid: bytes) -> bool:
    """Whether an inode, in use or not, has this number and its checksum."""
    return inode_of(raw, uuid) == number and _sums_up(raw, _INODE_CHECKSUM)


def group_head_holds(index: int, raw: bytes, group: int, uuid: bytes) -> bool:
    """Whether one of the four sectors that a group begins with is that, and this group's where it says so."""
    described = GROUP_HEADS[index]
    if described is None:
        found = parse_super(raw)
        return found is not None and found.identity == uuid and _sums_up(raw, _SUPER_CHECKSUM)
    magic, number, identity, checksum = described
    is_here = raw.startswith(magic) and int.from_bytes(raw[number : number + 4], "big") == group
    return is_here and raw[identity : identity + 16] == uuid and _sums_up(raw, checksum)


def _sums_up(raw: bytes, at: int) -> bool:
    """Whether the CRC-32C at this byte, little-endian, is that of all with zeros in its place."""
    found = extend(extend(crc32c(raw[:at]), bytes(4)), raw[at + 4 :])
    return raw[at : at + 4] == int(found).to_bytes(4, "little")
