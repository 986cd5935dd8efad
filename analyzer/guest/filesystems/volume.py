"""Volumes, opened: the walk over their folders, and the way to one file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from analyzer.guest.filesystems.errors import NoSuchFileError, UnreadableVolumeError
from analyzer.guest.filesystems.file_records import FAILURES, ORPHANS, Maker, sentence
from analyzer.guest.filesystems.metadata_places import ExtLayout
from analyzer.guest.filesystems.record import FileKind, FileRecord, FileState, Role, Trouble, VolumeRecord
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.ext_inodes import InodeFlag, is_whole_directory

# What cannot be read is listed for people; a destroyed $MFT has a million of them.
_MOST_TROUBLES = 1000
# No path can be so deep on any system; folders that contain one another are.
_MOST_DEPTH = 4096
# A folder of millions of names; a length that damage has made must not be read whole.
_MOST_FOLDER = 256 << 20
_LABEL_MARK = b" (Volume Label Entry)"  # which the reader puts behind the name of a label
UNREACHED = "$unreached"
"""Above folders that no path leads to, because what is above them is lost."""


class Include(Enum):
    """Which names a walk gives."""

    PRESENT = "present"
    DELETED = "deleted"
    """Those that are deleted too, where anything is left of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """A folder, and what is in it, to be taken once."""

    record: FileRecord
    entries: Iterator[FileRecord]


@dataclass(slots=True, eq=False)
class Volume:
    """A volume. Where `record.reason` is set nothing can be listed. `troubles` grows while it is walked."""

    record: VolumeRecord
    view: View
    image: Any = None
    fs: Any = None
    maker: Maker | None = None
    troubles: list[Trouble] = field(default_factory=list)
    unlisted: int = 0
    """Troubles that are only counted."""

    @property
    def is_readable(self) -> bool:
        """Whether its files can be listed."""
        return self.maker is not None

    def made(self) -> Maker:
        """What makes its records; raises UnreadableVolumeError where files cannot be listed."""
        if self.maker is None:
            raise UnreadableVolumeError(self.record.number, self.record.reason or "nothing is known of it")
        return self.maker

    def root(self) -> FileRecord:
        """The topmost folder; raises UnreadableVolumeError."""
        maker, address = self.made(), int(self.fs.info.root_inum)
        try:
            return maker.record(self.fs.open_meta(inode=address), "", None)
        except FAILURES as error:
            self.trouble("", f"the topmost folder cannot be read ({sentence(error)})")
            return self._folder("", address, parent=address)

    def walk(self, include: Include = Include.PRESENT, top: FileRecord | None = None) -> Iterator[FileRecord]:
        """Every file below a folder, the folder itself left out; see `folders`."""
        for folder in self.folders(include, top):
            yield from folder.entries

    def folders(self, include: Include = Include.PRESENT, top: FileRecord | None = None) -> Iterator[Folder]:
        """Every folder from `top` (the root) down, each once, with what is in it; memory grows with folders alone.

        The entries of one must be taken before the next is asked for. What cannot be read goes to `troubles`. Raises
        UnreadableVolumeError.
        """
        self.made()
        seen: set[int] = set()
        yield from self._below(top or self.root(), include, seen)
        if top is None and (self.view.missed or self.view.redirects):
            yield from self._unreached(include, seen)

    def unnamed(self) -> Iterator[FileRecord]:
        """The file system's own files that no folder names: the journal of ext. Raises UnreadableVolumeError."""
        maker = self.made()
        if not isinstance(maker.layout, ExtLayout):
            return
        for name, address in maker.layout.own_files():
            try:
                record = maker.record(self.fs.open_meta(inode=address), f"/{name}", None)
            except FAILURES as error:
                self.trouble(f"/{name}", f"the file system's own file cannot be read ({sentence(error)})")
            else:
                yield replace(record, role=Role.SYSTEM)

    def entries(self, folder: FileRecord, include: Include = Include.PRESENT) -> Iterator[FileRecord]:
        """What is in one folder, in the order of the file system."""
        maker = self.made()
        try:
            directory = self.fs.open_dir(inode=folder.address)
        except FAILURES as error:
            self.trouble(folder.path, f"the folder cannot be read ({sentence(error)})")
            return
        if maker.is_lost(folder.metadata):
            self.trouble(folder.path, "part of the folder is lost: names may be missing")
        elif self._is_damaged_folder(folder):
            self.trouble(folder.path, "part of the folder is damaged: names may be missing")
        for file in self._taken(directory, folder):
            name = file.info.name
            if name is None or name.name in {b".", b"..", b"", None} or self._is_label(maker, name):
                continue
            record = maker.record(file, folder.path, folder)
            if record.state is FileState.ALLOCATED or include is Include.DELETED:
                yield record

    def find(self, path: str, include: Include = Include.PRESENT) -> FileRecord:
        """The file at a path, with either kind of slash; on NTFS and FAT whatever the case of its letters.

        Raises NoSuchFileError, UnreadableVolumeError.
        """
        record = self.root()
        is_ext = isinstance(self.made().layout, ExtLayout)
        for part in (path if is_ext else path.replace("\\", "/")).split("/"):
            if part in {"", "."}:
                continue
            found = self._in(record, part, include) if record.kind is FileKind.DIRECTORY else None
            if found is None:
                raise NoSuchFileError(self.record.number, path)
            record = found
        return record

    def open(self, record: FileRecord) -> Any:  # noqa: ANN401 - the reader ships no types
        """The file for the reader; raises what the reader raises."""
        return self.fs.open_meta(inode=record.address)

    def trouble(self, path: str, text: str) -> None:
        """Note what could not be read."""
        if len(self.troubles) < _MOST_TROUBLES:
            self.troubles.append(Trouble(self.record.number, path, text))
        else:
            self.unlisted += 1

    def _in(self, folder: FileRecord, name: str, include: Include) -> FileRecord | None:
        """The entry of that name: one that is there before one that is deleted, the same case before another."""
        folds = not isinstance(self.made().layout, ExtLayout)
        best: tuple[int, FileRecord] | None = None
        for record in self.entries(folder, include):
            if record.name != name and not (folds and record.name.casefold() == name.casefold()):
                continue
            rank = 2 * (record.state is not FileState.ALLOCATED) + (record.name != name)
            if best is None or rank < best[0]:
                best = rank, record
        return best[1] if best else None

    def _below(self, top: FileRecord, include: Include, seen: set[int]) -> Iterator[Folder]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            if folder.address in seen:
                self.trouble(folder.path, "the folder is also elsewhere, or inside itself: it is listed once")
                continue
            seen.add(folder.address)
            below: list[FileRecord] = []
            yield Folder(folder, self._noting(self.entries(folder, include), below, include))
            waiting.extend(reversed(below))

    def _noting(self, entries: Iterable[FileRecord], below: list[FileRecord], include: Include) -> Iterator[FileRecord]:
        for record in entries:
            is_open = record.state is not FileState.OVERWRITTEN and record.obstacle is None
            if record.kind is FileKind.DIRECTORY and (is_open or record.state is FileState.ALLOCATED):
                if record.path.count("/") > _MOST_DEPTH:
                    self.trouble(record.path[:200], "folders are nested too deeply: what is below is not listed")
                elif record.path != ORPHANS or include is Include.DELETED:  # what is in it takes a look at all inodes
                    below.append(record)
            yield record

    def _taken(self, directory: Any, folder: FileRecord) -> Iterator[Any]:  # noqa: ANN401
        iterator = iter(directory)
        while True:
            try:
                yield next(iterator)
            except StopIteration:
                return
            except FAILURES as error:
                self.trouble(folder.path, f"the rest of the folder cannot be read ({sentence(error)})")
                return

    def _is_label(self, maker: Maker, name: Any) -> bool:  # noqa: ANN401
        """Whether a name of FAT is the volume's label: by its entry, for any file can be called like one."""
        if not (maker.type.startswith("fat") or maker.type == "exfat") or not name.name.endswith(_LABEL_MARK):
            return False
        for start, _ in maker.layout.record_places(int(name.meta_addr)):
            raw = self.view.read(start - self.view.start, 32)
            return raw[:1] in {b"\x83", b"\x03"} if maker.type == "exfat" else bool(raw[11:12] and raw[11] & 0x08)
        return False

    def _is_damaged_folder(self, folder: FileRecord) -> bool:
        """Whether the reader leaves out a part of a folder without a word; known of ext alone."""
        layout = self.made().layout
        if not isinstance(layout, ExtLayout) or layout.flags_of(folder.address) & InodeFlag.INLINE:
            return False  # laid out in another way
        try:
            file = self.fs.open_meta(inode=folder.address)
            size = min(int(file.info.meta.size), _MOST_FOLDER)
            content = file.read_random(0, size) if size else b""
        except FAILURES:
            return True
        return len(content) == size and not is_whole_directory(content, layout.block)

    def _unreached(self, include: Include, seen: set[int]) -> Iterator[Folder]:
        """Folders of ext that the walk did not come to: their inodes are there, what leads to them is lost."""
        layout = self.made().layout
        if not isinstance(layout, ExtLayout):
            return
        left = [address for address in layout.directories() if address not in seen]
        above = {address: self._parent_of(address) for address in left}
        tops = [address for address in left if above[address] not in above or above[address] == address]
        for address in dict.fromkeys([*tops, *left]):
            if address not in seen:
                folder = self._folder(f"/{UNREACHED}/inode-{address}", address, parent=0)
                yield from self._below(folder, include, seen)

    def _parent_of(self, address: int) -> int:
        try:
            names = ((file.info.name.name, int(file.info.name.meta_addr)) for file in self.fs.open_dir(inode=address))
            return next((number for name, number in names if name == b".."), 0)
        except FAILURES:
            return 0

    def _folder(self, path: str, address: int, parent: int) -> FileRecord:
        """A folder of which nothing is known but its address."""
        places = tuple(self.made().layout.record_places(address))
        number = self.record.number
        return FileRecord(
            volume=number, path=path, address=address, parent=parent, kind=FileKind.DIRECTORY, metadata=places
        )
