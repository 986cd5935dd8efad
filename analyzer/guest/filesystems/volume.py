"""Volumes: the walk over their folders, the way to one file, and what files hold, as the reader's process tells it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple

from analyzer.guest.filesystems.errors import NoSuchFileError, UnreadableFileError, UnreadableVolumeError
from analyzer.guest.filesystems.opened import NOTHING_AVOIDED, At, Avoid
from analyzer.guest.filesystems.plain.model import Plain
from analyzer.guest.filesystems.plain.opening import plain_volume
from analyzer.guest.filesystems.reader_process import ReaderEndedError, ReaderProcess
from analyzer.guest.filesystems.record import (
    NO_RECORD,
    UNREACHED,
    FileKind,
    FileRecord,
    FileState,
    Include,
    Stream,
    Trouble,
    UnixDetails,
    VolumeRecord,
)
from analyzer.guest.filesystems.rows import NonsenseError, details_of, maker_for
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.filesystems.walk import Begun, Item, Said, walk
from analyzer.guest.layouts.detect import recognise
from analyzer.guest.layouts.ntfs_index import NamedRecord
from analyzer.guest.layouts.partitions import Partition
from vhdx.ranges import GrowingRanges, Range

# What cannot be read is listed for people; a destroyed $MFT has a million of them.
_MOST_TROUBLES = 1000
# Processes that one volume may end: each takes some seconds, and as long again as it took to come so far.
_MOST_ENDS = 8
_AT_ONCE = 256  # files that are told together


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """A folder, and what is in it, to be taken once."""

    record: FileRecord
    entries: Iterator[FileRecord]


class Facts(NamedTuple):
    """What is known of a volume that can be read."""

    size: int
    """Bytes of it that the disk has."""
    block: int
    """Bytes that runs of its files are counted in."""
    identity: bytes
    """What it keeps from being made to being made anew."""


@dataclass(slots=True, eq=False)
class Volume:
    """A volume. Where `record.reason` is set nothing can be listed. `troubles` grows while it is walked."""

    record: VolumeRecord
    facts: Facts | None
    part: Partition
    reader: ReaderProcess
    missed: GrowingRanges = field(default_factory=GrowingRanges)
    """The ranges of the disk that were asked for and are lost."""
    troubles: list[Trouble] = field(default_factory=list)
    unlisted: int = 0
    """Troubles that are only counted."""
    ends: int = 0
    """Processes that reading it has ended."""
    avoid: Avoid = NOTHING_AVOIDED
    plain: Plain | None = None
    """Where this process reads what is plain itself."""
    is_part: bool = False
    """The other process missed something of it."""

    @property
    def is_readable(self) -> bool:
        """Whether its files can be listed."""
        return self.facts is not None

    def require_readable(self) -> Facts:
        """What is known of it; raises UnreadableVolumeError where files cannot be listed."""
        if self.facts is None:
            raise UnreadableVolumeError(self.record.number, self.record.reason or "nothing is known of it")
        return self.facts

    def root(self) -> FileRecord:
        """The topmost folder; raises UnreadableVolumeError."""
        if self.plain and (plain := self.plain.root()):
            return plain
        found = next(self._records(self._items("root")), None)
        return found or FileRecord(volume=self.record.number, path="", address=0, parent=0, kind=FileKind.DIRECTORY)

    def walk(self, include: Include = Include.PRESENT, top: FileRecord | None = None) -> Iterator[FileRecord]:
        """Every file below a folder, the folder itself left out; see `folders`."""
        return self._records(self._walked(include, top))

    def folders(self, include: Include = Include.PRESENT, top: FileRecord | None = None) -> Iterator[Folder]:
        """Every folder from `top` (the root) down, each once, with what is in it.

        The entries of one must be taken before the next is asked for. What cannot be read goes to `troubles`. Raises
        UnreadableVolumeError.
        """
        items, following = self._walked(include, top), list[Begun]()
        for _ in self._records(_until_begun(items, following)):
            pass
        while following:
            begun = following.pop()
            yield Folder(begun.record, self._records(_until_begun(items, following)))

    def unnamed(self) -> Iterator[FileRecord]:
        """The file system's own files that no folder names: the journal of ext. Raises UnreadableVolumeError."""
        return self._records(self._items("unnamed"))

    def entries(self, folder: FileRecord, include: Include = Include.PRESENT) -> Iterator[FileRecord]:
        """What is in one folder, in the order of the file system."""
        return self._records(self._entries(include, folder))

    def find(self, path: str, include: Include = Include.PRESENT) -> FileRecord:
        """The file at a path, with either kind of slash; on NTFS and FAT whatever the case of its letters.

        Raises NoSuchFileError, UnreadableVolumeError.
        """
        record, is_ext = self.root(), self.record.type.startswith("ext")
        if path.strip("/").startswith(UNREACHED):
            return self._unreached(path, include)
        for part in (path if is_ext else path.replace("\\", "/")).split("/"):
            if part in {"", "."}:
                continue
            found = self._in(record, part, include) if record.kind is FileKind.DIRECTORY else None
            if found is None:
                raise NoSuchFileError(self.record.number, path)
            record = found
        return record

    def _unreached(self, path: str, include: Include) -> FileRecord:
        """What is at a path that no folder of the volume has, as the walk gives it."""
        wanted = f"/{path.strip('/')}"
        for folder in self.folders(include):
            found = (record for record in (folder.record, *folder.entries) if record.path == wanted)
            if record := next(found, None):
                return record
        raise NoSuchFileError(self.record.number, path)

    def read(self, record: FileRecord, stream: Stream, part: Range) -> bytes:
        """Bytes of a file's stream, fewer where it ends; raises UnreadableFileError."""
        try:
            found = self._single("read", record.address, *part, stream.type, stream.id)
        except ReaderEndedError as error:
            found = f"the reader of file systems {error}"
        if isinstance(found, bytes):
            return found
        raise UnreadableFileError(record.path, f"it cannot be read ({found})")

    def read_place(self, place: Range) -> bytes:
        """Bytes of the disk, zeros for what is lost, which is noted; all of it lies in the disk."""
        data, missed = self.reader.disk.read_best_effort(*place)
        for part in missed:
            self.missed.add(part)
        return data

    def initialized(self, record: FileRecord) -> int | None:
        """How far the data of a file of NTFS was ever written; None where that is not known."""
        try:
            found = self._single("initialized", record.address)
        except ReaderEndedError:
            return None
        return found if isinstance(found, int) else None

    def details(self, record: FileRecord) -> UnixDetails | None:
        """What a file's inode says beside its record; None where there is none, or it cannot be read."""
        try:
            found = self._single("details", record.address)
            return None if found is None else details_of(found)
        except (ReaderEndedError, NonsenseError):
            return None

    def trouble(self, path: str, text: str) -> None:
        """Note what could not be read."""
        if len(self.troubles) < _MOST_TROUBLES:
            self.troubles.append(Trouble(self.record.number, path, text))
        else:
            self.unlisted += 1

    def _in(self, folder: FileRecord, name: str, include: Include) -> FileRecord | None:
        """The entry of that name: one that is there before one that is deleted, the same case before another."""
        folds = not self.record.type.startswith("ext")
        best: tuple[int, FileRecord] | None = None
        for record in self.entries(folder, include):
            if record.name != name and not (folds and record.name.casefold() == name.casefold()):
                continue
            rank = 2 * (record.state is not FileState.ALLOCATED) + (record.name != name)
            if best is None or rank < best[0]:
                best = rank, record
        return best[1] if best else None

    def _records(self, items: Iterable[Item]) -> Iterator[FileRecord]:
        """The files among items; what is said of them goes to `troubles`."""
        for item in items:
            if isinstance(item, FileRecord):
                yield item
            elif isinstance(item, Said):
                self.trouble(*item)

    def _walked(self, include: Include, top: FileRecord | None) -> Iterator[Item]:
        is_plain = self.plain is not None and include is Include.PRESENT
        is_doubtful = self.reader.disk.doubtful.touches(Range.between(self.part.start, self.part.end))
        if is_plain:
            return walk(_Mixed(self), include, top, is_torn=is_doubtful)
        return self._items("folders_in_doubt" if is_doubtful else "folders", include, top)

    def _entries(self, include: Include, folder: FileRecord) -> Iterator[Item]:
        """What is in a folder: what is plain is read here, of the rest the other process is asked."""
        plain = self.plain.entries(folder) if self.plain and include is Include.PRESENT else None
        if plain is None:
            yield from self._items("entries", include, folder)
            return
        while found := list(islice(plain, _AT_ONCE)):
            odd = [file for file in found if not isinstance(file, FileRecord)]
            asked = self._items("each", folder, odd) if odd else iter(())
            for file in found:
                yield from (file,) if isinstance(file, FileRecord) else _answer(asked, file, folder)
            yield from asked

    def _items(self, name: str, *arguments: object) -> Iterator[Item]:
        """What a question brings, whatever ends meanwhile: each time what led to it is gone around, and told."""
        self.require_readable()
        passed, inside, is_done = 0, 0, False
        while not is_done:
            try:
                for rows in self._ask("items", name, *arguments, passed=passed):
                    made = maker_for(rows)
                    for row in rows:
                        item, passed = made(row, self.record.number), passed + 1
                        inside = 0 if isinstance(item, Begun) else inside + isinstance(item, FileRecord)
                        yield item
                is_done = True
            except NonsenseError:
                passed += 1
                yield Said("", "what the reader of file systems says of a file cannot be so")
            except ReaderEndedError as error:
                self.avoid = self.avoid.around(error.at, inside) if error.was_asked else self.avoid
                if error.was_asked and (self.ends > _MOST_ENDS or not error.at.address):
                    yield Said("", f"what else there is cannot be listed: the reader of file systems {error}")
                    return

    def _single(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - of the kind that the question is for
        """The one value that a question brings; raises ReaderEndedError."""
        if self.ends > _MOST_ENDS:
            raise ReaderEndedError("has ended too often", At(), was_asked=False)
        return next(chain.from_iterable(self._ask(name, *arguments)), None)

    def _ask(self, name: str, *arguments: object, passed: int = 0) -> Iterator[list[Any]]:
        """Values that answer a question, some at a time; raises ReaderEndedError."""
        try:
            for values, missed in self.reader.ask((self.part, self.avoid, passed, name, arguments)):
                self.is_part = self.is_part or bool(missed)
                for start, length in missed:
                    self.missed.add(Range(start, length))
                yield values
        except ReaderEndedError as error:
            self.ends += error.was_asked
            raise


@dataclass(frozen=True, slots=True)
class _Mixed:
    """A volume of which this process reads what is plain, as Walkable."""

    volume: Volume

    def root(self) -> Iterator[Item]:
        """See Walkable."""
        yield self.volume.root()

    def entries(self, include: Include, folder: FileRecord) -> Iterator[Item]:
        """See Walkable."""
        return self.volume._entries(include, folder)  # noqa: SLF001 - of this module

    def is_part(self) -> bool:
        """See Walkable."""
        return self.volume.is_part or bool(self.volume.plain and self.volume.plain.view.missed)

    def unreached(self, include: Include, seen: set[int], named: set[int]) -> Iterator[Item]:
        """See Walkable."""
        return self.volume._items("unreached", include, seen, named)  # noqa: SLF001 - of this module


def open_volume(reader: ReaderProcess, number: int, part: Partition, notes: tuple[str, ...] = ()) -> Volume:
    """The volume in a partition, whether or not it can be read."""
    record = VolumeRecord(
        number=number, start=part.start, length=part.end - part.start, type="unknown", label=part.name,
        table=part.scheme.value, notes=notes,
        beneath=part.is_beneath,
    )  # fmt: skip
    volume = Volume(record, None, part, reader)
    if plain := plain_volume(reader.disk, part, number):
        volume.plain, known = plain
    else:
        known = _asked(volume)
    told: dict[str, Any] = {name: known.get(name) for name in ("type", "label", "reason")}
    volume.record = replace(record, **told, notes=(*notes, *known["notes"]))
    volume.facts = None if known.get("reason") else Facts(known["size"], known["block"], known["identity"])
    return volume


def _asked(volume: Volume) -> dict[str, Any]:
    """What the other process says of a volume, by names of VolumeRecord and Facts."""
    reader, part = volume.reader, volume.part
    try:
        known: dict[str, Any] = volume._single("open")  # noqa: SLF001 - a volume in the making
    except ReaderEndedError as error:
        kind = recognise(View(reader.disk, part.start, part.end - part.start).read).type
        return {"type": kind, "label": part.name, "notes": (), "reason": f"the reader of file systems {error}"}
    return known


def _answer(items: Iterator[Item], asked: NamedRecord, folder: FileRecord) -> Iterator[Item]:
    """The items up to the next file, and that; where nothing more is told, the name alone."""
    for item in items:
        yield item
        if isinstance(item, FileRecord):
            return
    path = f"{folder.path}/{asked.name}"
    yield FileRecord(folder.volume, path, asked.number, folder.address, FileKind.OTHER, obstacle=NO_RECORD)


def _until_begun(items: Iterator[Item], following: list[Begun]) -> Iterator[Item]:
    """The items up to the next folder, which goes to `following`."""
    for item in items:
        if isinstance(item, Begun):
            following.append(item)
            return
        yield item
