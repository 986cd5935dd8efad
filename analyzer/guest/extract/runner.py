"""One walk over what was asked for: each file is written, or it is told why not."""

import os
from collections.abc import Iterator

from analyzer.guest.extract.model import DELETED, Extraction, Form, Kept, Lost, Named, Outcome, Told
from analyzer.guest.extract.names import Names, safe_name
from analyzer.guest.extract.target import Destination, ExistsError, Parts
from analyzer.guest.filesystems.content import Content, Piece
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.record import UNREACHED, FileKind, FileRecord, FileState, Role, Stream
from analyzer.progress import Progress
from vhdx.errors import FileSystemFullError, OutputError

# Bytes of a path below the target: longer ones most programs cannot name.
_MOST_PATH = 4000
SPECIAL = "it is a device, a pipe or a socket"
GONE = "it is deleted in the disk, and holds what now stands in its place"


def doubt_of(plan: Extraction, record: FileRecord) -> str | None:
    """What is to be said of a file whose data, or record, is in the disk's stale places."""
    is_stale = bool(plan.stale) and plan.stale.touches_any((*record.content, *record.metadata))
    return "it is in doubt: older, rebuilt without proof, or at odds with its place" if is_stale else None


def checked(content: Content, lost: Lost, path: str) -> Iterator[Piece]:
    """The pieces of a file, from its first on; raises UnreadableFileError where some is lost that may not be."""
    pieces, content.lost = content.pieces(), 0
    while True:
        piece = next(pieces, None)
        if content.lost and lost is Lost.LEAVE_OUT:  # also where all of it is, and there is no piece
            raise UnreadableFileError(path, "some of it is lost; --partial writes what there is, with zeros elsewhere")
        if piece is None:
            return
        yield piece


class Runner:
    """Writes, and keeps account."""

    def __init__(self, plan: Extraction, target: Destination, progress: Progress) -> None:
        self._plan, self._target, self._progress = plan, target, progress
        self._places: dict[int, Parts] = {}
        self._folders: list[tuple[Parts, Kept]] = []
        self._several: dict[int, Parts] = {}
        """Where files were written that have several names."""
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Take everything that was asked for."""
        names = self._target.names()
        try:
            for named in self._plan.named:
                self.take(named, names)
        except FileSystemFullError as error:
            if self._plan.form is Form.TAR:  # a part of an archive is none
                raise
            self.outcome.ended = error
        # At the end: what is written into a folder changes its times. The lowest first.
        for parts, kept in reversed(self._folders):
            self._target.finish_folder(parts, kept)
            self._note_attributes(kept.record)
        return self.outcome

    def take(self, named: Named, names: Names) -> None:
        """A file or folder that was asked for, and all that is below it. The root itself is the target."""
        record = named.record
        if record.kind is not FileKind.DIRECTORY:
            self._entry(record, (), names, named.stream)
            return
        if record.path:
            self._entry(record, (), names)
        else:
            self._places[record.address] = ()
        if record.address in self._places:
            self._tree(record)

    def _tree(self, top: FileRecord) -> None:
        for folder in self._plan.volume.folders(self._plan.include, top):
            parts, names = self._places.get(folder.record.address), self._target.names()
            if parts is None and folder.record.path.startswith(f"/{UNREACHED}"):
                parts = self._unreached(folder.record)
            for record in folder.entries:
                if parts is not None and (record.role is Role.USER or top.role is Role.SYSTEM):
                    self._entry(record, parts, names)

    def _unreached(self, folder: FileRecord) -> Parts | None:
        """Where the content of a folder is written that no folder has; None where it cannot be."""
        place = tuple(map(safe_name, folder.path.strip("/").split("/")))
        self._folder(folder, place)
        return self._places.get(folder.address)

    def _entry(self, record: FileRecord, parts: Parts, names: Names, stream: Stream | None = None) -> None:
        place = (*parts, names.give(_name(record, stream)))
        if len(os.fsencode("/".join(place))) >= _MOST_PATH:
            self._leave_out(record, "its path is too long")
        elif record.kind is FileKind.DIRECTORY:
            self._folder(record, place)
        elif record.kind is FileKind.FILE:
            self._file(record, place, names, stream)
        elif not self._made_without_content(record, place):
            if record.kind is FileKind.LINK:
                self.outcome.tell(self.outcome.links, Told(record.path, f"a link to {record.target}: it is not made"))
            else:
                self._leave_out(record, record.obstacle or SPECIAL)

    def _made_without_content(self, record: FileRecord, place: Parts) -> bool:
        """Make a link, a device or a pipe where such are kept; whether that is done, or what is wrong was told."""
        target = self._target.keeping
        if target is None or record.obstacle or record.state is not FileState.ALLOCATED:
            return False
        kept = self._kept(record)
        try:
            if record.kind is FileKind.LINK:
                is_made = bool(record.target) and target.make_link(place, kept)
                self.outcome.links_made += is_made
            else:
                is_made = target.make_special(place, kept)
                self.outcome.special_files += is_made
        except OutputError as error:
            self._refuse(record, error)
            return True
        if is_made:
            self._note_attributes(record)
            self._note_name(record, _name(record), place)
        return is_made

    def _note_attributes(self, record: FileRecord) -> None:
        refused, self._target.attributes_refused = self._target.attributes_refused, []
        for text in refused:
            told = Told(record.path, f"an extended attribute is not kept: {text}")
            self.outcome.tell(self.outcome.attributes_left, told)

    def _kept(self, record: FileRecord) -> Kept:
        """What is kept of a file; names of attributes that are not are told."""
        if self._target.keeping is None:
            return Kept(record)
        if record.target and self._plan.volume.record.type == "ntfs":
            record = record._replace(target=record.target.replace("\\", "/"))
        kept = Kept(record, self._plan.volume.details(record))
        for name in kept.details.unread if kept.details else ():
            self.outcome.tell(self.outcome.attributes_left, Told(record.path, f"the extended attribute {name} is lost"))
        return kept

    def _folder(self, record: FileRecord, place: Parts) -> None:
        if record.address in self._places:
            return  # the walk reports it
        kept = self._kept(record)
        try:
            self._target.make_folder(place, kept)
        except OutputError as error:
            self._refuse(record, error)
            return
        self._places[record.address] = place
        self._folders.append((place, kept))
        self.outcome.folders += 1
        self._note_name(record, _name(record), place)
        self._note_deleted(record, place)

    def _file(self, record: FileRecord, place: Parts, names: Names, stream: Stream | None) -> None:
        if self._is_further_name(record, place, stream):
            return
        try:
            content = self._content(record, stream or record.data)
            written = self._write(record, place, content, names)
        except UnreadableFileError as error:
            self._leave_out(record, error.reason)
        except OutputError as error:
            self._refuse(record, error)
        else:
            self._note_attributes(record)
            if record.links > 1 and written == place and stream is None and record.state is FileState.ALLOCATED:
                self._several[record.address] = place
            self.outcome.files += 1
            self.outcome.bytes += content.size if content else 0
            self.outcome.streams_left += len(record.streams) if stream is None else 0
            if written == place:
                self._note_name(record, _name(record, stream), place)
            self._note_deleted(record, written)
            if doubt := doubt_of(self._plan, record):
                self.outcome.tell(self.outcome.stale, Told(record.path, doubt))
        self._progress(1)

    def _is_further_name(self, record: FileRecord, place: Parts, stream: Stream | None) -> bool:
        """Whether a file was written under another of its names, and got this one as well."""
        earlier, target = self._several.get(record.address) if stream is None else None, self._target.keeping
        if target is None or earlier is None or record.state is not FileState.ALLOCATED:
            return False
        try:
            target.make_hard_link(place, earlier, Kept(record))
        except OutputError as error:
            self._refuse(record, error)
        else:
            self.outcome.hard_links += 1
            self._note_name(record, _name(record), place)
        self._progress(1)
        return True

    def _content(self, record: FileRecord, stream: Stream | None) -> Content | None:
        if stream is None and record.obstacle:
            raise UnreadableFileError(record.path, record.obstacle)
        return Content(self._plan.volume, record, stream) if stream else None

    def _write(self, record: FileRecord, place: Parts, content: Content | None, names: Names) -> Parts:
        """Write one file; returns where to, which is another place where it is a partial one."""
        kept = self._kept(record)
        if content is None:
            self._target.write(place, 0, lambda: iter(()), kept)
            return place
        try:
            self._target.write(place, content.size, lambda: checked(content, Lost.LEAVE_OUT, record.path), kept)
        except UnreadableFileError:
            if not content.lost or self._plan.lost is Lost.LEAVE_OUT:
                raise
            partial = (*place[:-1], names.give(f"{place[-1]}.partial"))
            self._target.write(partial, content.size, lambda: checked(content, Lost.PARTIAL, record.path), kept)
            told = Told(record.path, "zeros stand where it is lost", "/".join(partial), content.lost)
            self.outcome.tell(self.outcome.partial, told)
            return partial
        return place

    def _leave_out(self, record: FileRecord, reason: str) -> None:
        self.outcome.tell(self.outcome.left_out, Told(record.path, reason))

    def _refuse(self, record: FileRecord, error: OutputError) -> None:
        """Tell why a file is not written; raises the error where nothing that comes after it can be, either."""
        if isinstance(error, FileSystemFullError):
            self._leave_out(record, f"{error.reason}: neither it nor what comes after it was written")
            raise error
        is_taken = isinstance(error, ExistsError) or record.kind is FileKind.DIRECTORY
        self.outcome.tell(self.outcome.refused if is_taken else self.outcome.left_out, Told(record.path, error.reason))

    def _note_name(self, record: FileRecord, name: str, place: Parts) -> None:
        if place[-1] != name:
            self.outcome.tell(self.outcome.renamed, Told(record.path, "renamed", "/".join(place)))

    def _note_deleted(self, record: FileRecord, place: Parts) -> None:
        if record.state is not FileState.ALLOCATED:
            self.outcome.tell(self.outcome.deleted, Told(record.path, GONE, "/".join(place)))


def _name(record: FileRecord, stream: Stream | None = None) -> str:
    """The name to write it under, before it is made safe: that of a deleted one says so."""
    name = record.name if stream is None else f"{record.name}:{stream.name}"
    return name if record.state is FileState.ALLOCATED else f"{name}{DELETED}"
