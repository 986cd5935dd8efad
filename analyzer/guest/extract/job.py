"""Which files are taken, under which names, and what became of each."""

from collections.abc import Iterable, Iterator

from analyzer.guest.extract.model import DELETED, Extraction, Lost, Named, Outcome, Told
from analyzer.guest.extract.names import Names, safe_name
from analyzer.guest.extract.target import ExistsError, Parts, Target
from analyzer.guest.filesystems.content import Content, Piece
from analyzer.guest.filesystems.errors import NoSuchFileError, NotAFileError, UnreadableFileError
from analyzer.guest.filesystems.record import UNREACHED, FileKind, FileRecord, FileState, Include, Role, Stream
from analyzer.guest.filesystems.volume import Volume
from analyzer.progress import Progress, no_progress
from analyzer.text import plural
from vhdx.errors import FileSystemFullError, OutputError

# Bytes of a path below the target: longer ones most programs cannot name.
_MOST_PATH = 4000
_SPECIAL = "it is a device, a pipe or a socket"
GONE = "it is deleted in the disk, and holds what now stands in its place"


def named_in(volume: Volume, paths: Iterable[str], include: Include) -> tuple[Named, ...]:
    """What is at the paths in a volume; raises NoSuchFileError, UnreadableVolumeError."""
    return tuple(_named(volume, path, include) for path in paths)


def _named(volume: Volume, path: str, include: Include) -> Named:
    try:
        return Named(volume.find(path, include))
    except NoSuchFileError:
        head, colon, name = path.rpartition(":")
        if not colon or volume.record.type != "ntfs":
            raise
        record = volume.find(head, include)
        found = next((stream for stream in record.streams if stream.name.casefold() == name.casefold()), None)
        if found is None:
            raise
        return Named(record, found)


def run_extraction(plan: Extraction, progress: Progress = no_progress) -> Outcome:
    """Write everything; what cannot be is reported and left out. Raises OutputError for the target itself.

    Where the target's file system is full it ends: what comes later is not tried, whether or not it would fit.
    """
    with Target(plan.target, plan.existing, plan.sources) as target:
        runner = _Runner(plan, target, progress)
        names = Names()
        try:
            for named in plan.named:
                runner.take(named, names)
        except FileSystemFullError as error:
            runner.outcome.ended = error
        runner.set_folder_times()
    runner.outcome.troubles = tuple(plan.volume.troubles)
    return runner.outcome


def whole_content(plan: Extraction) -> Iterator[bytes]:
    """The one file that was asked for, for a pipe: holes are zeros. Raises UnreadableFileError, NotAFileError."""
    named = _single(plan)
    stream = named.stream or named.record.data
    if stream is None:
        if named.record.obstacle:
            raise UnreadableFileError(named.record.path, named.record.obstacle)
        return
    content, position = Content(plan.volume, named.record, stream), 0
    for piece in _checked(content, plan.lost, named.record.path):
        yield from _zeros(piece.offset - position)
        yield piece.data
        position = piece.offset + len(piece.data)
    yield from _zeros(content.size - position)
    if content.lost:
        lost = plural(content.lost, "byte", "was", "were")
        raise UnreadableFileError(named.record.path, f"of it {lost} lost, and written as zeros")


def _single(plan: Extraction) -> Named:
    named = plan.named[0]
    if len(plan.named) != 1:
        reason = f"it is one of {len(plan.named)}, and stdout takes a single file; write them to a folder, -o DIR"
        raise NotAFileError(named.record.path, reason)
    if named.record.kind is FileKind.DIRECTORY:
        reason = "it is a folder, and stdout takes a single file; write it to one, -o DIR"
        raise NotAFileError(named.record.path, reason)
    if named.record.kind is FileKind.LINK:
        raise NotAFileError(named.record.path, f"it is a link to {named.record.target}; name what that is")
    if named.record.kind is FileKind.OTHER:
        raise UnreadableFileError(named.record.path, named.record.obstacle or _SPECIAL)
    return named


def doubt_of(plan: Extraction, record: FileRecord) -> str | None:
    """What is to be said of a file whose data, or record, is in the disk's stale places."""
    is_stale = plan.stale.touches_any((*record.content, *record.metadata))
    return "it is in doubt: older, rebuilt without proof, or at odds with its place" if is_stale else None


def _zeros(count: int) -> Iterator[bytes]:
    for at in range(0, count, 1 << 20):
        yield bytes(min(1 << 20, count - at))


def _checked(content: Content, lost: Lost, path: str) -> Iterator[Piece]:
    pieces = content.pieces()
    while True:
        piece = next(pieces, None)
        if content.lost and lost is Lost.LEAVE_OUT:  # also where all of it is, and there is no piece
            raise UnreadableFileError(path, "some of it is lost; --partial writes what there is, with zeros elsewhere")
        if piece is None:
            return
        yield piece


class _Runner:
    """Writes, and keeps account."""

    def __init__(self, plan: Extraction, target: Target, progress: Progress) -> None:
        self._plan, self._target, self._progress = plan, target, progress
        self._places: dict[int, Parts] = {}
        self._times: list[tuple[Parts, FileRecord]] = []
        self.outcome = Outcome()

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

    def set_folder_times(self) -> None:
        """At the end: what is written into a folder changes its times. The lowest first."""
        for parts, record in reversed(self._times):
            self._target.set_folder_times(parts, record.times)

    def _tree(self, top: FileRecord) -> None:
        for folder in self._plan.volume.folders(self._plan.include, top):
            parts, names = self._places.get(folder.record.address), Names()
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
        if sum(len(part.encode()) + 1 for part in place) > _MOST_PATH:
            self._leave_out(record, "its path is too long")
        elif record.kind is FileKind.DIRECTORY:
            self._folder(record, place)
        elif record.kind is FileKind.LINK:
            self.outcome.tell(self.outcome.links, Told(record.path, f"a link to {record.target}: it is not made"))
        elif record.kind is FileKind.OTHER:
            self._leave_out(record, record.obstacle or _SPECIAL)
        else:
            self._file(record, place, names, stream)

    def _folder(self, record: FileRecord, place: Parts) -> None:
        if record.address in self._places:
            return  # the walk reports it
        try:
            self._target.make_folder(place)
        except OutputError as error:
            self._refuse(record, error, self.outcome.refused)
            return
        self._places[record.address] = place
        self._times.append((place, record))
        self.outcome.folders += 1
        self._note_name(record, _name(record), place)
        self._note_deleted(record, place)

    def _file(self, record: FileRecord, place: Parts, names: Names, stream: Stream | None) -> None:
        try:
            content = self._content(record, stream or record.data)
            written = self._write(record, place, content, names)
        except UnreadableFileError as error:
            self._leave_out(record, error.reason)
        except OutputError as error:
            into = self.outcome.refused if isinstance(error, ExistsError) else self.outcome.left_out
            self._refuse(record, error, into)
        else:
            self.outcome.files += 1
            self.outcome.bytes += content.size if content else 0
            self.outcome.streams_left += len(record.streams) if stream is None else 0
            if written == place:
                self._note_name(record, _name(record, stream), place)
            self._note_deleted(record, written)
            if doubt := doubt_of(self._plan, record):
                self.outcome.tell(self.outcome.stale, Told(record.path, doubt))
        self._progress(1)

    def _content(self, record: FileRecord, stream: Stream | None) -> Content | None:
        if stream is None and record.obstacle:
            raise UnreadableFileError(record.path, record.obstacle)
        return Content(self._plan.volume, record, stream) if stream else None

    def _write(self, record: FileRecord, place: Parts, content: Content | None, names: Names) -> Parts:
        """Write one file; returns where to, which is another place where it is a partial one."""
        if content is None:
            self._target.write(place, 0, (), record.times)
            return place
        try:
            self._target.write(place, content.size, _checked(content, Lost.LEAVE_OUT, record.path), record.times)
        except UnreadableFileError:
            if not content.lost or self._plan.lost is Lost.LEAVE_OUT:
                raise
            content.lost = 0
            partial = (*place[:-1], names.give(f"{place[-1]}.partial"))
            self._target.write(partial, content.size, content.pieces(), record.times)
            told = Told(record.path, "zeros stand where it is lost", "/".join(partial), content.lost)
            self.outcome.tell(self.outcome.partial, told)
            return partial
        return place

    def _leave_out(self, record: FileRecord, reason: str) -> None:
        self.outcome.tell(self.outcome.left_out, Told(record.path, reason))

    def _refuse(self, record: FileRecord, error: OutputError, into: list[Told]) -> None:
        """Tell why a file is not written; raises the error where nothing that comes after it can be, either."""
        if isinstance(error, FileSystemFullError):
            self._leave_out(record, f"{error.reason}: neither it nor what comes after it was written")
            raise error
        self.outcome.tell(into, Told(record.path, error.reason))

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
