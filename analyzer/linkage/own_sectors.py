"""How much of what a child holds its parent holds too: what a merge leaves behind that was finished, or broken off.

A merge copies the child's own sectors into its parent, from the front of the disk to its end, and the parent's identity
changes as it begins. So a parent of another identity that has all of them was merged; one that has the first of them
and not the others is what an interrupted merge leaves. A parent that was attached and written to has none of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vhdx.image import Image
from vhdx.runs import Kind, RunTable, concatenate, cut_alike
from vhdx.structures.constants import KIB

_PIECE = 64 * KIB
# Pieces up to which all are compared: 1 GiB of each file, some seconds. Of more a sample is read, evenly spread: each
# piece may cost a disk two seeks. Only whoever asks for all of them may say that a merge of more was complete.
_ALL, _SAMPLE = 1 << 14, 1 << 10
# What guests write at once. Sectors that are written together are equal together: they are one witness.
_CLUSTER = 4 * KIB
# Guests also write what was there before. The first sectors are taken for the trace of a merge where chance, at the
# rate at which the others are equal, gives as many less often than this.
# test_a_first_cluster_that_is_equal_by_chance_is_no_merge.
_CHANCE = 1e-3
# Of so many sectors one may be equal where no merge was: what was written is a page, of which some may be as before.
_SELDOM = 100


class Effort(Enum):
    """How much of two large files is compared."""

    SAMPLE = "sample"
    """So much that any difference of some size is seen."""
    WHOLE = "whole"
    """Everything, where a sample shows no difference."""


class Merge(Enum):
    """What the sectors that a child holds say of a merge into its parent."""

    COMPLETE = "complete"
    """The parent has every one: alone it reads as the child does upon it."""
    LIKELY = "likely"
    """It has every one that was compared; not all were."""
    INTERRUPTED = "interrupted"
    """It has the first ones of the disk, and of the others no more than chance gives."""
    NONE = "none"
    """It has not one of them."""
    UNCLEAR = "unclear"
    """It has some, not as a merge leaves them; or not all can be compared."""


@dataclass(slots=True)
class OwnSectors:
    """Counts of the sectors that a child holds itself. Those that are zeros in both files, `blank`, prove nothing."""

    sector_size: int
    held: int = 0
    compared: int = 0
    equal: int = 0
    """With those that are blank."""
    blank: int = 0
    leading: int = 0
    """Equal ones before the first that differs, in the order of the disk, without those that are blank."""
    is_whole: bool = True
    """The disks have one size, and nothing that the child holds, or the parent has in its place, is lost."""

    @property
    def telling(self) -> int:
        """Sectors that were compared and are not zeros in both."""
        return self.compared - self.blank

    @property
    def merge(self) -> Merge:
        """What they amount to."""
        if not self.telling:
            return Merge.UNCLEAR
        if self.equal == self.compared:
            complete = Merge.COMPLETE if self.compared == self.held else Merge.LIKELY
            return complete if self.is_whole else Merge.UNCLEAR
        if self.equal == self.blank:
            return Merge.NONE
        clusters = self.sector_size / _CLUSTER
        found, others = (self.equal - self.blank - self.leading) * clusters, (self.telling - self.leading) * clusters
        # By the rule of succession, so that a few others that all differ do not make chance impossible.
        rate = (found + 1) / (others + 2)
        return Merge.INTERRUPTED if rate ** (self.leading * clusters) < _CHANCE else Merge.UNCLEAR

    def add(self, child: bytes, parent: bytes) -> None:
        """Compare some sectors, which are behind those that were added before."""
        mine, other = (np.frombuffer(data, np.uint8).reshape(-1, self.sector_size) for data in (child, parent))
        same = np.count_nonzero(np.not_equal(mine, other), axis=1) == 0
        blank = same & (np.count_nonzero(mine, axis=1) == 0)
        if self.equal == self.compared:
            first = len(same) if same.all() else int(same.argmin())
            self.leading += int(np.count_nonzero(~blank[:first]))
        self.compared += len(same)
        self.equal += int(np.count_nonzero(same))
        self.blank += int(np.count_nonzero(blank))

    def __str__(self) -> str:
        if self.merge is Merge.COMPLETE:
            return f"the parent already holds all {self.held} sectors that the child holds"
        among = "" if self.telling == self.held else f" looked at, among the {self.held}"
        what = f"{self.telling} sectors{among} that the child holds"
        others = self.equal - self.blank - self.leading
        if not self.telling:
            return f"of the {self.held} sectors that the child holds none is known to be other than zeros in both files"
        match self.merge:
            case Merge.LIKELY:
                return f"the parent already holds the {what}, and `vhdx check --chain` compares all"
            case Merge.INTERRUPTED:
                first = f"the parent has the first {self.leading} of the {what}, in the order of the disk"
                return f"{first}, and {others or 'none'} of the {self.telling - self.leading} others"
            case Merge.NONE:
                return f"the parent has none of the {what}: no trace of a merge"
        count = self.equal - self.blank
        how = "and not the first ones alone" if others else "too few to tell a merge from chance"
        if others and count * _SELDOM <= self.telling:
            how = "as few as guests write again by chance: no trace of a merge"
        return f"the parent has {count} of the {what}, {how}"


class _Place(Enum):
    """What the tables say of a range that the child holds."""

    READ = "read"
    BLANK = "zeros in both"
    ABSENT = "the parent itself has nothing there"
    LOST = "lost in either"


def compare_own_sectors(child: Image, parent: Image, effort: Effort = Effort.SAMPLE) -> OwnSectors | None:
    """What `parent`, this one file without its own parents, has of what `child` holds; None where that is nothing.

    Raises what reading them raises.
    """
    if child.sector_size != parent.sector_size:
        return None
    pieces = sum(-(-length // _PIECE) for _, length, place in _own_ranges(child, parent) if place is _Place.READ)
    found = _compare(child, parent, 1 if pieces <= _ALL else -(-pieces // _SAMPLE))
    if effort is Effort.WHOLE and found.merge is Merge.LIKELY:
        found = _compare(child, parent, 1)
    return found if found.held else None


def _compare(child: Image, parent: Image, step: int) -> OwnSectors:
    """The counts, of each so many pieces one compared."""
    found, number = OwnSectors(child.sector_size, is_whole=child.size == parent.size), 0
    for start, length, place in _own_ranges(child, parent):
        sectors = length // child.sector_size
        found.held += sectors
        match place:
            case _Place.LOST:
                found.is_whole = False
            case _Place.ABSENT:
                found.compared += sectors
            case _Place.BLANK:
                found.compared, found.equal = found.compared + sectors, found.equal + sectors
                found.blank += sectors
            case _Place.READ:
                for at in range(start, start + length, _PIECE):
                    if number % step == 0:
                        count = min(_PIECE, start + length - at)
                        found.add(child.read(at, count), parent.read(at, count))
                    number += 1
    return found


def _own_ranges(child: Image, parent: Image) -> Iterator[tuple[int, int, _Place]]:
    """Start and length of each range that the child holds, in the order of the disk, and what is to be done with it."""
    for table in child.windows():
        lower = concatenate([*parent.layer_windows(0, parent.size, int(table.start[0]), table.end)])
        above, below = cut_alike(table, lower)
        yield from _judged(above, below, parent)


def _judged(above: RunTable, below: RunTable, parent: Image) -> Iterator[tuple[int, int, _Place]]:
    own = above.kind != Kind.HOLE
    empty = np.isin(below.kind, (Kind.ZERO, Kind.TRIM, Kind.HOLE))
    absent = (below.start >= parent.size) | ((below.kind == Kind.HOLE) & parent.has_parent)
    lost = (above.kind == Kind.LOST) | (below.kind == Kind.LOST)
    # What a block was trimmed to nobody promises: it counts as the zeros that it reads as.
    blank = np.isin(above.kind, (Kind.ZERO, Kind.TRIM)) & empty
    numbers = np.select([lost, absent, blank], [3, 2, 1])[own].tolist()
    for start, length, number in zip(above.start[own].tolist(), above.length[own].tolist(), numbers, strict=True):
        yield start, length, tuple(_Place)[number]
