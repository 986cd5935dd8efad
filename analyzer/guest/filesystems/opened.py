"""A volume, opened by the library that reads file systems, in its process: what is in it, item by item.

The order depends on the disk alone: after the end of this process another one passes over what was told, and goes on.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from analyzer.guest.filesystems import tsk
from analyzer.guest.filesystems.file_records import FAILURES, Maker, sentence
from analyzer.guest.filesystems.metadata_places import ExtLayout, Left, NtfsLayout
from analyzer.guest.filesystems.record import (
    ENDLESS,
    NO_RECORD,
    UNREACHED,
    FileKind,
    FileRecord,
    FileState,
    Include,
    Role,
    UnixDetails,
)
from analyzer.guest.filesystems.walk import Begun, Item, Said, below, walk
from analyzer.guest.layouts.ext_attributes import MOST_VALUE, attributes_in, device_of, mode_of
from analyzer.guest.layouts.ext_inodes import LEAST_SIZE, InodeFlag, is_whole_directory, names_in
from analyzer.guest.layouts.ntfs_index import NamedRecord
from vhdx.ranges import Range

# A folder of millions of names; a length that damage has made must not be read whole.
_MOST_FOLDER = 256 << 20
_NO_SLASHES = {ord("/"): "_", 0: "_"}
_LABEL_MARK = b" (Volume Label Entry)"  # which the reader puts behind the name of a label


class At(NamedTuple):
    """What is being looked at: the address of a folder, or of a file by itself; 0 for neither."""

    address: int = 0
    is_folder: bool = False


class Avoid(NamedTuple):
    """What ended earlier processes: it is gone around."""

    files: frozenset[int] = frozenset()
    """Addresses of files that are only named."""
    suspects: frozenset[int] = frozenset()
    """Addresses of folders whose files are tried one by one, before any of them is listed."""
    ends: frozenset[tuple[int, int]] = frozenset()
    """Folders that are listed up to so many files, for those behind cannot be told apart."""

    def around(self, at: At, listed: int) -> "Avoid":
        """The same and what another process ended at, after so many files of its folder were listed."""
        if not at.is_folder:
            return self._replace(files=self.files | {at.address})
        if at.address not in self.suspects:
            return self._replace(suspects=self.suspects | {at.address})
        return self._replace(ends=self.ends | {(at.address, listed)})


NOTHING_AVOIDED = Avoid()


@dataclass(frozen=True, slots=True, eq=False)
class OpenedVolume:
    """A volume that can be read; `at` is told what is looked at next, before that is done."""

    fs: Any
    maker: Maker
    avoid: Avoid
    at: Callable[[At], None]

    def root(self) -> Iterator[Item]:
        """The topmost folder."""
        address = int(self.fs.info.root_inum)
        try:
            yield self.maker.record(self.fs.open_meta(inode=address), "", None)
        except FAILURES as error:
            yield Said("", f"the topmost folder cannot be read ({sentence(error)})")
            yield self._folder("", address, parent=address)

    def folders(self, include: Include, top: FileRecord | None) -> Iterator[Item]:
        """See `walk`."""
        return walk(self, include, top)

    def folders_in_doubt(self, include: Include, top: FileRecord | None) -> Iterator[Item]:
        """See `walk`, of a volume that is of two times."""
        return walk(self, include, top, is_torn=True)

    def unnamed(self) -> Iterator[Item]:
        """The file system's own files that no folder names: the journal of ext."""
        for name, address in self.maker.layout.own_files():
            try:
                record = self.maker.record(self.fs.open_meta(inode=address), f"/{name}", None)
            except FAILURES as error:
                yield Said(f"/{name}", f"the file system's own file cannot be read ({sentence(error)})")
            else:
                yield record._replace(role=Role.SYSTEM)

    def entries(self, include: Include, folder: FileRecord) -> Iterator[Item]:
        """What is in one folder, in the order of the file system."""
        self.at(At(folder.address, is_folder=True))
        if folder.address in self.avoid.suspects:
            self._try_each(folder)
        if self.maker.is_lost(folder.metadata):
            yield Said(folder.path, "part of the folder is lost: names may be missing")
        elif self._is_damaged_folder(folder):
            yield Said(folder.path, "part of the folder is damaged: names may be missing")
        most, given = dict(self.avoid.ends).get(folder.address), 0
        for item in self._of_large(folder, include) or self._taken(folder):
            if not isinstance(item, FileRecord) or item.state is FileState.ALLOCATED or include is Include.DELETED:
                given += isinstance(item, FileRecord)
                yield item
            if given == most:
                yield Said(folder.path, f"the rest of the folder cannot be read: {ENDLESS}")
                return

    def initialized(self, address: int) -> int | None:
        """How far the data of a file was ever written, where that is known; see NtfsLayout."""
        layout = self.maker.layout
        return layout.initialized(address) if isinstance(layout, NtfsLayout) else None

    def details(self, address: int) -> UnixDetails | None:
        """What an inode says beside a file's record; None of a file system without inodes, and of one cut off."""
        layout = self.maker.layout
        inode = layout.whole_inode(address) if isinstance(layout, ExtLayout) else b""
        if len(inode) < LEAST_SIZE or not isinstance(layout, ExtLayout) or address in self.avoid.files:
            return None
        values, unread = dict[str, bytes](), list[str]()
        for attribute in attributes_in(inode, lambda number: self._attribute_block(number, unread)):
            value = self._value(attribute.inode, attribute.length) if attribute.inode else attribute.value
            if len(value) == attribute.length or not attribute.inode:
                values[attribute.name] = value
            else:
                unread.append(attribute.name)
        return UnixDetails(mode_of(inode), device_of(inode), tuple(values.items()), tuple(unread))

    def _attribute_block(self, number: int, unread: list[str]) -> bytes:
        layout, view = self.maker.layout, self.maker.view
        block = layout.block_at(number) if isinstance(layout, ExtLayout) else b""
        if self.maker.is_lost([Range(view.start + number * len(block), len(block))]):
            unread.append("those in a block that is lost")
        return block

    def _value(self, address: int, length: int) -> bytes:
        """The content of an inode that is the value of an attribute."""
        if length > MOST_VALUE or address in self.avoid.files:
            return b""
        self.at(At(address))
        try:
            return bytes(self.fs.open_meta(inode=address).read_random(0, length))
        except FAILURES:
            return b""

    def _try_each(self, folder: FileRecord) -> None:
        """Open each file of a folder of ext by itself: what comes of it is known then, or which one it was."""
        if not isinstance(self.maker.layout, ExtLayout):
            return
        for address in set(names_in(self._content(folder) or b"", self.maker.layout.block)) - self.avoid.files:
            self.at(At(address))
            with contextlib.suppress(*FAILURES):
                self.fs.open_meta(inode=address)
        self.at(At(folder.address, is_folder=True))

    def _taken(self, folder: FileRecord) -> Iterator[FileRecord | Said]:
        """The files of a folder, and what is wrong with them; then why there are no more."""
        try:
            for file in self.fs.open_dir(inode=folder.address):
                if not self._is_no_file(file.info.name):
                    record = self.maker.record(file, folder.path, folder)
                    yield record
                    if record.obstacle == ENDLESS:
                        yield Said(record.path, ENDLESS)
        except FAILURES as error:
            yield Said(folder.path, f"the folder cannot be read to its end ({sentence(error)})")

    def _of_large(self, folder: FileRecord, include: Include) -> Iterator[FileRecord | Said] | None:
        """The files of a folder of NTFS that is too large for the library; None of any other."""
        names = self.maker.layout.names_of_large(folder.address)
        if names is None:
            return None
        decoded = (named._replace(name=tsk.decoded(named.name.encode("utf-8", "surrogatepass"))) for named in names)
        return self._named(folder, decoded, include)

    def each(self, folder: FileRecord, names: Iterable[NamedRecord]) -> Iterator[Item]:
        """Some files of a folder, by what its entries say: a record of each."""
        for named in names:
            self.at(At(named.number))
            yield from self._named(folder, (named,), Include.PRESENT)

    def _named(self, folder: FileRecord, names: Iterable[NamedRecord], include: Include) -> Iterator[FileRecord | Said]:
        if include is Include.DELETED:
            yield Said(folder.path, "so many names are in the folder that deleted ones are not sought")
        for name, number, sequence in names:
            if name == ".":
                continue
            path = f"{folder.path}/{name}"
            if number in self.avoid.files:
                yield FileRecord(0, path, number, folder.address, FileKind.OTHER, obstacle=ENDLESS)
                yield Said(path, ENDLESS)
                continue
            try:
                file = self.fs.open_meta(inode=number)
                is_right = int(file.info.meta.seq) == sequence and tsk.is_in_use(file.info.meta)
            except FAILURES:
                is_right = False
            if is_right:
                yield self.maker.record(file, path, folder)
            else:
                places = tuple(self.maker.layout.record_places(number))
                yield FileRecord(0, path, number, folder.address, FileKind.OTHER, metadata=places, obstacle=NO_RECORD)

    def _is_no_file(self, name: Any) -> bool:  # noqa: ANN401 - see above
        """Whether a name is that of the folder itself, or on FAT the volume's label: by its entry, not by the name."""
        if name is None or name.name in {b".", b"..", b"", None}:
            return True
        maker, view = self.maker, self.maker.view
        if "fat" not in maker.type or not name.name.endswith(_LABEL_MARK):
            return False
        start = next((place.start for place in maker.layout.record_places(int(name.meta_addr))), view.start)
        raw = view.read(start - view.start, 32)
        return raw[:1] in {b"\x83", b"\x03"} if maker.type == "exfat" else bool(raw[11:12] and raw[11] & 0x08)

    def _content(self, folder: FileRecord) -> bytes | None:
        """The entries of a folder as they are stored; None where not all can be read."""
        try:
            file = self.fs.open_meta(inode=folder.address)
            size = min(int(file.info.meta.size), _MOST_FOLDER)
            content = bytes(file.read_random(0, size)) if size else b""
        except FAILURES:
            return None
        return content if len(content) == size else b""

    def _is_damaged_folder(self, folder: FileRecord) -> bool:
        """Whether the reader leaves out a part of a folder without a word; known of ext and NTFS alone."""
        layout = self.maker.layout
        if not isinstance(layout, ExtLayout):
            return layout.is_damaged_folder(folder.address)
        if layout.flags_of(folder.address) & InodeFlag.INLINE:
            return False  # laid out in another way
        content = self._content(folder)
        return content is None or not is_whole_directory(content, layout.block)

    def is_part(self) -> bool:
        """See Walkable: something is lost, is past the end of the disk, or is read by a backup."""
        layout, view = self.maker.layout, self.maker.view
        is_by_backup = any(redirect.source is not None or redirect.content for redirect in view.redirects)
        is_cut = isinstance(layout, ExtLayout) and layout.end > view.size
        return bool(view.missed) or is_by_backup or is_cut

    def unreached(self, include: Include, seen: set[int], named: set[int]) -> Iterator[Item]:
        """See Walkable."""
        left = {one.address: one for one in self.maker.layout.left_unnamed(named) if one.address not in seen}
        folders = [one for one in left.values() if one.is_folder]
        above = {one.address: self._parent_of(one) for one in folders}
        tops = [one for one in folders if above[one.address] not in above or above[one.address] == one.address]
        for one in dict.fromkeys([*tops, *folders]):
            if one.address not in seen:
                folder = self._folder(f"/{UNREACHED}/{_name_of(one)}", one.address, parent=0)
                yield from below(self, folder, include, seen, named)
        files = [one for one in left.values() if not one.is_folder and one.address not in named]
        if files := [one for one in files if one.address not in self.avoid.files]:
            yield Begun(self._folder(f"/{UNREACHED}", 0, parent=0))
        for one in files:
            self.at(At(one.address))
            with contextlib.suppress(*FAILURES):
                yield self.maker.record(self.fs.open_meta(inode=one.address), f"/{UNREACHED}/{_name_of(one)}", None)

    def _parent_of(self, left: Left) -> int:
        """The folder above one: of NTFS its record says it, of ext its entries."""
        if left.name:
            return left.parent
        address = left.address
        self.at(At(address))
        try:
            names = ((file.info.name.name, int(file.info.name.meta_addr)) for file in self.fs.open_dir(inode=address))
            return next((number for name, number in names if name == b".."), 0)
        except FAILURES:
            return 0

    def _folder(self, path: str, address: int, parent: int) -> FileRecord:
        """A folder of which nothing is known but its address."""
        places = tuple(self.maker.layout.record_places(address))
        return FileRecord(volume=0, path=path, address=address, parent=parent,
                          kind=FileKind.DIRECTORY, metadata=places)  # fmt: skip


def _name_of(left: Left) -> str:
    """What is made up for a file that no folder names; its own name behind it, where its record has one."""
    name = left.name.translate(_NO_SLASHES)
    return f"inode-{left.address}{'-' if name else ''}{name}"
