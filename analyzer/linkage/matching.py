"""Who is whose parent: from records alone, no file is touched."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from uuid import UUID

from analyzer.linkage.mismatch import keeps_disk_id
from analyzer.linkage.record import Condition, FileRecord


class LinkState(Enum):
    """How a child hangs on its parent."""

    BY_PATH = "by path"
    """The parent is where the child says, and is the one."""
    BY_IDENTITY = "by identity"
    """The parent was renamed or moved; its identity says so."""
    MISMATCH = "mismatch"
    """A file of the same disk is there whose identity is not, or no longer, the one that the child names."""
    UNKNOWN = "unknown"
    """The file at the parent's place cannot be read, so nobody knows whether it is the one."""
    STRANGER = "stranger"
    """Another disk is at the parent's place. The child is not hung upon it."""
    LOOP = "loop"
    """The file is its own ancestor. The circle is cut here."""
    MISSING = "missing"
    """No file is the parent."""

    @property
    def holds(self) -> bool:
        """The parent's identity is the one that the child names."""
        return self in {LinkState.BY_PATH, LinkState.BY_IDENTITY}

    @property
    def joins(self) -> bool:
        """The child is shown above its parent."""
        return self.holds or self in {LinkState.MISMATCH, LinkState.UNKNOWN}

    @property
    def is_missing(self) -> bool:
        """The parent is not among the files: not there, or another disk in its place."""
        return self in {LinkState.MISSING, LinkState.STRANGER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A child's tie to its parent; `parent` is the file meant, None when it is missing."""

    state: LinkState
    parent: Path | None = None
    second_linkage: bool = False
    """Only parent_linkage2 matches."""
    was_it: bool = False
    """The parent's previous header has the identity that the child names: it was written to since."""


class _Index:
    """Records by everything that a child can name."""

    def __init__(self, records: Sequence[FileRecord]) -> None:
        self.by_identity: dict[UUID, list[FileRecord]] = defaultdict(list)
        self.by_previous: dict[UUID, list[FileRecord]] = defaultdict(list)
        self.by_file = {record.file_id: record for record in records if record.file_id is not None}
        self.by_path = {record.path: record for record in records}
        for record in records:
            if record.identity:
                self.by_identity[record.identity].append(record)
            if record.previous_identity:
                self.by_previous[record.previous_identity].append(record)

    def named(self, child: FileRecord) -> Iterator[FileRecord]:
        """The files that are where the child's paths point, in the locator's order."""
        for place in child.places:
            by_file = self.by_file.get(place.file_id) if place.file_id else None
            record = by_file or (self.by_path.get(place.path) if place.path else None)
            if record is not None:
                yield record


def link_all(records: Sequence[FileRecord]) -> dict[Path, Link]:
    """The link of every file that has a parent. The links that join files make up trees: circles are cut."""
    index = _Index(records)
    children = [record for record in records if record.has_parent]
    links = {child.path: link for child in children if (link := _at_path(child, index))}
    used = {link.parent for link in links.values()}
    links |= {c.path: link for c in children if c.path not in links and (link := _by_identity(c, index, used))}
    _cut_circles(links)
    for child in children:
        if child.path not in links:
            links[child.path] = _weak(child, index, links)
    return links


def _at_path(child: FileRecord, index: _Index) -> Link | None:
    """The link to a file that is where the child says, and is the one."""
    for named in index.named(child):
        if named.identity is not None and named.identity in child.linkages:
            second = named.identity != child.linkages[0]
            return Link(state=LinkState.BY_PATH, parent=named.path, second_linkage=second)
    return None


def _by_identity(child: FileRecord, index: _Index, used: Set[Path | None]) -> Link | None:
    """Of the files that are the parent: one of the same disk, that opens, beside the child, that others use."""
    for number, linkage in enumerate(child.linkages):
        matches = [record for record in index.by_identity.get(linkage, ()) if record is not child]
        if not matches and child.identity == linkage:
            return Link(state=LinkState.LOOP, parent=child.path)
        if matches:
            best = min(matches, key=lambda record: (*_distance(child, record), record.path not in used, record.path))
            return Link(state=LinkState.BY_IDENTITY, parent=best.path, second_linkage=number > 0)
    return None


def _distance(child: FileRecord, parent: FileRecord) -> tuple[bool, bool, bool]:
    unsound = parent.condition not in {Condition.WHOLE, Condition.LIVE}
    elsewhere = parent.path.parent != child.path.parent
    return parent.disk_id != child.disk_id, unsound, elsewhere


def _cut_circles(links: dict[Path, Link]) -> None:
    """Make one link of every circle a LOOP: that of the file whose path comes first."""
    done: set[Path] = set()
    for start in sorted(links):
        trail = list(_upwards(start, links, done))
        last = links.get(trail[-1]) if trail else None
        if last and last.state.joins and last.parent in trail:
            first = min(trail[trail.index(last.parent) :])
            links[first] = replace(links[first], state=LinkState.LOOP)
        done.update(trail)


def _weak(child: FileRecord, index: _Index, links: Mapping[Path, Link]) -> Link:
    """The link of a child whose parent's identity no file has."""
    named = [record for record in index.named(child) if record is not child]
    places = {record.path for record in named}
    by_previous = (record for linkage in child.linkages for record in index.by_previous.get(linkage, ()))
    former = [record for record in by_previous if record is not child]
    for record in sorted(former, key=lambda one: (one.path not in places, *_distance(child, one), one.path)):
        if child.path not in _upwards(record.path, links):  # else a circle would close
            return Link(state=LinkState.MISMATCH, parent=record.path, was_it=True)
    for record in named:
        if child.path not in _upwards(record.path, links):
            differs = None not in {child.disk_id, record.disk_id} and child.disk_id != record.disk_id
            state = LinkState.STRANGER if differs and keeps_disk_id(child.creator) else LinkState.MISMATCH
            is_unknown = record.identity is None and record.condition is Condition.UNREADABLE
            return Link(state=LinkState.UNKNOWN if is_unknown else state, parent=record.path)
    return Link(state=LinkState.MISSING)


def _upwards(path: Path | None, links: Mapping[Path, Link], stop: Set[Path] = frozenset()) -> dict[Path, None]:
    """The file and those above it, as far as links join them, each once: a circle ends where it closes."""
    trail: dict[Path, None] = {}
    while path is not None and path not in trail and path not in stop:
        trail[path] = None
        link = links.get(path)
        path = link.parent if link and link.state.joins else None
    return trail
