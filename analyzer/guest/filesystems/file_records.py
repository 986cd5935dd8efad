"""A record for each file that the reader finds."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.guest.filesystems import tsk
from analyzer.guest.filesystems.metadata_places import ExtLayout, FatLayout, Layout
from analyzer.guest.filesystems.record import (
    ENDLESS,
    LOST_RECORD,
    NO_RECORD,
    ORPHANS,
    FileKind,
    FileRecord,
    FileState,
    Packing,
    Role,
)
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.ext_inodes import InodeFlag
from vhdx.ranges import Range

FAILURES = (OSError, RuntimeError, MemoryError, OverflowError, SystemError)
"""What the reader raises where structures make no sense."""
_PAST_END = "Offset missing in partial image"  # tsk_fs_read, for a volume that is larger than its image
# Records 0 to 23 are the file system's own, 5 is the root.
_NTFS_SYSTEM, _NTFS_ROOT = 24, 5
_NOTHING = tsk.Attributes(None, (), (), runs_missing=False)
_PLACES_MISSING = "not all of the places of its data are known"
_MOST_LISTED = 4096  # an attribute list of 256 KiB names more, and a hostile one the same record each time
_MOST_LINK = 4096  # PATH_MAX of Linux
_EXFAT_FILES = {b"\x85", b"\x05"}  # entries of files, in use and deleted; all others are the system's


@dataclass(slots=True, eq=False)
class Maker:
    """Makes the records of one volume.

    `opened` gives the file of an address. `special_inodes`: files of ext may be in their inodes, or be encrypted.
    """

    type: str
    view: View
    layout: Layout
    block: int
    special_inodes: bool
    avoided: set[int]
    """Addresses of files that are only named; it grows where the volume is found to have more of them."""
    opened: Callable[[int], Any]

    def record(self, file: Any, folder: str, parent: FileRecord | None) -> FileRecord:  # noqa: ANN401 - untyped
        """The record of a file in the folder of that path; what cannot be read of it is its obstacle."""
        info = file.info
        name, meta = info.name, info.meta
        if meta is None and name is not None and self.type == "ntfs":
            file, meta = self._let_go(file)
        address = int(name.meta_addr) if name is not None else int(meta.addr)
        path = f"{folder}/{tsk.decoded(name.name)}" if name is not None and name.name else folder
        state = tsk.state_of(name, meta) if name is not None else FileState.ALLOCATED
        above = parent.address if parent else address
        kind, is_virtual = tsk.kind_of(name, meta), tsk.is_virtual(name, meta)
        role = Role.SYSTEM if is_virtual else self._role(path, address, parent)
        named = FileRecord(0, path, address, above, kind, state=state, role=role)
        if address in self.avoided:
            return named._replace(metadata=tuple(self.layout.record_places(address)), obstacle=ENDLESS)
        if meta is None or state is FileState.OVERWRITTEN:
            why = NO_RECORD if state is FileState.ALLOCATED else "another file has its record"
            places = () if is_virtual else tuple(self.layout.record_places(address))
            return named._replace(metadata=places, obstacle=why)
        return self._whole(file, meta, named, is_virtual=is_virtual)

    def _let_go(self, file: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """The record of a deleted name: NTFS counts its sequence number up when it lets a record go."""
        name = file.info.name
        with contextlib.suppress(*FAILURES):
            found = self.opened(int(name.meta_addr))
            if int(found.info.meta.seq) == int(name.meta_seq) + 1 and not tsk.is_in_use(found.info.meta):
                return found, found.info.meta
        return file, None

    def _whole(self, file: Any, meta: Any, named: FileRecord, *, is_virtual: bool) -> FileRecord:  # noqa: ANN401
        address, kind, obstacle = int(meta.addr), named.kind, None
        places = [] if is_virtual else self.layout.record_places(address)
        attributes = _NOTHING
        try:
            attributes = tsk.attributes_of(file, self.view.start, self.block, places)
            if attributes.other:
                places += [place for number in set(tsk.listed_records(file, attributes)) - {address}
                           for place in self.layout.record_places(number)][:_MOST_LISTED]  # fmt: skip
        except FAILURES as error:
            obstacle = f"what it is made of cannot be read ({sentence(error)})"
        target = tsk.path_of(meta.link) if meta.link else self._long_link(file, meta, kind)
        data = attributes.data
        if self.type == "ntfs":
            kind, target, found = self._reparse(file, kind)
            obstacle = obstacle or found
        places += [extent.on_disk for stream in attributes.other for extent in stream.extents]
        if kind is FileKind.DIRECTORY and data is not None:
            places += [extent.on_disk for extent in data.extents]
            data = None
        if data is not None:
            places += self.layout.table_places(data.extents)
        obstacle = obstacle or self._obstacle(address, kind, attributes, places)
        if not obstacle and kind is FileKind.FILE and data is None:
            obstacle = self._lacks_data(meta, named.role)
        sequence = int(meta.seq) or (0 if is_virtual else self.layout.sequence_of(address))
        return FileRecord(
            0, named.path, named.address, named.parent, kind, sequence, named.state, named.role,
            0 if kind is FileKind.DIRECTORY else meta.size, tsk.times_of(meta, local=self._is_local), int(meta.mode),
            meta.uid, meta.gid, meta.nlink, target, data if kind is not FileKind.LINK else None, attributes.alternate,
            tuple(places), obstacle,
        )  # fmt: skip

    @property
    def _is_local(self) -> bool:
        """Whether its times are of no zone."""
        return isinstance(self.layout, FatLayout)

    def _long_link(self, file: Any, meta: Any, kind: FileKind) -> str | None:  # noqa: ANN401
        """Where a link leads to whose path is in blocks: of ext4 the reader gives those alone that are in an inode."""
        if kind is not FileKind.LINK or not 0 < int(meta.size) <= _MOST_LINK:
            return None
        with contextlib.suppress(*FAILURES):
            return tsk.path_of(bytes(file.read_random(0, int(meta.size)))) or None
        return None

    def _role(self, path: str, address: int, parent: FileRecord | None) -> Role:
        if parent is not None and parent.role is Role.SYSTEM and parent.path != ORPHANS:
            return Role.SYSTEM
        if self.type == "exfat" and path.startswith("/$"):
            start, _ = next(iter(self.layout.record_places(address)), (self.view.start, 0))
            return Role.USER if self.view.read(start - self.view.start, 1) in _EXFAT_FILES else Role.SYSTEM
        is_system = self.type == "ntfs" and address < _NTFS_SYSTEM and address != _NTFS_ROOT
        return Role.SYSTEM if is_system and path.startswith("/$") else Role.USER

    def _reparse(self, file: Any, kind: FileKind) -> tuple[FileKind, str | None, str | None]:  # noqa: ANN401
        """Kind, target, obstacle, as a reparse point has them."""
        try:
            point = tsk.reparse_of(file)
        except FAILURES as error:
            return kind, None, f"its reparse point cannot be read ({sentence(error)})"
        if point is None:
            return kind, None, None
        if point.target is not None:
            return FileKind.LINK, point.target, None
        return kind, None, point.obstacle if kind is FileKind.FILE else None

    def _obstacle(self, address: int, kind: FileKind, attributes: tsk.Attributes, places: list[Range]) -> str | None:
        if self.is_lost(places):
            return LOST_RECORD
        if kind is FileKind.FILE and self._lacks_places(attributes):
            return _PLACES_MISSING
        if attributes.data is not None and attributes.data.packing is Packing.ENCRYPTED:
            return "it is encrypted (EFS)"
        if self.special_inodes and isinstance(self.layout, ExtLayout) and kind is FileKind.FILE:
            flags = self.layout.flags_of(address)
            if flags & InodeFlag.ENCRYPTED:
                return "it is encrypted (fscrypt)"
            if flags & InodeFlag.INLINE:
                return "it stands in its inode (inline_data), which is not read"
        return None

    def _lacks_places(self, attributes: tsk.Attributes) -> bool:
        """Whether not all places of a file's data are known: of a hole in a file of ext the reader has no run either.

        FAT has no holes, and of clusters that lead back to one of them the reader gives none without a word.
        """
        if isinstance(self.layout, ExtLayout):
            return False
        data = attributes.data if isinstance(self.layout, FatLayout) else None
        is_short = data is not None and sum(extent.length for extent in data.extents) < data.size
        return attributes.runs_missing or is_short

    def _lacks_data(self, meta: Any, role: Role) -> str | None:  # noqa: ANN401
        """Why a file of which the reader gives no data is not an empty one: it skips trees that make no sense.

        NTFS has an attribute for the data of an empty file, too: without one, it is in a record that is gone.
        """
        if not int(meta.size) and not (self.type == "ntfs" and role is Role.USER):
            return None
        return LOST_RECORD if self.view.missed else _PLACES_MISSING

    def is_lost(self, places: Sequence[Range]) -> bool:
        """Whether any of these places was asked for and is lost."""
        return len(self.view.missed) > 0 and any(map(self.view.missed.touches, places))


def sentence(error: BaseException) -> str:
    """What the reader says, without where in its source it says it; in plain words where it has none."""
    text = str(error).split("\n", 1)[0]
    if _PAST_END in text:
        return "it is past the end of the disk, or of its partition"
    return text.partition(") ")[2] if text.startswith(("FS_Info", "File", "Directory", "Attribute")) else text
