"""Which files may differ, and which file of the old state is which of the new one.

On NTFS and ext a file has an identity: its record's number, and what changes from one use of that to the next. FAT and
exFAT have none: there a file is the one of the same name in the same folder, and else the one that begins in the same
cluster and has the same size and times.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from analyzer.guest.filesystems.record import FileKind, FileRecord, Role
from analyzer.guest.filesystems.volume import Volume
from vhdx.ranges import Ranges

Key = Callable[[FileRecord], Hashable | None]


@dataclass(slots=True)
class Matched:
    """Pairs of the same file, pairs of files that follow one another under one name, and those that have no partner."""

    same: list[tuple[FileRecord, FileRecord]] = field(default_factory=list)
    followed: list[tuple[FileRecord, FileRecord]] = field(default_factory=list)
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


def match_by_path(old: Sequence[FileRecord], new: Sequence[FileRecord]) -> Matched:
    """Two volumes that have nothing to do with one another, but their place."""
    matched = Matched()
    matched.gone, matched.come = _pair(old, new, lambda r: r.path, matched.followed)
    return matched


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
    old: Iterable[FileRecord],
    new: Iterable[FileRecord],
    key: Key,
    into: list[tuple[FileRecord, FileRecord]],
    key_of_new: Key | None = None,
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
