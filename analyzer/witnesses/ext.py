"""What an ext2, ext3 or ext4 volume says of its bytes: checksums, copies that name their group, and where files end.

Kernel documentation, "ext4 Data Structures and Algorithms". Where the volume has no checksums of metadata, its
structures are held to what they must be: kinds of inodes, magic of extents, entries that fill their blocks.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from analyzer.guest.layouts import ext
from analyzer.guest.layouts.ext import ExtGroup, ExtSuperblock, GroupFlag, Incompatible, sums_to
from analyzer.guest.layouts.ext_inodes import (
    ExtInode,
    InodeFlag,
    block_map_holds,
    directory_block_holds,
    inode_holds,
    names_in,
    node_holds,
    parse_inode,
)
from analyzer.guest.usage.ext import MOST_GROUPS, MOST_INODES, ExtUsage
from analyzer.guest.usage.model import Known
from analyzer.witnesses.model import Claims, Row, Statement, Statements, Testimony
from analyzer.witnesses.pages import Look, looks_of

_FIRST_FILE, _ROOT, _RESIZE = 11, 2, 7
_DESCRIPTOR_CHECKSUM = slice(0x1E, 0x20)


def claims_of_ext(known: Known, plain: Known, superblock: ExtSuperblock) -> Claims | None:
    """What the volume says; `plain` shows what is there where `known` shows a copy in its place."""
    if not superblock.is_sane or superblock.groups > ext.MOST_GROUPS:
        return None
    testimony = _Testimony(ExtUsage(known, superblock), plain)
    claims = testimony.claims()
    return replace(claims, names=Statements.of(testimony.counted() if claims.metadata.holds.all() else ()))


@dataclass(frozen=True)
class _Testimony(Testimony):
    volume: ExtUsage
    plain: Known
    links: list[Row] = field(default_factory=list)
    """Of each inode in use its place, its number, and how many names it says that it has."""
    missed: list[int] = field(default_factory=list)
    """Folders of which not all was read."""
    names: Counter[int] = field(default_factory=Counter)
    """How many names each inode has."""

    @property
    def _superblock(self) -> ExtSuperblock:
        return self.volume.superblock

    @property
    def _is_summed(self) -> bool:
        return self._superblock.has_checksums

    @property
    def _is_dirty(self) -> bool:
        return bool(self._superblock.incompatible & Incompatible.RECOVER)

    @property
    def _is_by_copy(self) -> bool:
        return bool(self.volume.known.view.redirects)

    def metadata(self) -> Iterator[Statement]:
        """See Testimony."""
        yield from self._superblocks()
        if self._is_summed:
            yield from self._descriptors()
        # Behind a journal that has to be replayed a bitmap may be newer than its descriptor.
        if self._is_summed and not self._is_dirty and not self._is_by_copy:
            for group in self.volume.groups[:MOST_GROUPS]:
                yield from self._bitmaps(group)
        yield from self._inode_tables()

    def counted(self) -> Iterator[Statement]:
        """The inodes, and whether they have as many names as they say, where the volume is clean and all was read."""
        raw = self.plain.read(ext.START, ext.SIZE)
        all_read = not self.missed and len(self.links) < MOST_INODES
        if raw is None or raw[ext.STATE] != ext.CLEAN or self._is_dirty or not all_read:
            return
        nameless = int.from_bytes(raw[ext.ORPHANS], "little")
        for place, number, links in self.links:
            if (number == _ROOT or number >= _FIRST_FILE) and number != nameless:
                yield place, self._superblock.inode_size, self.names[number] == links

    def _superblocks(self) -> Iterator[Statement]:
        found = [(at, self._superblock_holds(group, raw), any(raw))
                 for group, at in ((0, ext.START), *self._superblock.copies())
                 if (raw := self.plain.read(at, ext.SIZE)) is not None]  # fmt: skip
        # Some programs that make volumes write no copies.
        has_copies = any(holds for at, holds, _ in found if at != ext.START)
        yield from ((at, ext.SIZE, holds) for at, holds, is_some in found if is_some or has_copies)

    def _superblock_holds(self, group: int, raw: bytes) -> bool:
        found = ext.parse_superblock(raw)
        if found is None or found.uuid != self._superblock.uuid or not ext.holds(raw):
            return False
        return found.group == group or not any(raw[ext.REVISION])

    def _descriptors(self) -> Iterator[Statement]:
        """The blocks of group descriptors, and their copies behind those of the superblock."""
        superblock, block = self._superblock, self._superblock.block_size
        per_block = block // superblock.descriptor_size
        places = list(enumerate(superblock.descriptor_blocks()))
        if not superblock.incompatible & Incompatible.META_GROUPS:
            copies = (at // block * block + block for _, at in superblock.copies())
            places += [(index, at + index * block) for at in copies for index in range(len(places))]
        for index, at in places:
            raw, groups = self.plain.read(at, block), range(index * per_block, superblock.groups)[:per_block]
            if raw is not None:
                yield at, block, all(self._descriptor_holds(raw, number) for number in groups)

    def _descriptor_holds(self, block: bytes, number: int) -> bool:
        size = self._superblock.descriptor_size
        at = number * size % len(block)
        raw = bytearray(block[at : at + size])
        wanted, raw[_DESCRIPTOR_CHECKSUM] = bytes(raw[_DESCRIPTOR_CHECKSUM]), bytes(2)
        before = ext.crc32c(number.to_bytes(4, "little"), self._superblock.seed)
        return sums_to(wanted, bytes(raw), before)

    def _bitmaps(self, group: ExtGroup) -> Iterator[Statement]:
        superblock, flags = self._superblock, self.volume.flags_of(group)
        clusters = superblock.blocks_per_group * superblock.block_size // superblock.cluster_size
        for place, bits, wanted, unused in (
            (group.block_bitmap, clusters, group.block_bitmap_checksum, GroupFlag.BLOCK_BITMAP_UNUSED),
            (group.inode_bitmap, superblock.inodes_per_group, group.inode_bitmap_checksum, GroupFlag.INODES_UNUSED),
        ):
            at = place * superblock.block_size
            raw = self.plain.read(at, superblock.block_size) if place and not flags & unused else None
            if raw is not None:
                yield at, superblock.block_size, sums_to(wanted, raw[: bits // 8], superblock.seed)

    def _inode_tables(self) -> Iterator[Statement]:
        """The tables in blocks, as far as they were used, and what their inodes lead to."""
        superblock, left = self._superblock, MOST_INODES
        block = superblock.block_size
        for number, group in enumerate(self.volume.groups[:MOST_GROUPS]):
            # A copy of the descriptors is as old as the volume, and does not know which inodes were used.
            count = min(superblock.inodes_per_group if self._is_by_copy else self._inodes_used(group), left)
            if not group.inode_table or count <= 0:
                continue
            left -= count
            for at, raw in self.plain.pieces(group.inode_table * block, count * superblock.inode_size):
                self.missed.extend([] if raw else [_ROOT])
                first = number * superblock.inodes_per_group + at // superblock.inode_size + 1
                for start in range(0, len(raw or b""), block):
                    place = group.inode_table * block + at + start
                    part = (raw or b"")[start : start + block]
                    yield from self._inodes(place, part, first + start // superblock.inode_size)

    def _inodes_used(self, group: ExtGroup) -> int:
        return 0 if self.volume.flags_of(group) & GroupFlag.INODES_UNUSED else self.volume.inodes_used(group)

    def _inodes(self, place: int, table: bytes, first: int) -> Iterator[Statement]:
        size, good, bad = self._superblock.inode_size, 0, 0
        for index in range(len(table) // size):
            raw = table[index * size : (index + 1) * size]
            inode = parse_inode(raw) if any(raw) else None
            if inode is None:
                continue
            if not self._inode_holds(inode, raw, first + index):
                bad += 1
                continue
            good += 1
            if inode.links and first + index != _RESIZE:
                self._count(place + index * size, first + index, inode)
                yield from self._content(first + index, inode)
        # By a copy, tables are read that were never made, and hold what was there before.
        if good or (bad and (not self._is_by_copy or looks_of(table)[0] == Look.NOISE)):
            yield place, len(table), not bad

    def _count(self, place: int, number: int, inode: ExtInode) -> None:
        has_name = not inode.flags & InodeFlag.OF_ATTRIBUTE
        is_counted = not inode.is_directory_in_use or inode.links > 1  # 1 stands for more than a folder can count
        if has_name and is_counted:
            self.links.append((place, number, inode.links))
        if inode.is_directory_in_use and inode.flags & InodeFlag.INLINE:
            self.missed.append(number)

    def _inode_holds(self, inode: ExtInode, raw: bytes, number: int) -> bool:
        if self._is_summed:
            return inode_holds(raw, number, self._superblock.seed)
        return not inode.links or inode.is_sane

    def _content(self, number: int, inode: ExtInode) -> Iterator[Statement]:
        """What an inode leads to: blocks of a folder, of its tree; notes where a file is and ends."""
        block, nodes = self._superblock.block_size, list[int]()
        if inode.flags & InodeFlag.INLINE or not (inode.is_directory_in_use or inode.is_regular):
            return
        extents = list(inode.placed(block, self.plain.read, nodes))
        seed = self._superblock.seed if self._is_summed else None
        for at in nodes:
            raw = self.plain.read(at, block)
            if raw is not None:
                is_mapped = not inode.flags & InodeFlag.EXTENTS
                holds = self._map_holds(raw) if is_mapped else node_holds(raw, number, inode.generation, seed)
                yield from self._linked((at, block, holds), raw)
        for offset, start, length in extents if inode.is_directory_in_use else ():
            if not inode.flags & InodeFlag.ENCRYPTED:
                yield from self._folder(number, inode, start, min(length, max(0, inode.size - offset)))
        if inode.is_regular and (number == _ROOT or number >= _FIRST_FILE):
            self.note(number, inode.size, block, extents)

    def _map_holds(self, raw: bytes) -> bool:
        return block_map_holds(raw, self._superblock.end // self._superblock.block_size)

    def _folder(self, number: int, inode: ExtInode, start: int, length: int) -> Iterator[Statement]:
        block, seed = self._superblock.block_size, self._superblock.seed if self._is_summed else None
        for at in range(start, start + length, block):
            raw = self.plain.read(at, block)
            if raw is None:
                self.missed.append(number)
            else:
                holds = directory_block_holds(raw, number, inode.generation, seed)
                self.names.update(names_in(raw, block) if holds else ())
                yield from self._linked((at, block, holds), raw)

    def _linked(self, said: Statement, raw: bytes) -> Iterator[Statement]:
        """What is said of a block that an inode leads to: where a journal has to be replayed, it may be in there."""
        _, _, holds = said
        if holds or not self._is_dirty or looks_of(raw)[0] == Look.NOISE:
            yield said
