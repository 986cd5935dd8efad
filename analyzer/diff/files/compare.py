"""What differs between two files that are one: what is known of them, and what they hold; and the record of that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

import numpy as np

from analyzer.diff.ranges import UNIT, differing_units
from analyzer.guest.filesystems.content import Content
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.record import Extent, FileKind, FileRecord, Packing, Stream
from analyzer.guest.filesystems.volume import Volume
from vhdx.ranges import Range, Ranges

_PIECE = 1 << 20
# JSON is for programs; a file that was rewritten throughout would have a million ranges.
_MOST_RANGES = 1000


class What(Enum):
    """What became of a file; where several hold, the first."""

    CREATED = "created"
    DELETED = "deleted"
    REPLACED = "replaced"
    """Another file has its name now."""
    RENAMED = "renamed"
    """It has another name, or is in another folder."""
    CHANGED = "changed"
    """It holds something else."""
    UNKNOWN = "unknown"
    """Whether it holds something else, or whether it is there, is not known in one of the states."""
    METADATA = "metadata"
    """What it holds is the same: its times, its mode or the like are not."""


class Data(Enum):
    """Whether a file holds the same."""

    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    """It cannot be known: it is lost in one of the states, or stored in a way that is not read."""


@dataclass(slots=True)
class Difference:
    """The data of a file that differs.

    `ranges` are (offset, length) in bytes of the file, in units of 512 that differ: of its data where both states have
    some, and as far as it is known in both.
    """

    data: Data | None = Data.SAME
    """None where there are no two files to compare: one of them is not there, or a folder or a link that is known."""
    ranges: list[Range] = field(default_factory=list)
    range_count: int = 0
    """How many ranges there are: at most 1000 are listed."""
    changed_bytes: int = 0
    streams: tuple[str, ...] = ()
    """Names of the alternate streams that differ, that are new, or gone; `ranges` say nothing of them."""

    @property
    def kind(self) -> What | None:
        """What became of what the file holds; None where that is the same.

        A part of it that is not known makes no change, and takes none away that is known.
        """
        if self.data is Data.CHANGED or self.changed_bytes or self.streams:
            return What.CHANGED
        return What.UNKNOWN if self.data is Data.UNKNOWN else None

    def add(self, part: Range) -> None:
        """A range that follows those that are there; one that touches the last is joined to it."""
        if part.length <= 0:
            return
        self.data, self.changed_bytes = Data.CHANGED, self.changed_bytes + part.length
        if self.ranges and self.ranges[-1].end == part.start:
            self.ranges[-1] = Range.between(self.ranges[-1].start, part.end)
            return
        self.range_count += 1
        if len(self.ranges) < _MOST_RANGES:
            self.ranges.append(part)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file that differs. `old` is None for one that was created, `new` for one that was deleted, or not found.

    `fields` are the names of what else than the data is not the same.
    """

    what: What
    old: FileRecord | None
    new: FileRecord | None
    difference: Difference = field(default_factory=lambda: Difference(None))
    fields: tuple[str, ...] = ()

    @property
    def record(self) -> FileRecord:
        """The file, as it is now; as it was where it is gone."""
        found = self.new or self.old
        if found is None:
            raise ValueError("a change of no file")
        return found


def fields_that_differ(old: FileRecord, new: FileRecord) -> tuple[str, ...]:
    """Names of what is known of a file and differs. Of a folder times do not count: what is in it changes them."""
    are_folders = new.kind is FileKind.DIRECTORY and old.kind is FileKind.DIRECTORY
    names = ("kind", "mode", "owner", "group", "target", *(() if are_folders else ("size", "links")))
    found = [name for name in names if getattr(old, name) != getattr(new, name)]
    if are_folders:
        return tuple(found)
    times = ("modified", "accessed", "changed", "created")
    found += [name for name in times if getattr(old.times, name) != getattr(new.times, name)]
    if [stream.name for stream in old.streams] != [stream.name for stream in new.streams]:
        found.append("streams")
    return tuple(found)


class Comparer:
    """Compares what files hold in two volumes, where the disk changed in `changed`."""

    def __init__(self, old: Volume, new: Volume, changed: Ranges) -> None:
        self._old, self._new, self._changed = old, new, changed

    def difference(self, old: FileRecord, new: FileRecord) -> Difference:
        """The data of a file that differs, and the alternate streams that do."""
        found = self._of_streams(old, new, old.data, new.data)
        states = self._of_alternates(old, new)
        found.streams = tuple(name for name, data in states.items() if data is Data.CHANGED)
        if found.data is Data.SAME:
            found.data = next((data for data in (Data.CHANGED, Data.UNKNOWN) if data in states.values()), Data.SAME)
        return found

    def _of_alternates(self, old: FileRecord, new: FileRecord) -> dict[str, Data | None]:
        before, after = ({stream.name: stream for stream in record.streams} for record in (old, new))
        # A stream that one state alone has is known to differ only where all of the other's record is known.
        others = {name: new if name in before else old for name in sorted(before.keys() ^ after.keys())}
        alone = {name: Data.UNKNOWN if other.obstacle else Data.CHANGED for name, other in others.items()}
        common = [name for name in after if name in before]
        return alone | {name: self._of_streams(old, new, before[name], after[name]).data for name in common}

    def _of_streams(self, old: FileRecord, new: FileRecord, before: Stream | None, after: Stream | None) -> Difference:
        found = Difference()
        if before is None or after is None:
            # One holds nothing, or nothing is known of what it holds.
            if any(stream is None and record.obstacle for record, stream in ((old, before), (new, after))):
                return Difference(Data.UNKNOWN)
            found.add(Range(0, max(stream.size if stream else 0 for stream in (before, after))))
            return found
        candidates = self._candidates(old, new, before, after)
        if not candidates and before.size == after.size:
            return found
        try:
            contents = Content(self._old, old, before), Content(self._new, new, after)
            is_whole = self._compare(contents, candidates, found)
        except UnreadableFileError:
            is_whole = False
        if old.is_known and new.is_known:
            shorter, longer = sorted((before.size, after.size))
            found.add(Range.between(shorter, longer))
        if not is_whole:  # more of the data may differ, and nobody knows
            found.data = Data.UNKNOWN
        return found

    def _candidates(self, old: FileRecord, new: FileRecord, before: Stream, after: Stream) -> list[Range]:
        """The ranges of the file that may differ, as far as both go: where it is elsewhere, all of it."""
        whole = [Range(0, min(before.size, after.size))] if min(before.size, after.size) else []
        plain = before.packing is Packing.PLAIN and after.packing is Packing.PLAIN
        # Packed data, and what is in a record of its own, has no place on the disk for each range of the file.
        if before.resident or after.resident or not plain:
            untouched = before == after and not self._changed.touches_any((*new.metadata, *new.content))
            return [] if untouched else whole
        common = min(before.size, after.size)
        places = _upto(before.extents, common)
        if places != _upto(after.extents, common) or not self._reads_alike(old, new):
            return whole
        return [
            Range(extent.offset + part.start - extent.start, part.length)
            for extent in places
            for part in self._changed.within(extent.on_disk)
        ]

    def _reads_alike(self, old: FileRecord, new: FileRecord) -> bool:
        """Whether both read as far into their places: past a point NTFS gives zeros, whatever is there."""
        if self._old.record.type != "ntfs" or self._new.record.type != "ntfs":
            return True
        if not self._changed.touches_any(new.metadata):
            return True
        reach = self._old.initialized(old), self._new.initialized(new)
        ends_with_it = reach == (old.size, new.size)
        return ends_with_it or (reach[0] is not None and reach[0] == reach[1])

    def _compare(self, contents: tuple[Content, Content], candidates: Iterable[Range], found: Difference) -> bool:
        """Add what differs; returns whether all of it is known in both states."""
        is_whole = True
        size = min(content.size for content in contents)
        # Whole units, as far as the file goes.
        rounded = Ranges.of(
            Range.between(part.start // UNIT * UNIT, min(size, -(-part.end // UNIT) * UNIT)) for part in candidates
        )
        for offset, length in chain.from_iterable(part.pieces(_PIECE) for part in rounded):
            for content in contents:
                content.lost = 0
            old, new = (np.frombuffer(content.read(offset, length), np.uint8) for content in contents)
            if any(content.lost for content in contents):
                is_whole = False
                continue
            for units in Ranges.where(differing_units(old, new)):
                start, end = units.start * UNIT, min(units.end * UNIT, length)
                found.add(Range(offset + start, end - start))
        return is_whole


def _upto(extents: Sequence[Extent], size: int) -> list[Extent]:
    """The extents as far as byte `size` of the file."""
    return [e._replace(length=min(e.length, size - e.offset)) for e in extents if e.offset < size]
