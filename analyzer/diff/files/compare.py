"""What differs between two files that are one: what is known of them, and what they hold."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from analyzer.diff.by_content import UNIT, differing_units
from analyzer.diff.files.model import Data
from analyzer.guest.filesystems.content import Content
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.metadata_places import NtfsLayout
from analyzer.guest.filesystems.record import Extent, FileKind, FileRecord, Packing, Stream
from analyzer.guest.filesystems.volume import Volume
from vhdx.ranges import Range, Ranges

_PIECE = 1 << 20
# JSON is for programs; a file that was rewritten throughout would have a million ranges.
_MOST_RANGES = 1000


@dataclass(slots=True)
class Difference:
    """What of the data differs: ranges of the file; of alternate streams their names."""

    data: Data = Data.SAME
    ranges: list[Range] = field(default_factory=list)
    range_count: int = 0
    changed_bytes: int = 0
    streams: tuple[str, ...] = ()

    def add(self, part: Range) -> None:
        """A range that follows those that are there; one that touches the last goes on with it."""
        if part.length <= 0:
            return
        self.data, self.changed_bytes = Data.CHANGED, self.changed_bytes + part.length
        if self.ranges and self.ranges[-1].end == part.start:
            self.ranges[-1] = Range.between(self.ranges[-1].start, part.end)
            return
        self.range_count += 1
        if len(self.ranges) < _MOST_RANGES:
            self.ranges.append(part)

    def in_doubt(self) -> Self:
        """The same, where more of the data may differ, and nobody knows."""
        self.data = Data.UNKNOWN
        return self


def fields_that_differ(old: FileRecord, new: FileRecord) -> tuple[str, ...]:
    """Names of what is known of a file and differs. Of a folder times do not count: what is in it changes them."""
    names = ["kind", "mode", "owner", "group", "target"]
    found = [name for name in names if getattr(old, name) != getattr(new, name)]
    if new.kind is FileKind.DIRECTORY and old.kind is FileKind.DIRECTORY:
        return tuple(found)
    found += [name for name in ("size", "links") if getattr(old, name) != getattr(new, name)]
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
        """What of the data of a file differs, and which of its alternate streams do."""
        found = self._of_streams(old, new, old.data, new.data)
        states = self._of_alternates(old, new)
        found.streams = tuple(name for name, data in states.items() if data is Data.CHANGED)
        if found.data is Data.SAME:
            found.data = next((data for data in (Data.CHANGED, Data.UNKNOWN) if data in states.values()), Data.SAME)
        return found

    def _of_alternates(self, old: FileRecord, new: FileRecord) -> dict[str, Data]:
        before, after = ({stream.name: stream for stream in record.streams} for record in (old, new))
        alone = {name: _of_lone(new if name in before else old) for name in sorted(before.keys() ^ after.keys())}
        common = [name for name in after if name in before]
        return alone | {name: self._of_streams(old, new, before[name], after[name]).data for name in common}

    def _of_streams(self, old: FileRecord, new: FileRecord, before: Stream | None, after: Stream | None) -> Difference:
        if before is None or after is None:
            return _of_nothing((old, before), (new, after))
        found, candidates = Difference(), self._candidates(old, new, before, after)
        if not candidates and before.size == after.size:
            return found
        try:
            is_whole = self._compare(
                (Content(self._old, old, before), Content(self._new, new, after)), candidates, found
            )
        except UnreadableFileError:
            is_whole = False
        if old.is_known and new.is_known:
            shorter, longer = sorted((before.size, after.size))
            found.add(Range.between(shorter, longer))
        return found if is_whole else found.in_doubt()

    def _candidates(self, old: FileRecord, new: FileRecord, before: Stream, after: Stream) -> list[Range]:
        """The ranges of the file that may differ, as far as both go: where it stands elsewhere, all of it."""
        whole = [Range(0, min(before.size, after.size))] if min(before.size, after.size) else []
        plain = before.packing is Packing.PLAIN and after.packing is Packing.PLAIN
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
        """Whether both read as far into their places: past a point NTFS gives zeros, whatever stands there."""
        before, after = self._old.made().layout, self._new.made().layout
        if not isinstance(before, NtfsLayout) or not isinstance(after, NtfsLayout):
            return True
        if not self._changed.touches_any(new.metadata):
            return True
        reach = before.initialized(old.address), after.initialized(new.address)
        ends_with_it = reach == (old.size, new.size)
        return ends_with_it or (reach[0] is not None and reach[0] == reach[1])

    def _compare(self, contents: tuple[Content, Content], candidates: Iterable[Range], found: Difference) -> bool:
        """Add what differs; returns whether all of it is known in both states."""
        is_whole = True
        for offset, length in _pieces(_rounded(candidates, min(content.size for content in contents))):
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


def _of_nothing(old: tuple[FileRecord, Stream | None], new: tuple[FileRecord, Stream | None]) -> Difference:
    """The difference to what a file that holds nothing has; not known where nothing is known of what it holds."""
    found = Difference()
    if any(stream is None and record.obstacle for record, stream in (old, new)):
        return found.in_doubt()
    found.add(Range(0, max(stream.size if stream else 0 for _, stream in (old, new))))
    return found


def _of_lone(other: FileRecord) -> Data:
    """What becomes of an alternate stream that the `other` state's record of the file has not."""
    return Data.UNKNOWN if other.obstacle else Data.CHANGED


def _upto(extents: Sequence[Extent], size: int) -> list[Extent]:
    """The extents as far as byte `size` of the file."""
    return [replace(e, length=min(e.length, size - e.offset)) for e in extents if e.offset < size]


def _rounded(candidates: Iterable[Range], size: int) -> Ranges:
    """The ranges in whole units, as far as the file goes."""
    return Ranges.of(
        Range.between(part.start // UNIT * UNIT, min(size, -(-part.end // UNIT) * UNIT)) for part in candidates
    )


def _pieces(ranges: Iterable[Range]) -> Iterator[Range]:
    for part in ranges:
        for at in range(part.start, part.end, _PIECE):
            yield Range(at, min(_PIECE, part.end - at))
