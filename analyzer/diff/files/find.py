"""The files that differ, volume by volume."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate

from analyzer.diff.files.compare import Comparer, Data, Difference, FileChange, What, fields_that_differ
from analyzer.diff.files.match import Matched, match_by_identity, match_by_path, match_by_place, touched_entries
from analyzer.guest.filesystems.record import FileKind, FileRecord
from analyzer.guest.filesystems.volume import UNREACHED, Volume
from vhdx.ranges import Range, Ranges

_BY_PLACE = {"fat12", "fat16", "fat32", "exfat"}


@dataclass(slots=True)
class Finder:
    """Finds the files that differ between volumes of two states, where the disk changed in `changed`.

    Every change of the disk that files can show is found: what lies outside of `changed` reads the same in both. Memory
    grows with the files that a change touches. `counts` is complete when `changes` has ended.
    """

    old: list[Volume]
    new: list[Volume]
    changed: Ranges
    counts: dict[What, int] = field(default_factory=lambda: dict.fromkeys(What, 0))
    unread: list[str] = field(default_factory=list)
    """Changes in volumes that cannot be read: a sentence for each volume."""

    def changes(self) -> Iterator[FileChange]:
        """The files that differ; what reading raises of the disk itself is noted in the volumes' troubles."""
        before, after = ({volume.record.start: volume for volume in volumes} for volumes in (self.old, self.new))
        for start in sorted({*before, *after}):  # a volume is alone where the other state has none at its place
            for change in self._of_volume(before.get(start), after.get(start)):
                self.counts[change.what] += 1
                yield change

    @property
    def is_same(self) -> bool:
        """No file differs, and no change is where it cannot be looked into."""
        return not any(self.counts.values()) and not self.unread

    def _of_volume(self, old: Volume | None, new: Volume | None) -> Iterator[FileChange]:
        there = [volume for volume in (old, new) if volume is not None]
        if not self.changed.touches_any(Range(volume.record.start, volume.record.length) for volume in there):
            return
        for volume in there:
            if not volume.is_readable:
                text = f"volume {volume.record.number} changed, and cannot be looked into: {volume.record.reason}"
                self.unread.append(text)
        before = old if old is not None and old.is_readable else None
        after = new if new is not None and new.is_readable else None
        matched = _matched(before, after, self.changed)
        yield from _alone(matched, old, new)
        if before is not None and after is not None:
            yield from _together(matched, Comparer(before, after, self.changed))


def _alone(matched: Matched, old: Volume | None, new: Volume | None) -> Iterator[FileChange]:
    """The files that one state alone has; both volumes were walked."""
    is_hidden, was_hidden = _may_hide(new), _may_hide(old)
    for record in matched.gone:
        yield FileChange(what=What.UNKNOWN if is_hidden(record) else What.DELETED, old=record, new=None)
    for record in matched.come:
        unknown = was_hidden(record) or _is_unreached(record)
        yield FileChange(what=What.UNKNOWN if unknown else What.CREATED, old=None, new=record)


def _together(matched: Matched, comparer: Comparer) -> Iterator[FileChange]:
    """The files that both states have, and that are not the same in both."""
    for before, after in matched.followed:
        what = What.UNKNOWN if _is_of_one_record(before, after) else What.REPLACED
        yield _change(what, before, after, comparer)
    for before, after in matched.same:
        if matched.is_moved(before, after) and not (_is_unreached(before) or _is_unreached(after)):
            yield _change(What.RENAMED, before, after, comparer)
            continue
        change = _change(What.METADATA, before, after, comparer)
        found = change.difference.kind
        if found or change.fields:
            yield replace(change, what=found or What.METADATA)


def _matched(old: Volume | None, new: Volume | None, changed: Ranges) -> Matched:
    before = list(touched_entries(old, changed)) if old else []
    after = list(touched_entries(new, changed)) if new else []
    # A volume that was made anew numbers other files alike: only paths can be compared.
    if old is None or new is None or _identity(old) != _identity(new):
        return match_by_path(before, after)
    return match_by_place(before, after) if old.record.type in _BY_PLACE else match_by_identity(before, after)


def _identity(volume: Volume) -> tuple[str, bytes]:
    """What a volume keeps from being made to being made anew."""
    family = volume.record.type[:3] if volume.record.type.startswith(("ext", "fat")) else volume.record.type
    return family, bytes(volume.fs.info.fs_id)


def _change(what: What, old: FileRecord, new: FileRecord, comparer: Comparer) -> FileChange:
    is_known = old.is_known and new.is_known
    fields = fields_that_differ(old, new) if is_known else ()
    if new.kind is FileKind.FILE and old.kind is FileKind.FILE:
        found = comparer.difference(old, new)
    else:
        found = Difference(None if is_known else Data.UNKNOWN)
    return FileChange(what=what, old=old, new=new, difference=found, fields=fields)


def _may_hide(volume: Volume | None) -> Callable[[FileRecord], bool]:
    """Whether a volume that has been walked may have a file that was not found in it, for any file."""
    if volume is None:
        return lambda _record: False
    if not volume.is_readable or volume.unlisted:
        return lambda _record: bool(volume.view.missed)
    broken = {trouble.path for trouble in volume.troubles}
    # The folders above a path, down from the topmost one, whose path is empty.
    return lambda record: not broken.isdisjoint(accumulate(record.path.split("/")[:-1], "{}/{}".format))


def _is_of_one_record(old: FileRecord, new: FileRecord) -> bool:
    """Whether two names lead to the same record, and in one of the states nothing else is known of it."""
    return old.address == new.address and not (old.is_known and new.is_known)


def _is_unreached(record: FileRecord) -> bool:
    """Whether what leads to a file is lost: then nothing is known of its name and place."""
    return record.path.startswith(f"/{UNREACHED}/")
