"""The inodes of an ext volume (kernel documentation, "ext4 Data Structures and Algorithms", Index Nodes)."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from itertools import accumulate, islice

from analyzer.guest.layouts.ext import crc32c, sums_to

LEAST_SIZE = 128
"""Bytes of an inode that every volume has, and all that is parsed of one."""
_FIELDS = struct.Struct("<H2xI18xH4xI4x60sI4xI16x")
_EXTENTS, _LEAF = struct.Struct("<HHHHI"), struct.Struct("<IHHI")
_EXTENTS_MAGIC = 0xF30A
_TAIL = struct.Struct("<IHBBI")
# What the last entry of a block of a directory says: it is no entry, and has the checksum of those before it.
_TAIL_FIELDS = (0, 12, 0, 0xDE)
_DIRECTORY, _REGULAR, _KIND_SHIFT = 0x4, 0x8, 12
_KINDS = frozenset({0x1, 0x2, _DIRECTORY, 0x6, _REGULAR, 0xA, 0xC})
# Twelve numbers of blocks of data, and one each of a block of numbers, of one of such blocks, and of one of those.
_DIRECT, _DEEPEST = 12, 3
_POINTERS, _MAPPED = struct.Struct("<15I"), frozenset({_DIRECTORY, _REGULAR})
# Blocks of an extent; more means that they were never written.
_LONGEST_WRITTEN = 1 << 15
# Blocks of one file's tree that are read: a hostile tree is a circle.
_MOST_NODES = 1 << 12
_GENERATION, _EXTRA_SIZE = slice(100, 104), slice(128, 130)
_CHECKSUM, _CHECKSUM_HIGH = slice(124, 126), slice(130, 132)
# Bytes behind the first 128 from which on the checksum has its upper half.
_EXTRA_WITH_HIGH = 4
_DIRECTORY_ENTRY = struct.Struct("<IHB")
_LEAST, _STEP = 8, 4


class InodeFlag(IntFlag):
    """Ways of holding content that are not the common ones."""

    ENCRYPTED = 0x800
    EXTENTS = 0x80000
    OF_ATTRIBUTE = 0x200000
    """It is an attribute of another one, and has no name."""
    INLINE = 0x10000000
    """It is in the inode itself."""


@dataclass(frozen=True, slots=True)
class ExtInode:
    """What an inode says of its file."""

    mode: int
    low_size: int
    links: int
    flags: int
    map: bytes
    """Where its content is: extents, or numbers of blocks."""
    generation: int
    high_size: int
    """Of a regular file; of a folder it was something else once."""

    @property
    def size(self) -> int:
        """Bytes of a regular file."""
        return self.low_size | self.high_size << 32

    @property
    def first_block(self) -> int | None:
        """The block of the volume with which its content begins; None where another block would have to tell."""
        if not self.flags & InodeFlag.EXTENTS:
            return None
        magic, count, _, depth, _ = _EXTENTS.unpack_from(self.map)
        first, _, high, low = _LEAF.unpack_from(self.map, _EXTENTS.size)
        return low | high << 32 if (magic, depth, first) == (_EXTENTS_MAGIC, 0, 0) and count else None

    @property
    def is_directory_in_use(self) -> bool:
        """It is a folder that something names."""
        return self.mode >> _KIND_SHIFT == _DIRECTORY and self.links > 0

    @property
    def is_regular(self) -> bool:
        """It is a file with content."""
        return self.mode >> _KIND_SHIFT == _REGULAR

    @property
    def is_sane(self) -> bool:
        """It is of a kind that there is, and its content begins as extents do where it says so."""
        has_extents = self.flags & InodeFlag.EXTENTS and not self.flags & InodeFlag.INLINE
        magic = _EXTENTS.unpack_from(self.map)[0] if has_extents else _EXTENTS_MAGIC
        return self.mode >> _KIND_SHIFT in _KINDS and magic == _EXTENTS_MAGIC

    def is_plausible(self, blocks: int) -> bool:
        """It is sane, and the blocks that it names itself are some of the volume's, which noise never is."""
        is_mapped = self.mode >> _KIND_SHIFT in _MAPPED and not self.flags & (InodeFlag.EXTENTS | InodeFlag.INLINE)
        return self.is_sane and (not is_mapped or max(_POINTERS.unpack(self.map)) < blocks)

    def written(
        self, block: int, read: Callable[[int, int], bytes | None], nodes: list[int]
    ) -> Iterator[tuple[int, int]]:
        """(start, length) in bytes of what was written of its content; `nodes` takes places of blocks of its tree."""
        return ((start, length) for _, start, length in self.placed(block, read, nodes))

    def placed(
        self, block: int, read: Callable[[int, int], bytes | None], nodes: list[int]
    ) -> Iterator[tuple[int, int, int]]:
        """As `written`, each with the byte of the file at which it begins, in any order."""
        if not self.flags & InodeFlag.EXTENTS:
            for first, numbers in self._mapped(block, read, nodes):
                yield from _stretches_of(numbers, first, block)
            return
        waiting, left = [self.map], _MOST_NODES
        while waiting and left:
            node, left = waiting.pop(), left - 1
            magic, count, _, depth, _ = _EXTENTS.unpack_from(node)
            entries = _LEAF.iter_unpack(node[_EXTENTS.size :][: (len(node) - _EXTENTS.size) // _LEAF.size * _LEAF.size])
            for first, length, high, low in islice(entries, count if magic == _EXTENTS_MAGIC else 0):
                if depth:  # an index: first, low, low, high
                    nodes.append((length | high << 16 | (low & 0xFFFF) << 32) * block)
                    child = read(nodes[-1], block)
                    waiting += [child] if child else []
                elif length <= _LONGEST_WRITTEN:
                    yield first * block, (low | high << 32) * block, length * block

    def _mapped(
        self, block: int, read: Callable[[int, int], bytes | None], nodes: list[int]
    ) -> Iterator[tuple[int, Sequence[int]]]:
        """Numbers of blocks that follow one another in the file, and which of the file the first of them is."""
        yield 0, _POINTERS.unpack(self.map)[:_DIRECT]
        for at, depth, first, is_again in self._blocks_of_numbers(block, read):
            if not is_again:
                nodes.append(at * block)
                if depth == 1:
                    yield first, _numbers_in(read(at * block, block), block)

    def has_circle(self, block: int, read: Callable[[int, int], bytes | None]) -> bool:
        """Whether a block of numbers is twice in its tree, as in no healthy one: who walks that comes to no end.

        So it is with a file of more blocks than trees of that depth can name. Blocks that name data alone are not read
        for it: most files have no others.
        """
        if self.mode >> _KIND_SHIFT not in _MAPPED or self.flags & (InodeFlag.EXTENTS | InodeFlag.INLINE):
            return False
        per = block // 4
        if self._blocks(block) > _DIRECT + sum(per**depth for depth in range(1, _DEEPEST + 1)):
            return True
        return any(is_again for *_, is_again in self._blocks_of_numbers(block, read))

    def _blocks_of_numbers(
        self, block: int, read: Callable[[int, int], bytes | None]
    ) -> Iterator[tuple[int, int, int, bool]]:
        """Each block of numbers, its depth, the first block of the file in it, and whether it was there already."""
        per, seen = block // 4, set[int]()
        waiting, end = self._trees(per), self._blocks(block)
        while waiting and len(seen) <= _MOST_NODES:  # a block of numbers may name itself
            at, depth, first = waiting.pop()
            if not at or first >= end:
                continue
            yield at, depth, first, at in seen
            if depth > 1 and at not in seen:
                found, step = _numbers_in(read(at * block, block), block), per ** (depth - 1)
                waiting += [(found[n], depth - 1, first + n * step) for n in reversed(range(per)) if found[n]]
            seen.add(at)

    def _trees(self, per: int) -> list[tuple[int, int, int]]:
        """The block at the top of each tree, how deep that is, and the first block of the file in it; deepest first."""
        numbers = _POINTERS.unpack(self.map)
        firsts = list(accumulate((per**depth for depth in range(1, _DEEPEST)), initial=_DIRECT))
        return [(numbers[_DIRECT + n], n + 1, firsts[n]) for n in reversed(range(_DEEPEST))]

    def _blocks(self, block: int) -> int:
        """Blocks of the file, by its size."""
        return -(-(self.size if self.is_regular else self.low_size) // block)


def _numbers_in(raw: bytes | None, block: int) -> tuple[int, ...]:
    return struct.unpack(f"<{block // 4}I", (raw or b"").ljust(block, b"\0"))


def _stretches_of(numbers: Sequence[int], first: int, block: int) -> Iterator[tuple[int, int, int]]:
    """(byte of the file, byte of the volume, length) of blocks that stand side by side in both."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or not numbers[index] or numbers[index] != numbers[index - 1] + 1:
            if numbers[start]:
                yield (first + start) * block, numbers[start] * block, (index - start) * block
            start = index


def block_map_holds(raw: bytes, blocks: int) -> bool:
    """Whether a block of numbers has some, and all of a volume of so many blocks, which noise never has."""
    highest: int = max(struct.unpack(f"<{len(raw) // 4}I", raw))
    return 0 < highest < blocks


def parse_inode(raw: bytes) -> ExtInode | None:
    """What an inode says; None where it is cut off."""
    return ExtInode(*_FIELDS.unpack_from(raw)) if len(raw) >= LEAST_SIZE else None


def generation_in(table: bytes, at: int) -> int:
    """The generation of the inode at a byte of a table; 0 where that is cut off."""
    inode = table[at : at + LEAST_SIZE]
    return int.from_bytes(inode[_GENERATION], "little") if len(inode) == LEAST_SIZE else 0


def inodes_in_use(table: bytes, size: int) -> Iterator[tuple[int, ExtInode]]:
    """The inodes of `size` bytes each, with their places in the table, that something names."""
    row = struct.Struct(f"{_FIELDS.format}{size - _FIELDS.size}x")
    for index, fields in enumerate(row.iter_unpack(table[: len(table) // size * size])):
        if fields[2]:  # links: before a record is made of it, for most of a table is unused
            yield index, ExtInode(*fields)


def inode_holds(raw: bytes, number: int, seed: int) -> bool:
    """Whether a whole inode has the checksum that it has with this number, on the volume with this seed."""
    blank, wanted = bytearray(raw), raw[_CHECKSUM]
    blank[_CHECKSUM] = bytes(2)
    if len(raw) > LEAST_SIZE and int.from_bytes(raw[_EXTRA_SIZE], "little") >= _EXTRA_WITH_HIGH:
        blank[_CHECKSUM_HIGH] = bytes(2)
        wanted += raw[_CHECKSUM_HIGH]
    return sums_to(wanted, bytes(blank), _seed(number, raw[_GENERATION], seed))


def directory_holds(block: bytes, number: int, generation: int, seed: int) -> bool:
    """Whether a block of entries is the first of the directory in this inode, by its own name and its checksum."""
    return block.startswith(number.to_bytes(4, "little")) and bool(_tail_holds(block, number, generation, seed))


def _tail_holds(block: bytes, number: int, generation: int, seed: int) -> bool | None:
    """Whether the checksum at the end of a block of entries is right; None where it has none."""
    *fields, checksum = _TAIL.unpack_from(block, len(block) - _TAIL.size)
    if tuple(fields) != _TAIL_FIELDS:
        return None
    before = _seed(number, generation.to_bytes(4, "little"), seed)
    return sums_to(checksum.to_bytes(4, "little"), block[: -_TAIL.size], before)


def _seed(number: int, generation: bytes, seed: int) -> int:
    """What checksums of all that belongs to an inode begin with."""
    return crc32c(generation, crc32c(number.to_bytes(4, "little"), seed))


def is_whole_directory(content: bytes, block: int) -> bool:
    """Whether every block is filled by entries that follow one another: indexes, checksums and free room are some."""
    return all(_is_filled(content[start : start + block]) for start in range(0, len(content), block))


def names_in(content: bytes, block: int) -> Iterator[int]:
    """The inodes that the entries of a folder name, in order, as far as the entries of a block follow one another."""
    for start in range(0, len(content), block):
        at, end = start, min(start + block, len(content))
        while at + _LEAST <= end:
            inode, length, name = _DIRECTORY_ENTRY.unpack_from(content, at)
            if inode and name:
                yield inode
            if length < _LEAST:
                break
            at += length


def named_in(content: bytes, block: int) -> list[tuple[int, bytes]] | None:
    """(inode, name) of each entry of a folder, in order; None where a block is not filled by entries."""
    found, end = list[tuple[int, bytes]](), len(content)
    if end % block or block == 1 << 16:  # its entries say their lengths in another way
        return None
    at = 0
    while at < end:
        inode, length, name = _DIRECTORY_ENTRY.unpack_from(content, at)
        if length < _LEAST + bool(inode) * name or length % _STEP or at % block + length > block:
            return None
        if inode and name:
            found.append((inode, content[at + _LEAST : at + _LEAST + name]))
        at += length
    return found


def _is_filled(content: bytes) -> bool:
    at = 0
    while at + _LEAST <= len(content):
        inode, length, name = _DIRECTORY_ENTRY.unpack_from(content, at)
        if len(content) == 1 << 16 and length in {0, 0xFFFF}:  # all of 64 KiB, for which the field has no room
            length = len(content) - at
        if length < _LEAST + bool(inode) * name or length % _STEP:
            return False
        at += length
    return at == len(content)


def directory_block_holds(block: bytes, number: int, generation: int, seed: int | None) -> bool:
    """Whether a block of a directory is filled by entries, and has the right checksum where it has one.

    `seed` None: of a volume without checksums. Blocks of an index have theirs elsewhere, which is not looked at.
    """
    holds = _tail_holds(block, number, generation, seed) if seed is not None else None
    return _is_filled(block) if holds is None else holds


def node_holds(block: bytes, number: int, generation: int, seed: int | None) -> bool:
    """Whether a block is one of a file's tree of extents, by its magic and its checksum; `seed` as above."""
    magic, count, most, _, _ = _EXTENTS.unpack_from(block)
    end = _EXTENTS.size + most * _LEAF.size
    if magic != _EXTENTS_MAGIC or count > most or end > len(block):
        return False
    before = _seed(number, generation.to_bytes(4, "little"), seed) if seed is not None else 0
    return seed is None or end + 4 > len(block) or sums_to(block[end : end + 4], block[:end], before)
