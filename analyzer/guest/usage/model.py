"""What a volume tells of its own bytes, and the reader that tells a zero from what nobody knows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.guest.filesystems.volume_reader import View
from vhdx.ranges import NO_RANGES, Column, GrowingRanges, Range, Ranges, union

PIECE = 1 << 16
"""Bytes of a structure that are judged together: less than any block of a VHDX."""
_LAST = 1 << 62  # so that a place and a length added fit a column of 64 bits


class Extents(NamedTuple):
    """Ranges that stay apart although they touch: where each begins, how long it is, and whose it is."""

    start: Column
    length: Column
    owner: Column

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int]]) -> "Extents":
        """Rows of (start, length, owner); those that cannot be a range of a disk are left out."""
        return Contents.of((False, *row) for row in rows).written

    def moved(self, by: int) -> "Extents":
        """The same, `by` bytes farther on."""
        return self._replace(start=self.start + by)

    def inside(self, ranges: Ranges) -> npt.NDArray[np.bool_]:
        """Which of them lie wholly in the ranges."""
        if not len(ranges):
            return np.zeros(len(self.start), dtype=np.bool_)
        index, is_inside = ranges.places_in(self.start)
        found: npt.NDArray[np.bool_] = is_inside & (self.start + self.length <= ranges.end[index])
        return found


class Contents(NamedTuple):
    """What files hold: `written` by a file each, `filled` are structures of theirs that are never all zeros."""

    written: Extents
    filled: Extents

    @classmethod
    def of(cls, rows: Iterable[tuple[bool, int, int, int]]) -> "Contents":
        """Rows of (whether it is never all zeros, start, length, owner); those that cannot be of a disk are left out.

        They are taken one by one: of a million files, rows would need ten times the memory of their columns.
        """
        sound = (row for row in rows if row[1] >= 0 < row[2] and row[1] + row[2] < _LAST)
        table = np.fromiter((value for row in sound for value in row), dtype=np.int64).reshape(-1, 4)
        written, filled = (table[table[:, 0] == is_filled] for is_filled in (0, 1))
        return cls(Extents(*written.T[1:]), Extents(*filled.T[1:]))


NO_EXTENTS = Extents.of(())
NO_CONTENTS = Contents(NO_EXTENTS, NO_EXTENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one volume tells; all ranges are bytes of the volume, until `moved` makes them bytes of the disk."""

    extent: Range
    """The volume."""
    told: Ranges = NO_RANGES
    """What maps that could be read say anything of."""
    used: Ranges = NO_RANGES
    """What they say is in use."""
    filled: Extents = NO_EXTENTS
    """Structures that are never all zeros, by what is known without a look at them."""
    contents: Callable[[], Contents] = field(default=lambda: NO_CONTENTS)
    """The files, which take longer: asked for only where the maps leave a question."""

    @property
    def is_readable(self) -> bool:
        """Whether more is known of the volume than where it is."""
        return len(self.filled.start) > 0

    def moved(self, by: int) -> "Usage":
        """The same, `by` bytes farther on."""

        def contents() -> Contents:
            return Contents(*(extents.moved(by) for extents in self.contents()))

        return Usage(
            extent=Range(self.extent.start + by, self.extent.length),
            told=Ranges(self.told.start + by, self.told.length),
            used=Ranges(self.used.start + by, self.used.length),
            filled=self.filled.moved(by),
            contents=contents,
        )


def usage_by(
    extent: Range,
    maps: Iterable[tuple[Range, Ranges]],
    filled: Iterable[tuple[int, int, int]],
    files: Callable[[], Iterable[tuple[bool, int, int, int]]],
) -> Usage:
    """What a volume uses: by what each of its maps tells, and has in use of that; by rows of structures and files."""
    found = list(maps)
    return Usage(
        extent=extent,
        told=Ranges.of(told for told, _ in found),
        used=union(used for _, used in found),
        filled=Extents.of(filled),
        contents=lambda: Contents.of(files()),
    )


class Known:
    """A volume of which it is said what cannot be known, in place of the zeros that it reads as."""

    def __init__(self, view: View) -> None:
        """Read `view`."""
        self.view = view
        self.size = view.size

    def read(self, offset: int, length: int) -> bytes | None:
        """Bytes of the volume; None where any of them is lost or past its end."""
        self.view.missed = GrowingRanges()
        data = self.view.read(offset, length)
        return data if len(data) == length and not self.view.missed else None

    def pieces(self, offset: int, length: int) -> Iterable[tuple[int, bytes | None]]:
        """A structure in pieces of PIECE bytes, each with its place in the structure; None where it is not known."""
        for at in range(0, length, PIECE):
            yield at, self.read(offset + at, min(PIECE, length - at))


def set_bits(data: bytes, first: int, unit: int, origin: int, count: int) -> Ranges:
    """The bytes that the set bits of a map stand for: bit n, counted from `first`, is a unit from `origin` on.

    Bits from `count` on are of nothing.
    """
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")[: max(0, count - first)]
    edges = np.flatnonzero(np.diff(bits, prepend=0, append=0)).astype(np.int64) + first
    return Ranges.between(edges[::2] * unit + origin, edges[1::2] * unit + origin)
