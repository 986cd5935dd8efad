"""What an XFS volume of version 5 says of its bytes: its blocks name their place, volume and owner; files end.

"XFS Algorithms & Data Structures", Self Describing Metadata.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from analyzer.guest.layouts.xfs import XfsSuper, block_holds, group_head_holds, inode_holds
from analyzer.guest.layouts.xfs_inodes import XfsInode, parse_inode
from analyzer.guest.layouts.xfs_log import is_clean
from analyzer.guest.usage.model import Known
from analyzer.guest.usage.xfs import PER_CHUNK, TREES, XfsUsage, superblock_in
from analyzer.witnesses.model import Claims, Statement, Testimony
from analyzer.witnesses.pages import Look, looks_of

# A million inodes are looked at.
_MOST_CHUNKS = (1 << 20) // PER_CHUNK


def claims_of_xfs(known: Known, plain: Known) -> Claims | None:
    """What the volume says; None where it is no XFS, or one of a version without checksums."""
    superblock = superblock_in(known)
    if superblock is None or not superblock.is_summed:
        return None
    return _Testimony(XfsUsage(known, superblock), plain).claims()


@dataclass(frozen=True)
class _Testimony(Testimony):
    volume: XfsUsage
    plain: Known

    @property
    def _superblock(self) -> XfsSuper:
        return self.volume.superblock

    @cached_property
    def _is_clean(self) -> bool:
        return is_clean(self._superblock, self.plain.read)

    def metadata(self) -> Iterator[Statement]:
        """See Testimony."""
        uuid, size = self._superblock.identity, self._superblock.sector_size
        for at, index, group in self.volume.heads():
            raw = self.plain.read(at, size)
            if raw is not None:
                yield at, size, group_head_holds(index, raw, group, uuid)
        for group in range(self._superblock.groups):
            for tree in TREES:
                for at, _, _ in self.volume.blocks_of(group, tree):
                    yield from self._block(at, self._superblock.block_size, group)
        for number, (first, is_there) in enumerate(self.volume.chunks()):
            if number < _MOST_CHUNKS:
                yield from self._chunk(first, is_there)

    def _block(self, at: int, length: int, owner: int) -> Iterator[Statement]:
        raw = self.plain.read(at, length)
        if raw is not None:
            yield from self._said(at, raw, block_holds(raw, at, self._superblock.identity, owner))

    def _said(self, at: int, raw: bytes, holds: bool) -> Iterator[Statement]:  # noqa: FBT001 - what is said
        """What is said of a block that others lead to: where the log has to be replayed, it may be in there."""
        if holds or self._is_clean or looks_of(raw)[0] == Look.NOISE:
            yield at, len(raw), holds

    def _chunk(self, first: int, is_there: list[bool]) -> Iterator[Statement]:
        """The 64 inodes from one on, by blocks, and what those in use lead to."""
        superblock, size = self._superblock, self._superblock.inode_size
        step = max(1, superblock.block_size // size)
        for start in range(0, PER_CHUNK, step):
            numbers = [first + n for n in range(start, start + step) if is_there[n]]
            at = superblock.at_inode(first + start)
            raw = self.plain.read(at, step * size) if numbers else None
            if raw is None:
                continue
            inodes = {number: raw[(number - first - start) * size :][:size] for number in numbers}
            holds = {number: inode_holds(each, number, superblock.identity) for number, each in inodes.items()}
            yield from self._said(at, raw, all(holds.values()))
            for number, each in inodes.items():
                inode = parse_inode(each) if holds[number] else None
                yield from self._content(number, inode) if inode else ()

    def _content(self, number: int, inode: XfsInode) -> Iterator[Statement]:
        """The blocks of a folder, and of the tree that leads to a file; notes where a file is and ends."""
        superblock, nodes = self._superblock, list[int]()
        if not (inode.is_folder or inode.is_regular):
            return
        extents = list(inode.placed(superblock, self.plain.read, nodes))
        for at in nodes:
            yield from self._block(at, superblock.block_size, number)
        step = superblock.block_size << superblock.folder_log
        for _, start, length in extents if inode.is_folder else ():
            for at in range(start, start + length - step + 1, step):
                yield from self._block(at, step, number)
        if inode.is_regular:
            self.note(number, inode.size, superblock.block_size, extents)
