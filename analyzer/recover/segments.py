"""Files of one chain as segments: those that are linked without a gap, and which segment is above which."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.recover.opening import Opened
from vhdx.errors import ChainError, ChainLoopError


class SeveralLeavesError(ChainError):
    """The files make up more than one state of a disk."""

    def __init__(self, leaves: Sequence[Path]) -> None:
        super().__init__(leaves)
        self.leaves = tuple(leaves)

    def __str__(self) -> str:
        names = ", ".join(str(path) for path in self.leaves)
        return (
            f"{names} are leaves of one parent, or bases, and only one can be recovered; name the files of one chain "
            "(`vhdx scan` shows which these are)"
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
    def bottom(self) -> Opened:
        """The lowest: a base, or a file whose parent is missing."""
        return self.files[-1]


def segments_of(files: Sequence[Opened]) -> list[Segment]:
    """All files, each in one segment; raises SeveralLeavesError where two have one parent, ChainLoopError."""
    parents = {file.path: _parent_of(file, files) for file in files}
    used = [parent.path for parent in parents.values() if parent]
    forked = [file.path for file in files if (parent := parents[file.path]) and used.count(parent.path) > 1]
    if forked:
        raise SeveralLeavesError(forked)
    tops = [file for file in files if file.path not in used]
    segments = [Segment(_down(top, parents)) for top in tops]
    placed = {file.path for segment in segments for file in segment.files}
    for file in files:
        if file.path not in placed:  # it has a child, and so has every file above it
            raise ChainLoopError(file.path)
    return segments


def _parent_of(child: Opened, files: Sequence[Opened]) -> Opened | None:
    """The file whose identity the child names; of several, one that opens."""
    for linkage in child.record.linkages:
        found = [file for file in files if file is not child and file.record.identity == linkage]
        if found:
            return min(found, key=lambda file: (file.image is None, file.path))
    return None


def _down(top: Opened, parents: dict[Path, Opened | None]) -> tuple[Opened, ...]:
    files = [top]
    while (parent := parents[files[-1].path]) is not None:
        files.append(parent)
    return tuple(files)


def by_age(segments: list[Segment]) -> list[Segment]:
    """Uppermost first: what ends in a base is the lowest; of the others, what names the other's file is above it."""
    bases = [segment for segment in segments if is_base(segment.bottom)]
    if len(bases) > 1:
        raise SeveralLeavesError([segment.bottom.path for segment in bases])
    others = [segment for segment in segments if segment not in bases]
    unknown = [segment for segment in others if not segment.bottom.record.linkages]
    others = [segment for segment in others if segment not in unknown]
    others.sort(key=lambda segment: (_names_below(segment, others), _modified(segment.top)), reverse=True)
    return others + unknown + bases


def is_base(file: Opened) -> bool:
    """Whether a file can be read and has no parent."""
    return file.image is not None and not file.image.has_parent


def _names_below(segment: Segment, others: Sequence[Segment]) -> int:
    """How many of the other segments have a file of the name that this one's lowest file gives its parent."""
    names = {_basename(place.text) for place in segment.bottom.record.places}
    return sum(any(file.path.name.lower() in names for file in other.files) for other in others if other is not segment)


def _basename(text: str) -> str:
    return text.replace("\\", "/").rsplit("/", 1)[-1].lower()


def _modified(file: Opened) -> float:
    try:
        return file.path.stat().st_mtime
    except OSError:
        return 0.0
