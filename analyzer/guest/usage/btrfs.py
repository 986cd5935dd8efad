"""What a btrfs volume has in use: the extents of its tree of extents, its nodes, and where files are.

btrfs documentation, "On-disk Format". Nodes are written anew in another place, and the superblock last: whatever it
leads to is whole, however the volume was left.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from analyzer.guest.layouts import btrfs
from analyzer.guest.layouts.btrfs import BtrfsSuper, Chunk, Item, Pointer
from analyzer.guest.usage.model import Known, Usage, usage_by
from vhdx.ranges import Range, Ranges
from vhdx.structures.constants import MIB

# Nodes that are read, 2 GiB of them: a hostile tree names nodes without end.
_MOST_NODES = 1 << 17
# A file's number is made of its inode's, and of its subvolume's, which is another one's only where there are many.
_OWNERS, _VOLUMES = 1 << 32, 1 << 7


def superblock_in(known: Known) -> tuple[BtrfsSuper, bytes] | None:
    """The newest superblock that is whole, with its bytes; None where none is."""
    pages = ((at, known.read(at, btrfs.SIZE)) for at in btrfs.MIRRORS)
    found = [(one, page) for at, page in pages if page and (one := btrfs.parse_super(page)) and one.place == at]
    return max(found, key=lambda one: one[0].transaction, default=None)


def usage_of_btrfs(known: Known) -> Usage | None:
    """What the volume has in use; None where no superblock of it is whole."""
    found = superblock_in(known)
    return BtrfsUsage(known, *found).usage() if found else None


class Addresses:
    """Where addresses of the volume are on this device."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        """By chunks, in any order."""
        self.chunks = sorted(set(chunks))
        self._starts = [chunk.start for chunk in self.chunks]

    def places_of(self, address: int, length: int) -> tuple[int, ...]:
        """The bytes of the device at each of which all of a range is; none where it is on none of this one."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address + length > self.chunks[index].start + self.chunks[index].length:
            return ()
        return tuple(at + address - self.chunks[index].start for at in self.chunks[index].places)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree: where its copies are and which of them hold, and what the first that does holds."""

    tree: int
    pointer: Pointer
    """What names it."""
    places: tuple[int, ...]
    """The bytes of the device at which its copies must be."""
    copies: tuple[tuple[int, bool], ...]
    """Those that can be read."""
    content: bytes | None

    @property
    def items(self) -> Iterator[Item]:
        """The items, of a leaf alone."""
        return btrfs.items_of(self.content) if self.content else iter(())


@dataclass(frozen=True)
class BtrfsUsage:
    """Reads what the volume has in use."""

    known: Known
    superblock: BtrfsSuper
    page: bytes

    def usage(self) -> Usage:
        """What its superblocks, trees and files say."""
        extent = Range(0, min(self.known.size, self.superblock.device_size))
        supers = ((at, btrfs.SIZE, 0) for at in self.mirrors())
        return usage_by(extent, self._maps(extent), supers, self._files)

    def mirrors(self) -> Iterator[int]:
        """Where superblocks are."""
        return (at for at in btrfs.MIRRORS if at + btrfs.SIZE <= self.superblock.device_size)

    @cached_property
    def addresses(self) -> Addresses:
        """Where addresses are, by the tree of chunks and what of it the superblock has itself."""
        items = (item for node in self._of_chunks for item in node.items if item.kind == btrfs.CHUNK_ITEM)
        found = (btrfs.parse_chunk(item.offset, item.data, self.superblock.device) for item in items)
        return Addresses([*self._first_chunks, *filter(None, found)])

    @cached_property
    def _first_chunks(self) -> list[Chunk]:
        return list(btrfs.first_chunks(self.superblock, self.page))

    @cached_property
    def _of_chunks(self) -> list[Node]:
        root = Pointer(self.superblock.chunk_root, self.superblock.chunk_transaction)
        return list(self._walk(btrfs.CHUNK_TREE, root, Addresses(self._first_chunks), set()))

    @cached_property
    def _of_roots(self) -> list[Node]:
        root = Pointer(self.superblock.root, self.superblock.transaction)
        return list(self._walk(btrfs.ROOT_TREE, root, self.addresses, set()))

    def nodes(self) -> Iterator[Node]:
        """All nodes, each once: snapshots share them."""
        yield from self._of_chunks
        yield from self._of_roots
        seen = set[int]()
        for item in (item for node in self._of_roots for item in node.items if item.kind == btrfs.ROOT_ITEM):
            if root := btrfs.root_of(item):
                yield from self._walk(item.object, root, self.addresses, seen)

    def _walk(self, tree: int, root: Pointer, addresses: Addresses, seen: set[int]) -> Iterator[Node]:
        waiting, size = [root], self.superblock.node_size
        while waiting and len(seen) < _MOST_NODES:
            pointer = waiting.pop()
            if pointer.address in seen:
                continue
            seen.add(pointer.address)
            places = addresses.places_of(pointer.address, size)
            copies = [(at, raw) for at in places if (raw := self.known.read(at, size))]
            said = tuple((at, btrfs.node_holds(self.superblock, raw, pointer)) for at, raw in copies)
            content = next((raw for (_, raw), (_, holds) in zip(copies, said, strict=True) if holds), None)
            yield Node(tree, pointer, places, said, content)
            waiting += btrfs.below(content) if content else ()

    def _maps(self, extent: Range) -> Iterator[tuple[Range, Ranges]]:
        """What the tree of extents says is in use, where all of it can be read and nothing was synchronised since."""
        nodes = [node for node in self.nodes() if node.tree == btrfs.EXTENT_TREE]
        if self.superblock.log_root or not nodes or any(node.content is None for node in nodes):
            return
        used = [Range(0, MIB), *(Range(at, btrfs.SIZE) for at in self.mirrors())]
        for item in (item for node in nodes for item in node.items):
            length = {btrfs.EXTENT_ITEM: item.offset, btrfs.METADATA_ITEM: self.superblock.node_size}.get(item.kind, 0)
            used += (Range(at, length) for at in self.addresses.places_of(item.object, length) if length)
        yield extent, Ranges.of(used)

    def _files(self) -> Iterator[tuple[bool, int, int, int]]:
        """Nodes, which are never zeros, and files by their extents."""
        for node in self.nodes():
            yield from ((True, at, self.superblock.node_size, 0) for at, _ in node.copies)
            yield from ((False, *part) for part in self.parts_in(node))

    def parts_in(self, node: Node) -> Iterator[tuple[int, int, int]]:
        """(byte of the device, length, whose) of what files hold as it is, by one node."""
        for item in node.items if btrfs.has_files(node.tree) else ():
            part = btrfs.parse_file_extent(item) if item.kind == btrfs.EXTENT_DATA else None
            for at in self.addresses.places_of(part.address, part.length) if part else ():
                yield at, part.length if part else 0, item.object % _OWNERS + node.tree % _VOLUMES * _OWNERS
