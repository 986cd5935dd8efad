"""The files that differ, volume by volume, and which file of the old state is which of the new one.

On NTFS and ext a file has an identity: its record's number, and what changes from one use of that to the next. FAT and
exFAT have none: there a file is the one of the same name in the same folder, and else the one that begins in the same
cluster and has the same size and times.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from analyzer.diff.files.compare import Comparer, Data, Difference, FileChange, What, fields_that_differ
from analyzer.guest.filesystems.record import UNREACHED, FileKind, FileRecord, Role
from analyzer.guest.filesystems.volume import Volume
from vhdx.ranges import Range, Ranges

Key = Callable[[FileRecord], Hashable | None]
Pairs = list[tuple[FileRecord, FileRecord]]


@dataclass(slots=True)
class Matched:
    """Pairs of the same file, pairs of files that follow one another under one name, and those that have no partner."""

    same: Pairs = field(default_factory=list)
    followed: Pairs = field(default_factory=list)
    gone: list[FileRecord] = field(default_factory=list)
    come: list[FileRecord] = field(default_factory=list)
    folders: dict[int, int] = field(default_factory=dict)
    """Address of a folder in the old state to that in the new one, where it is another."""

    def is_moved(self, old: FileRecord, new: FileRecord) -> bool:
        """Whether a file has another name, or is in another folder; a folder's own new name moves nothing in it."""
        return old.name != new.name or self.folders.get(old.parent, old.parent) != new.parent


def touched_entries(volume: Volume, changed: Ranges) -> Iterator[FileRecord]:
    """The files of one state that a change touches, folders before what is in them; the file system's own left out.

    An entry of a folder that nothing touched, whose own record, tables and data nothing touched, is the same in both
    states: neither its name, nor what is known of it, nor what it holds can have changed. All others are matched.
    """
    for folder in volume.folders():
        all_of_it = changed.touches_any(folder.record.metadata)
        for record in folder.entries:
            if record.role is Role.USER and (all_of_it or changed.touches_any((*record.metadata, *record.content))):
                yield record


def match_by_identity(old: Sequence[FileRecord], new: Sequence[FileRecord]) -> Matched:
    """NTFS and ext; of several names of one file those that stayed are paired first."""
    matched = Matched()
    # Names that stayed first: of two hard links of one file, one may have gone, and the other must not be called
    # renamed.
    left_old, left_new = _pair(old, new, lambda r: (r.address, r.sequence, r.parent, r.name), matched.same)
    left_old, left_new = _pair(left_old, left_new, _identity, matched.same)
    matched.gone, matched.come = _pair(left_old, left_new, lambda r: r.path, matched.followed)
    return matched


def _identity(record: FileRecord) -> Hashable:
    """What stays with a file that is renamed. Some programs leave ext's generation at 0: then all must agree."""
    if record.sequence or _is_folder(record):
        return record.address, record.sequence
    return record.address, record.kind, record.size, record.times.modified


def match_by_place(old: Sequence[FileRecord], new: Sequence[FileRecord]) -> Matched:
    """FAT and exFAT; folders first, from the top down, for the files in one that moved are where they were."""
    matched = Matched()

    def before(record: FileRecord) -> Hashable:
        return matched.folders.get(record.parent, record.parent), record.name, record.kind

    def after(record: FileRecord) -> Hashable:
        return record.parent, record.name, record.kind

    left_old, left_new = _match_folders(old, new, matched, before, after)
    left_old, left_new = _pair(left_old, left_new, before, matched.same, after)
    matched.gone, matched.come = _pair(left_old, left_new, _beginning, matched.same)
    return matched


def _match_folders(
    old: Sequence[FileRecord], new: Sequence[FileRecord], matched: Matched, before: Key, after: Key
) -> tuple[list[FileRecord], list[FileRecord]]:
    by_name, by_place = {after(record): record for record in new if _is_folder(record)}, defaultdict(list)
    for record in by_name.values():
        by_place[_beginning(record)].append(record)
    taken: set[int] = set()
    for record in filter(_is_folder, old):
        others = [by_name.get(before(record)), *by_place[_beginning(record)]]
        found = next((other for other in others if other is not None and other.address not in taken), None)
        if found is not None:
            taken.add(found.address)
            matched.same.append((record, found))
            matched.folders[record.address] = found.address
    paired = {id(record) for pair in matched.same for record in pair}
    return [r for r in old if id(r) not in paired], [r for r in new if id(r) not in paired]


def _is_folder(record: FileRecord) -> bool:
    return record.kind is FileKind.DIRECTORY


def _beginning(record: FileRecord) -> Hashable | None:
    """What stays with a file of FAT that is renamed: where it begins, and what is known of it; None without a place.

    Clusters are given away again, so that a new file may begin where a deleted one did: size and times must agree, too.
    A folder has no size, and is modified by what happens in it.
    """
    places = record.content or record.metadata[1:]
    if not places:
        return None
    known = (record.kind, record.times.created)
    return (places[0][0], *known) if _is_folder(record) else (places[0][0], *known, record.times.modified, record.size)


def _pair(
    old: Iterable[FileRecord], new: Iterable[FileRecord], key: Key, into: Pairs, key_of_new: Key | None = None
) -> tuple[list[FileRecord], list[FileRecord]]:
    """Pair files of equal keys, in their order; returns those left over. A file whose key is None is never paired."""
    waiting: dict[Hashable, list[FileRecord]] = defaultdict(list)
    after = list(new)
    # The first of equal keys is to be paired first, and a list is popped from its end.
    for record in reversed(after):
        waiting[(key_of_new or key)(record)].append(record)
    waiting.pop(None, None)
    left, taken = [], set()
    for record in old:
        others = waiting.get(key(record))
        if others:
            partner = others.pop()
            into.append((record, partner))
            taken.add(id(partner))
        else:
            left.append(record)
    return left, [record for record in after if id(record) not in taken]


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
        before, after = (
            {volume.record.start: volume for volume in volumes if not volume.record.beneath}
            for volumes in (self.old, self.new)
        )
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
        # Two names of the same record, of which in one of the states nothing else is known, may be one file.
        is_same = before.address == after.address and not (before.is_known and after.is_known)
        yield _change(What.UNKNOWN if is_same else What.REPLACED, before, after, comparer)
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
    if old is None or new is None or _made_as(old) != _made_as(new):
        matched = Matched()
        matched.gone, matched.come = _pair(before, after, lambda r: r.path, matched.followed)
        return matched
    by_place = old.record.type in {"fat12", "fat16", "fat32", "exfat"}
    return match_by_place(before, after) if by_place else match_by_identity(before, after)


def _made_as(volume: Volume) -> tuple[str, bytes]:
    """What a volume keeps from being made to being made anew."""
    family = volume.record.type[:3] if volume.record.type.startswith(("ext", "fat")) else volume.record.type
    return family, volume.require_readable().identity


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
        return lambda _record: bool(volume.missed)
    broken = {trouble.path for trouble in volume.troubles}
    # The folders above a path, down from the topmost one, whose path is empty.
    return lambda record: not broken.isdisjoint(accumulate(record.path.split("/")[:-1], "{}/{}".format))


def _is_unreached(record: FileRecord) -> bool:
    """Whether what leads to a file is lost: then nothing is known of its name and place."""
    return record.path.startswith(f"/{UNREACHED}/")
