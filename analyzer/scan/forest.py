"""The forest: records to trees, each from its base (or its lowest file) to its leaves. Pure."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

from analyzer.linkage.matching import Link, link_all
from analyzer.linkage.record import Condition, FileRecord


@dataclass(frozen=True, slots=True)
class Member:
    """One file in its tree. `children` are paths; `depth` is how many files are below it."""

    record: FileRecord
    link: Link | None
    children: tuple[Path, ...]
    depth: int

    @property
    def path(self) -> Path:
        """Its path."""
        return self.record.path

    @property
    def parent(self) -> Path | None:
        """Its parent in the tree; None for the root."""
        return self.link.parent if self.link and self.link.state.joins else None


@dataclass(frozen=True)
class Tree:
    """Files that are one another's parents, root first, each before its children."""

    members: tuple[Member, ...]

    @property
    def root(self) -> Member:
        """The lowest file: a base, or one whose parent is not there."""
        return self.members[0]

    @cached_property
    def by_path(self) -> Mapping[Path, Member]:
        """The members by their paths."""
        return {member.path: member for member in self.members}

    @property
    def leaves(self) -> tuple[Member, ...]:
        """The files that are no parents."""
        return tuple(member for member in self.members if not member.children)

    def down_from(self, path: Path) -> Iterator[Member]:
        """A file and those below it, down to the root."""
        here: Path | None = path
        while here is not None:
            member = self.by_path[here]
            yield member
            here = member.parent


@dataclass(frozen=True)
class Forest:
    """All trees, and the files that cannot be placed: no identity, and no child that names them."""

    trees: tuple[Tree, ...]
    unplaced: tuple[FileRecord, ...]
    links: Mapping[Path, Link]

    @cached_property
    def records(self) -> tuple[FileRecord, ...]:
        """Every file."""
        placed = (member.record for tree in self.trees for member in tree.members)
        return (*placed, *self.unplaced)

    @cached_property
    def by_identity(self) -> Mapping[UUID, Sequence[FileRecord]]:
        """The files that have each identity."""
        return _grouped(self.records, lambda record: record.identity)

    @cached_property
    def by_disk(self) -> Mapping[UUID, Sequence[FileRecord]]:
        """The files of each virtual disk, by its id; bases first."""
        base_first = sorted(self.records, key=lambda record: (record.has_parent, record.path))
        return _grouped(base_first, lambda record: record.disk_id)

    def lacks_parent(self, record: FileRecord) -> bool:
        """Whether a file names a parent that is not among the files."""
        link = self.links.get(record.path)
        return link is not None and link.state.is_missing

    def of_same_disk(self, record: FileRecord) -> Sequence[FileRecord]:
        """Files of the same virtual disk in other trees, bases first: candidates where a parent is missing."""
        # The virtual disk id is no proof: copies of a template share it, and some writers give every child its own. So
        # these are offered to look at, and nothing is concluded.
        own = self.tree_of.get(record.path)
        files = self.by_disk.get(record.disk_id, ()) if record.disk_id else ()
        return [file for file in files if own is None or file.path not in own.by_path]

    @cached_property
    def tree_of(self) -> Mapping[Path, Tree]:
        """The tree that each placed file is in."""
        return {member.path: tree for tree in self.trees for member in tree.members}

    def above(self, path: Path) -> Iterator[Path]:
        """The files made upon a file, the nearest first; none for one that is not placed."""
        tree = self.tree_of.get(path)
        waiting = deque(tree.by_path[path].children if tree else ())
        while tree and waiting:
            yield waiting[0]
            waiting += tree.by_path[waiting.popleft()].children

    @cached_property
    def spare(self) -> Mapping[Path, Path]:
        """Roots and leaves that are copies of another file, which stands for them: the one that children use."""
        used = {link.parent for link in self.links.values() if link.state.joins}
        spare: dict[Path, Path] = {}
        for records in self.by_identity.values():
            chosen = min(records, key=lambda record: (record.path not in used, record.file_size == 0, record.path))
            spare |= {r.path: chosen.path for r in records if r is not chosen and r.path not in used}
        return spare


def _grouped(
    records: Iterable[FileRecord], key: Callable[[FileRecord], UUID | None]
) -> Mapping[UUID, Sequence[FileRecord]]:
    groups: dict[UUID, list[FileRecord]] = {}
    for record in records:
        if name := key(record):
            groups.setdefault(name, []).append(record)
    return groups


def build_forest(records: Sequence[FileRecord]) -> Forest:
    """The forest of these files; each path must occur once. The order of the records does not matter."""
    ordered = sorted(records, key=lambda record: record.path)
    links = link_all(ordered)
    children: dict[Path, list[FileRecord]] = defaultdict(list)
    roots = []
    for record in ordered:
        link = links.get(record.path)
        if link and link.parent and link.state.joins:
            children[link.parent].append(record)
        else:
            roots.append(record)
    lone = {root.path for root in roots if root.condition is Condition.UNREADABLE} - set(children)
    trees = tuple(_grow(root, children, links) for root in roots if root.path not in lone)
    return Forest(trees, tuple(root for root in roots if root.path in lone), links)


def _grow(root: FileRecord, children: Mapping[Path, Sequence[FileRecord]], links: Mapping[Path, Link]) -> Tree:
    members, waiting = [], [(root, 0)]
    while waiting:  # not by recursion: files made to do harm may make chains deeper than Python's stack
        record, depth = waiting.pop()
        upon = sorted(children.get(record.path, ()), key=lambda child: (child.modified, child.path))
        link = links.get(record.path)
        members.append(Member(record, link, tuple(child.path for child in upon), depth))
        waiting += [(child, depth + 1) for child in reversed(upon)]
    return Tree(tuple(members))
