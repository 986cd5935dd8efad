"""btrfs: superblocks, nodes of its trees, and the chunks that say where on the device an address is.

btrfs documentation, "On-disk Format". Everything has an address of the volume's own; a chunk says at which byte of the
device a range of addresses is, or at which two with DUP. Nodes name their address, their volume and the transaction
that wrote them.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from google_crc32c import value as crc32c

SIGNATURE, SIGNATURE_AT = b"_BHRfS_M", 64
MIRRORS = (1 << 16, 1 << 26, 1 << 38)
"""Bytes of the device at which superblocks are."""
SIZE = 4096
_SUPER = struct.Struct("<32x16sQ8x8sQQQQ16xQ8xQII8xIQ16xQH3xQQ354x16s")
_ARRAY_AT, _ARRAY_SIZE = 811, 2048
_OTHER_UUID = 0x400
_SECTORS, _NODES = frozenset({4096, 8192, 16384, 32768, 65536}), frozenset(4096 << power for power in range(5))
_HEAD = struct.Struct("<32x16sQ24xQQIB")
_KEY = struct.Struct("<QBQ")
_ITEM, _POINTER = struct.Struct("<QBQII"), struct.Struct("<QBQQQ")
_CHUNK, _STRIPE = struct.Struct("<Q16xQ12xH2x"), struct.Struct("<QQ16x")
_ROOT = struct.Struct("<160xQ8xQ54xB")
_FILE_EXTENT = struct.Struct("<16xBxxxBQQQQ")
_SUM_SIZE = 32


def _crc(data: bytes) -> bytes:
    return int(crc32c(data)).to_bytes(4, "little")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _blake2(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


# By the number in the superblock; xxHash, 1, is in no library here.
_SUMS: dict[int, tuple[int, Callable[[bytes], bytes] | None]] = {
    0: (4, _crc), 1: (8, None), 2: (32, _sha256), 3: (32, _blake2),
}  # fmt: skip


class BtrfsSuper(NamedTuple):
    """What a superblock says: addresses of trees, sizes in bytes."""

    uuid: bytes
    place: int
    """The byte of the device that this copy was written for."""
    signature: bytes
    transaction: int
    root: int
    chunk_root: int
    log_root: int
    """What was synchronised since the last transaction; 0 for nothing."""
    used: int
    """Bytes."""
    devices: int
    sector_size: int
    node_size: int
    array_size: int
    chunk_transaction: int
    incompatible: int
    sum_kind: int
    device: int
    device_size: int
    metadata_uuid: bytes

    @property
    def identity(self) -> bytes:
        """The UUID that nodes have: the volume's, or the one that it was made with."""
        return self.metadata_uuid if self.incompatible & _OTHER_UUID else self.uuid

    @property
    def sum_size(self) -> int:
        """Bytes of the checksum of a sector."""
        return _SUMS[self.sum_kind][0]

    def sum_of(self, data: bytes) -> bytes | None:
        """The checksum of some bytes; None where nothing here knows its kind."""
        summed = _SUMS[self.sum_kind][1]
        return summed(data) if summed else None

    @property
    def is_sane(self) -> bool:
        """Sizes can be."""
        sizes = self.sector_size in _SECTORS and self.node_size in _NODES and self.array_size <= _ARRAY_SIZE
        return sizes and self.sum_kind in _SUMS and self.device_size > 0


def parse_super(page: bytes | None) -> BtrfsSuper | None:
    """What a superblock says, with its checksum; None where it is none, or is not whole."""
    if not page or len(page) < SIZE or not page.startswith(SIGNATURE, SIGNATURE_AT):
        return None
    found = BtrfsSuper(*_SUPER.unpack_from(page))
    return found if found.is_sane and _sums_up(found, page[:SIZE]) else None


def _sums_up(superblock: BtrfsSuper, raw: bytes) -> bool:
    wanted = superblock.sum_of(raw[_SUM_SIZE:])
    return wanted is None or raw.startswith(wanted)


class Chunk(NamedTuple):
    """A range of addresses, and the bytes of this device at which all of it is: one, or two with DUP."""

    start: int
    length: int
    places: tuple[int, ...]


# Stripes of these kinds hold parts of a chunk: RAID 0, 10, 5 and 6.
_IN_PARTS = 0x8 | 0x40 | 0x80 | 0x100


def parse_chunk(start: int, raw: bytes, device: int) -> Chunk | None:
    """Where addresses from `start` on are; None where the item is cut off."""
    if len(raw) < _CHUNK.size:
        return None
    length, kind, count = _CHUNK.unpack_from(raw)
    rows = raw[_CHUNK.size :][: count * _STRIPE.size]
    stripes = _STRIPE.iter_unpack(rows[: len(rows) // _STRIPE.size * _STRIPE.size])
    is_whole = not kind & _IN_PARTS
    return Chunk(start, length, tuple(at for of, at in stripes if of == device and is_whole))


def first_chunks(superblock: BtrfsSuper, page: bytes) -> Iterator[Chunk]:
    """The chunks that a superblock tells itself: those of the tree of chunks."""
    rest = page[_ARRAY_AT:][: superblock.array_size]
    while len(rest) >= _KEY.size + _CHUNK.size:
        _, _, start = _KEY.unpack_from(rest)
        _, _, count = _CHUNK.unpack_from(rest, _KEY.size)
        end = _KEY.size + _CHUNK.size + count * _STRIPE.size
        if chunk := parse_chunk(start, rest[_KEY.size : end], superblock.device):
            yield chunk
        rest = rest[end:]


class Pointer(NamedTuple):
    """A node that another one, or the superblock, names: its address and the transaction that wrote it."""

    address: int
    transaction: int


class Item(NamedTuple):
    """An item of a leaf."""

    object: int
    kind: int
    offset: int
    data: bytes


CHUNK_ITEM, ROOT_ITEM, EXTENT_DATA, EXTENT_ITEM, METADATA_ITEM, EXTENT_CSUM = 228, 132, 108, 168, 169, 128
ROOT_TREE, EXTENT_TREE, CHUNK_TREE, FILE_TREE, FIRST_VOLUME = 1, 2, 3, 5, 256
_LAST_VOLUME = (1 << 64) - 256


def has_files(tree: int) -> bool:
    """Whether a tree is of files: a subvolume, or a snapshot of one."""
    return tree == FILE_TREE or FIRST_VOLUME <= tree < _LAST_VOLUME


def node_holds(superblock: BtrfsSuper, raw: bytes, pointer: Pointer) -> bool:
    """Whether a node is the one that was named, of this volume, and has its checksum."""
    uuid, address, transaction, *_ = _HEAD.unpack_from(raw)
    is_it = (uuid, address, transaction) == (superblock.identity, pointer.address, pointer.transaction)
    return is_it and _sums_up(superblock, raw)


def below(raw: bytes) -> list[Pointer]:
    """The nodes that a node names; none for a leaf."""
    *_, count, level = _HEAD.unpack_from(raw)
    places = range(_HEAD.size, len(raw) - _POINTER.size + 1, _POINTER.size)
    return [Pointer(*_POINTER.unpack_from(raw, at)[3:]) for at in places[:count]] if level else []


def items_of(raw: bytes) -> Iterator[Item]:
    """The items of a leaf; none for another node."""
    *_, count, level = _HEAD.unpack_from(raw)
    for at in range(_HEAD.size, len(raw) - _ITEM.size + 1, _ITEM.size)[: 0 if level else count]:
        number, kind, offset, start, length = _ITEM.unpack_from(raw, at)
        yield Item(number, kind, offset, raw[_HEAD.size + start :][:length])


def sums_of(superblock: BtrfsSuper, item: Item, step: int) -> Iterator[tuple[int, bytes]]:
    """(address, checksum) of sectors of files, one of so many."""
    size, width = superblock.sector_size, superblock.sum_size
    for number in range(-item.offset // size % step, len(item.data) // width, step):
        yield item.offset + number * size, item.data[number * width : (number + 1) * width]


def root_of(item: Item) -> Pointer | None:
    """The root of the tree that an item describes."""
    if len(item.data) < _ROOT.size:
        return None
    transaction, address, _ = _ROOT.unpack_from(item.data)
    return Pointer(address, transaction)


class FileExtent(NamedTuple):
    """A part of a file, at an address of its own, as it is."""

    address: int
    length: int


_PLAIN = (0, 1)


def parse_file_extent(item: Item) -> FileExtent | None:
    """Where a part of a file is; None where it is a hole, compressed, never written, or in the item itself."""
    if len(item.data) < _FILE_EXTENT.size:
        return None
    compression, kind, address, _, offset, length = _FILE_EXTENT.unpack_from(item.data)
    is_there = (compression, kind) == _PLAIN and address
    return FileExtent(address + offset, length) if is_there else None
