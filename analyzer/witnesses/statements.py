"""What each witness says of each place, and how far it is to be believed: the rate at which it is wrong elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.usage.model import Extents
from analyzer.witnesses.model import Claims, Marks, Rate, Statements, Witness
from analyzer.witnesses.pages import PAGE, Look, look_at
from analyzer.witnesses.places import Places, places_of
from vhdx.plans import RunSource
from vhdx.ranges import Column
from vhdx.structures.constants import MIB

# Of the files that end in one MiB of the disk so many are looked at: more could not tell more.
_MOST_ENDS = 16
_PIECE_BITS = 43


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one witness says: of each place its layer, its place in that layer's file, and, where it fails, its look."""

    witness: Witness
    start: Column
    holds: Marks
    layer: Column
    offset: Column
    look: Column

    @property
    def piece(self) -> Column:
        """One number for each MiB of each file."""
        found: Column = (self.layer << _PIECE_BITS) + self.offset // MIB
        return found

    def of_layer(self, layer: int) -> "Spoken":
        """What is said of one layer."""
        some = self.layer == layer
        columns = (column[some] for column in (self.start, self.holds, self.layer, self.offset, self.look))
        return Spoken(self.witness, *columns)

    def rate(self) -> Rate:
        """How often it is wrong where blocks are as they must be: in pieces where most places hold."""
        _, piece = np.unique(self.piece, return_inverse=True)
        ordinary = self.holds | (self.look == Look.OTHER)
        held = np.bincount(piece, weights=self.holds, minlength=1)
        count = np.bincount(piece, weights=ordinary, minlength=1)
        is_known = (2 * held > count)[piece] & ordinary
        return Rate(self.witness, int(is_known.sum()), int((is_known & ~self.holds).sum()))


def spoken_of(disk: RunSource, read: ReadableDisk, claims: Claims, layers: int) -> list[Spoken]:
    """What structures, names and the ends of files say of the disk, of what its first `layers` files hold."""
    slack, last = _ends_of(read, claims.ends)
    said = {Witness.METADATA: claims.metadata, Witness.SLACK: slack, Witness.LAST: last, Witness.NAMES: claims.names}
    return [_located(disk, read, layers, witness, statements) for witness, statements in said.items()]


def _located(disk: RunSource, read: ReadableDisk, layers: int, witness: Witness, said: Statements) -> Spoken:
    places = places_of(disk, said.start)
    is_held = (places.layer >= 0) & (places.layer < layers)
    said, places = said.select(is_held), Places(*(column[is_held] for column in places))
    look = np.full(len(said.start), Look.UNKNOWN, dtype=np.int64)
    failed = np.flatnonzero(~said.holds)
    look[failed] = np.fromiter(
        (look_at(read, start // PAGE * PAGE) for start in said.start[failed].tolist()), dtype=np.int64
    )
    return Spoken(witness, said.start, said.holds, places.layer, places.offset, look)


def _ends_of(read: ReadableDisk, ends: Extents) -> tuple[Statements, Statements]:
    """What slack and last bytes say."""
    inside = ends.start + ends.length <= read.size
    ends = Extents(*(column[inside] for column in ends))
    order = ends.start.argsort(kind="stable")
    start, length = ends.start[order], np.minimum(ends.length[order], PAGE)
    number = np.arange(len(start)) - (start // MIB).searchsorted(start // MIB)
    some = number < _MOST_ENDS
    heard = list(_heard(read, start[some], length[some]))
    last = Statements.of((place, 1, byte != 0) for place, _, byte, _ in heard)
    return Statements.of((place + 1, size, zeros) for place, size, _, zeros in heard if size), last


def _heard(read: ReadableDisk, start: Column, length: Column) -> Iterator[tuple[int, int, int, bool]]:
    """(place of the last byte, length of the slack, the last byte, whether the slack is zeros) where it can be read."""
    for place, size in zip(start.tolist(), length.tolist(), strict=True):
        data, missed = read.read_best_effort(place, size)
        if not missed:
            yield place, size - 1, data[0], data.count(0, 1) == size - 1
