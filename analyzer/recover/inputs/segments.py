"""Files of one chain as segments: those that are linked without a gap, and which segment is above which."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from uuid import UUID

from analyzer.linkage.mismatch import keeps_disk_id
from analyzer.linkage.names import may_be_renamed, own_name
from analyzer.recover.inputs.open_file import Opened
from vhdx.errors import ChainError, ChainLoopError
from vhdx.structures.constants import NIL


class SeveralLeavesError(ChainError):
    """The files make up more than one state of a disk."""

    leaves: tuple[Path, ...]

    def __str__(self) -> str:
        names = ", ".join(str(path) for path in self.leaves)
        return (
            f"{names} are leaves of one parent, or bases, and only one can be recovered; name the files of one chain "
            "(`vhdx scan` shows which these are)"
        )


class SeveralDisksError(ChainError):
    """The files are of several virtual disks."""

    disks: tuple[tuple[Path, UUID], ...]

    def __str__(self) -> str:
        named = ", ".join(f"{path} (virtual disk id {disk})" for path, disk in self.disks)
        return (
            f"these are of several disks, and one at a time can be recovered: {named}; name the files of one "
            "(`vhdx scan` sorts a folder), or a base on purpose with --assume-base"
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """Files that are linked without a gap, uppermost first, each named by the one above it."""

    files: tuple[Opened, ...]

    @property
    def top(self) -> Opened:
        """The uppermost."""
        return self.files[0]

    @property
    def disks(self) -> set[UUID]:
        """The virtual disk ids of its files, where these tell disks apart: not in metadata that lost its locator."""
        images = [file.image for file in self.files if file.image and (file.record.linkages or is_base(file))]
        return {one.parameters.disk_id for one in images if keeps_disk_id(one.identifier.creator)} - {NIL}

    @property
    def bottom(self) -> Opened:
        """The lowest: a base, or a file whose parent is missing."""
        return self.files[-1]


def segments_of(files: Sequence[Opened]) -> list[Segment]:
    """All files, each in one segment; raises SeveralLeavesError where two have one parent, ChainLoopError."""
    parents = {file.path: _parent_of(file, files) for file in files}
    used = [parent.path for parent in parents.values() if parent]
    forked = [file.path for file in files if (parent := parents[file.path]) and used.count(parent.path) > 1]
    if forked:
        raise SeveralLeavesError(tuple(forked))
    tops = [file for file in files if file.path not in used]
    segments = []
    for top in tops:
        chain = [top]
        while parent := parents[chain[-1].path]:
            chain.append(parent)
        segments.append(Segment(tuple(chain)))
    placed = {file.path for segment in segments for file in segment.files}
    if looping := [file.path for file in files if file.path not in placed]:
        raise ChainLoopError(looping[0])  # it has a child, and so has every file above it
    return segments


def _parent_of(child: Opened, files: Sequence[Opened]) -> Opened | None:
    """The file whose identity the child names; of several, one that opens."""
    for linkage in child.record.linkages:
        found = [file for file in files if file is not child and file.record.identity == linkage]
        if found:
            return min(found, key=lambda file: (file.image is None, file.path))
    return None


def by_age(segments: list[Segment]) -> list[Segment]:
    """Uppermost first: what ends in a base is the lowest; of the others, what names the other's file is above it."""
    bases = [segment for segment in segments if is_base(segment.bottom)]
    if len(bases) > 1:
        raise SeveralLeavesError(tuple(segment.bottom.path for segment in bases))
    others = [segment for segment in segments if segment not in bases]
    unknown = [segment for segment in others if not segment.bottom.record.linkages]
    others = [segment for segment in others if segment not in unknown]

    def age(segment: Segment) -> tuple[int, float]:
        """How many others have a file that its lowest file names as the parent; when its uppermost was modified."""
        rest = (other for other in others if other is not segment)
        below = sum(any(names_as_parent(segment.bottom, file) for file in other.files) for other in rest)
        modified = 0.0
        with suppress(OSError):
            modified = segment.top.path.stat().st_mtime
        return below, modified

    return [*sorted(others, key=age, reverse=True), *sorted(unknown, key=age, reverse=True), *bases]


def is_base(file: Opened) -> bool:
    """Whether a file can be read and has no parent."""
    return file.image is not None and not file.image.has_parent


def require_one_disk(segments: Sequence[Segment]) -> None:
    """Files that nothing links, and whose ids say that they are of different disks, are not stacked.

    Raises SeveralDisksError.
    """
    known = [segment for segment in segments if segment.disks]
    if any(one.disks.isdisjoint(other.disks) for one, other in combinations(known, 2)):
        raise SeveralDisksError(tuple((segment.top.path, min(segment.disks)) for segment in known))


def is_surely_uppermost(segments: Sequence[Segment]) -> bool:
    """Whether the first of several segments, as `by_age` has them, is above all others, whatever their times are.

    A base is below everything. Of two others either can be above what the other one lacks, unless one names the other;
    a file that does not tell its parent may stand on any of them.
    """
    first, *others = (segment for segment in segments if not is_base(segment.bottom))
    if first.bottom.record.linkages and not first.bottom.record.places:
        return not any(other.bottom.record.linkages for other in others)
    return all(names_as_parent(first.bottom, other.top) for other in others)


def names_as_parent(child: Opened, other: Opened) -> bool:
    """Whether a file names another one's name as that of its parent."""
    names = (place.text.replace("\\", "/").rsplit("/", 1)[-1] for place in child.record.places)
    return called(other) in map(str.lower, names)


def called(file: Opened) -> str:
    """The file's own name in small letters: `disk.vhdx` of `disk.vhdx.locked`, not of `disk.vhdx.md5` or an archive."""
    own = own_name(file.path)
    is_own = own == file.path.name or (file.source is not None and may_be_renamed(file.source.below))
    return (own if is_own else file.path.name).lower()
