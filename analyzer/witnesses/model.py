"""What a volume says of its own bytes, where that can be held against them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.guest.usage.model import Extents
from vhdx.ranges import Column, Ranges

Marks = npt.NDArray[np.bool_]
Row = tuple[int, int, int]
"""(start, length, whose), of what a volume says of files."""
Statement = tuple[int, int, bool]
"""(start, length, whether it holds), of what it says of a structure."""


class Witness(Enum):
    """What speaks for or against a place."""

    METADATA = "metadata"
    """Structures of a file system have a checksum, or name their own place."""
    SLACK = "slack"
    """What is behind the end of a file in its last cluster is zeros."""
    LAST = "last bytes"
    """The last byte of a file is not zero."""
    NAMES = "names"
    """As many names lead to an inode as it says."""
    ENTROPY = "entropy"
    """Noise in the midst of a file begins and ends anywhere, not where the layer's file is cut."""
    ZEROS = "zeros"
    """So do zeros."""
    FRONT = "fronts"
    """A partition that begins with noise goes on with it, whatever the layer's file is cut into."""
    PATTERN = "pattern"
    """Noise that no file explains is not at places that are as far apart as one another."""
    HOLES = "holes"
    """What the host keeps as a hole is nothing that a file holds."""


# Of so many places that are known, and the share of them at which one that is believed may be wrong. A structure whose
# checksum fails has been damaged, and says nothing against checksums; what files end in is custom alone.
_BELIEVED = {
    Witness.METADATA: (1, 0.25),
    Witness.SLACK: (10, 0.03),
    Witness.LAST: (10, 0.03),
    Witness.NAMES: (10, 0.5),
    Witness.ENTROPY: (1, 1.0),  # of these two those that are cut are held against all others, in cuts.py
    Witness.ZEROS: (1, 1.0),
    Witness.FRONT: (1, 0.0),
    Witness.PATTERN: (4, 0.5),
    Witness.HOLES: (10, 0.5),  # what lost holes in files lost some elsewhere; in sparse files nearly all zeros are
}
_FEW_BELIEVED = {Witness.HOLES: 3}
"""Of so few that were never wrong."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Of so many places that are known by others a witness was wrong at `wrong`."""

    witness: Witness
    known: int
    wrong: int

    @property
    def is_believed(self) -> bool:
        """It was asked often enough, and hardly ever wrong."""
        least, most = _BELIEVED[self.witness]
        if not self.wrong:
            least = _FEW_BELIEVED.get(self.witness, least)
        return self.known >= least and self.wrong <= most * self.known


class Statements(NamedTuple):
    """Ranges of the disk, and of each whether what it holds is as it must be."""

    start: Column
    length: Column
    holds: Marks

    @classmethod
    def of(cls, rows: Iterable[Statement]) -> "Statements":
        """Rows of (start, length, whether it holds); those that cannot be of a disk are left out."""
        start, length, holds = Extents.of((start, length, int(holds)) for start, length, holds in rows)
        return cls(start, length, holds.astype(np.bool_))

    def select(self, some: Marks) -> "Statements":
        """Some of them."""
        return Statements(self.start[some], self.length[some], self.holds[some])


class Cause(Enum):
    """What a place that is in doubt looks like."""

    ENCRYPTED = "encrypted"
    """Noise where a file system says that there is none."""
    ZEROED = "zeroed"
    """Zeros where a file system says that there is something else."""
    MISPLACED = "misplaced"
    """Something else, whole in itself: of another block, or of another time."""
    HOLES = "holes"
    """What the host has no bytes for, in the midst of files."""
    MIXED = "mixed"
    """What may be of another time: folders and inodes are of two."""


@dataclass(frozen=True, slots=True)
class Doubted:
    """Ranges of one layer's file that are in doubt for one cause, by whom."""

    cause: Cause
    layer: int
    held: Ranges
    witnesses: frozenset[Witness]


NO_STATEMENTS = Statements.of(())


@dataclass(frozen=True, slots=True)
class Claims:
    """What a volume says of its bytes, or several do; in bytes of the volume until `moved` makes them the disk's."""

    metadata: Statements
    ends: Extents
    """From the last byte of a file to the end of its last cluster, and whose each is."""
    contents: Extents
    """Where files are, in the order of each."""
    names: Statements = NO_STATEMENTS
    """Inodes, and whether as many names lead to them as they say; of volumes on which all folders can be read."""

    @property
    def has_any(self) -> bool:
        """Whether anything is said at all."""
        return any(len(part.start) for part in (self.metadata, self.ends, self.contents))

    def moved(self, by: int, first_owner: int) -> "Claims":
        """The same, `by` bytes farther on, with numbers of files from `first_owner` on."""
        ends, contents = (
            part.moved(by)._replace(owner=part.owner + first_owner) for part in (self.ends, self.contents)
        )
        metadata, names = (part._replace(start=part.start + by) for part in (self.metadata, self.names))
        return Claims(metadata, ends, contents, names)


@dataclass(frozen=True, kw_only=True)
class Testimony(ABC):
    """What one volume says, gathered while its structures are looked at."""

    ends: list[Row] = field(default_factory=list)
    contents: list[Row] = field(default_factory=list)

    @abstractmethod
    def metadata(self) -> Iterator[Statement]:
        """Every structure; fills `ends` and `contents` by what holds."""

    def claims(self) -> Claims:
        """All that it says."""
        metadata = Statements.of(self.metadata())
        return Claims(metadata, Extents.of(self.ends), Extents.of(self.contents))

    def note(self, number: int, size: int, block: int, extents: Sequence[Row]) -> None:
        """Where a file of `size` bytes is and, where its last block was written, where it ends.

        Of each extent its place in the file, its place in the volume, and its length.
        """
        self.contents.extend((start, length, number) for _, start, length in extents)
        last = size - 1
        for offset, start, length in extents:
            if offset <= last < offset + length:
                at = start + last - offset
                self.ends.append((at, start + (last // block + 1) * block - offset - at, number))


def joined(claims: Iterable[Claims]) -> Claims:
    """What several volumes say, together."""
    parts = [Claims(NO_STATEMENTS, Extents.of(()), Extents.of(())), *claims]
    return Claims(
        Statements(*_columns(one.metadata for one in parts)),
        Extents(*_columns(one.ends for one in parts)),
        Extents(*_columns(one.contents for one in parts)),
        Statements(*_columns(one.names for one in parts)),
    )


def _columns(parts: Iterable[Statements | Extents]) -> Iterator[npt.NDArray[Any]]:
    return map(np.concatenate, zip(*parts, strict=True))
