"""Files of ext4 whose inodes have all of their extents, in folders that are whole; see `model`."""

import struct
from collections.abc import Iterator, Sequence
from itertools import islice

from analyzer.guest.filesystems.metadata_places import ExtLayout
from analyzer.guest.filesystems.plain.model import MOST_FOLDER, orphans_below
from analyzer.guest.filesystems.record import Extent, FileKind, FileRecord, FileState, Packing, Role, Stream, Times
from analyzer.guest.filesystems.tsk import decoded, path_of
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.ext import ExtSuperblock, Incompatible, ReadOnly
from analyzer.guest.layouts.ext_inodes import InodeFlag, named_in
from analyzer.guest.layouts.ntfs_index import NamedRecord
from analyzer.guest.layouts.ntfs_streams import NtfsStream
from vhdx.ranges import Range

_ROOT = 2
# Mode, owner, size, three times, group, links, flags, what it holds or where; generation; upper halves of size and
# owners; bytes behind the first 128; three fractions of times; when it was made.
_INODE = struct.Struct("<HHIIII4xHH4xI4x60sI4xI8xHH4xH2xIIIII")
_HEAD, _EXTENT = struct.Struct("<HHHHI"), struct.Struct("<IHHI")
_MAGIC, _MOST_EXTENTS, _LONGEST_WRITTEN = 0xF30A, 4, 1 << 15
_LEAST_EXTRA, _SHORT_LINK, _MODE = 24, 60, 0o7777
_FRONT, _MODES = struct.Struct("<H24xH"), frozenset({0x1, 0x2, 0x4, 0x6, 0x8, 0xA, 0xC})
_KINDS = {0x4: FileKind.DIRECTORY, 0x8: FileKind.FILE, 0xA: FileKind.LINK}
_ODD = InodeFlag.ENCRYPTED | InodeFlag.INLINE | InodeFlag.OF_ATTRIBUTE
_DATA = 1  # the type that the library gives the data of ext
# Fractions have the years past 2038 in two bits, which the library takes for none; years before 1970 need them as well.
_EPOCH, _PAST, _SECOND = 3, 1 << 31, 1_000_000_000
_STRANGE = Incompatible.INLINE_DATA | Incompatible.ENCRYPT | Incompatible.META_GROUPS | Incompatible.JOURNAL_DEVICE


def is_plain_ext(superblock: ExtSuperblock, size: int) -> bool:
    """Whether a volume is one whose files can be plain, and all of it is in its `size` bytes."""
    is_usual = superblock.incompatible & Incompatible.EXTENTS and not superblock.incompatible & _STRANGE
    is_usual = bool(is_usual) and not superblock.read_only & ReadOnly.BIGALLOC
    return is_usual and superblock.is_sane and superblock.end <= size


class PlainExt:
    """See Plain."""

    def __init__(self, view: View, superblock: ExtSuperblock, number: int) -> None:
        """The volume of that number."""
        self.view, self.block, self.identity = view, superblock.block_size, superblock.uuid
        self._number, self._superblock = number, superblock
        self._layout = ExtLayout(view, superblock)

    def root(self) -> FileRecord | None:
        """See Plain."""
        found = self._record("", _ROOT, _ROOT)
        return found if found and found.kind is FileKind.DIRECTORY else None

    def entries(self, folder: FileRecord) -> Iterator[FileRecord | NamedRecord] | None:
        """See Plain."""
        names = self._names(folder)
        return None if names is None or self.view.missed else self._found(folder, names)

    def told(self, address: int, name: str) -> NtfsStream | None:  # noqa: ARG002 - see Plain
        """See Plain: nothing, for files of ext hold what is at their extents."""
        return None

    def _found(self, folder: FileRecord, names: list[tuple[int, bytes]]) -> Iterator[FileRecord | NamedRecord]:
        path, above = folder.path, folder.address
        for address, raw in names:
            name = decoded(raw)
            yield self._record(f"{path}/{name}", address, above) or NamedRecord(name, address, 0)
        if above == _ROOT:
            yield orphans_below(folder, self._superblock.inodes + 1)

    def _names(self, folder: FileRecord) -> list[tuple[int, bytes]] | None:
        """The entries of a folder, without itself and the one above it; None where it is not whole."""
        inode, block, read = self._layout.inode_of(folder.address), self.block, self.view.read
        if inode is None or not inode.is_directory_in_use or not inode.flags & InodeFlag.EXTENTS:
            return None
        most = MOST_FOLDER // block
        placed = sorted(islice(inode.placed(block, read, []), most + 1))
        if sum(length for _, _, length in placed) != inode.low_size or inode.low_size > MOST_FOLDER:
            return None
        found = named_in(b"".join([read(start, length) for _, start, length in placed]), block)
        if found is None or len({*found}) != len(found) or not all(self._is_there(address) for address, _ in found):
            return None
        return [entry for entry in found if entry[1] not in {b".", b".."}]

    def _is_there(self, address: int) -> bool:
        """Whether an inode is one of a kind that there is, and something names it."""
        place = self._layout.inode_at(address) if address <= self._superblock.inodes else None
        raw = b"" if place is None else self._layout.inode_bytes(place)
        mode, links = _FRONT.unpack_from(raw) if len(raw) >= _FRONT.size else (0, 0)
        return links > 0 and mode >> 12 in _MODES

    def _record(self, path: str, address: int, above: int) -> FileRecord | None:
        """The record of a file; None where its inode is not plain."""
        place, size_of_inode = self._layout.inode_at(address), self._layout.inode
        raw = b"" if place is None else self._layout.inode_bytes(place)
        if place is None or len(raw) < _INODE.size or self.view.missed:
            return None
        (mode, owner, size, accessed, changed, modified, group, links, flags, content, generation, high, high_owner,
         high_group, extra, *fractions, created, of_created) = _INODE.unpack_from(raw)  # fmt: skip
        kind = _KINDS.get(mode >> 12)
        moments = (modified, accessed, changed, created)
        parts = (fractions[1], fractions[2], fractions[0], of_created)
        if kind is None or not links or flags & _ODD or extra < _LEAST_EXTRA or _is_past(moments, parts):
            return None
        if kind is FileKind.FILE:
            size |= high << 32
        is_link = kind is FileKind.LINK
        extents = _in_inode(size, flags) if is_link else self._extents(content, flags, size)
        if extents is None:
            return None
        places = [Range(self.view.start + place, size_of_inode)]
        if kind is FileKind.DIRECTORY:
            size, places = 0, [*places, *[Range(start, length) for _, start, length in extents]]
        data = Stream("", size, _DATA, 0, Packing.PLAIN, (), extents) if kind is FileKind.FILE else None
        return FileRecord(
            self._number, path, address, above, kind, generation, FileState.ALLOCATED, Role.USER, size,
            Times(*map(_moment, moments, parts)),
            mode & _MODE, owner | high_owner << 16, group | high_group << 16, links,
            path_of(content) if is_link else None, data, (), tuple(places),
        )  # fmt: skip

    def _extents(self, content: bytes, flags: int, size: int) -> tuple[Extent, ...] | None:
        """Where the bytes of a file are; None where that is not all in its inode, was never written, or cannot be."""
        magic, count, most, depth, _ = _HEAD.unpack_from(content)
        if not flags & InodeFlag.EXTENTS or magic != _MAGIC or depth or count > most or most > _MOST_EXTENTS:
            return None
        start, block, blocks = self.view.start, self.block, self._superblock.blocks
        found, end = list[Extent](), 0
        for number in range(count):
            first, length, high, low = _EXTENT.unpack_from(content, _HEAD.size + number * _EXTENT.size)
            at = low | high << 32
            offset = first * block
            if not 0 < length <= _LONGEST_WRITTEN or offset < end or at + length > blocks or not at:
                return None
            end = offset + length * block
            if offset < size:
                found.append(Extent(offset, start + at * block, min(end, size) - offset))
        return tuple(found)


def _moment(second: int, part: int) -> int | None:
    """Nanoseconds since 1970; None where no time is told."""
    return second * _SECOND + (part >> 2) if second else None


def _in_inode(size: int, flags: int) -> tuple[Extent, ...] | None:
    """The extents of a link whose path is in its inode: none; None of any other."""
    return () if 0 < size < _SHORT_LINK and not flags & InodeFlag.EXTENTS else None


def _is_past(moments: Sequence[int], parts: Sequence[int]) -> bool:
    return max(moments) >= _PAST or bool((parts[0] | parts[1] | parts[2] | parts[3]) & _EPOCH)
