"""The disk of a chain that is not whole: every byte of it known, stale or lost.

What is asked of each byte, from the uppermost level down:

* A level that is there and holds the byte (DATA, or zeros that hide its parent) settles it. When every level above is
  there and leaves the byte to its parent, the byte is **known**: nothing that is missing could have changed it.
* A level of which nothing can be read might have held the byte. What a level below it has is then **stale**: the
  state from before the missing layer, which is the right one only where that layer did not write.
* A range that a file holds and that its damage took (past the end of a truncated file, an invalid table entry) is a
  missing layer for that range alone: what is below it is stale.
* Where nothing below settles a byte that a missing level might have held, it is **lost**; so is, without its base,
  everything that the levels above the gap do not hold.

A base settles every byte, with zeros where it holds nothing, unless its own damage took the byte.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, count
from typing import NamedTuple

import numpy as np

from analyzer.recover.inputs.layers import Level
from vhdx.allocation import MOST_RUNS
from vhdx.errors import InputOutputError, ShortReadError
from vhdx.image import Image
from vhdx.layers import in_step
from vhdx.ranges import Range
from vhdx.runs import Kind, RunTable, choose, cut_alike, merge_neighbours, overlay


class Origin(NamedTuple):
    """Where a run is from: a level, and the level whose loss makes it stale; None when it is known."""

    level: int
    cause: int | None


class PartialDisk:
    """The runs of a disk by its levels, base first. The `layer` of a run in its tables is an index into `origins`."""

    def __init__(self, levels: Sequence[Level]) -> None:
        """The disk has the size of its uppermost level that is there; there must be one."""
        self.levels = tuple(levels)
        self.images = tuple(level.image for level in levels if level.image is not None)
        self.size, self.sector_size = self.images[-1].size, self.images[-1].sector_size
        numbers = range(len(self.levels))
        self.origins = tuple(Origin(level, cause) for cause in (None, *numbers) for level in numbers)
        """Those of known runs first, by level: the layer of a known run is its level."""
        self._stale = len(numbers) + np.arange(len(numbers) ** 2).reshape(len(numbers), -1)
        files = np.cumsum([level.image is not None for level in self.levels]) - 1
        self.files = files[[origin.level for origin in self.origins]]
        """By origin, which of `images` it is; a gap has no data, and any number."""

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """Tables that follow one another from byte `start` to `end`: no HOLE is left in them.

        Runs of one level whose status differs have different layers, so that they are never taken for one. A LOST run
        has the uppermost level that might have held it.
        """
        asked, limit = Range.between(start, end), max(1, MOST_RUNS // len(self.levels))
        # Where the view of each level ends. A shorter layer in the middle shows zeros past its end and hides what is
        # deeper; that of a missing one is not known, so it cuts nothing.
        sizes = [level.image.size if level.image else self.size for level in reversed(self.levels)]
        views = reversed(list(accumulate(sizes, min)))
        levels = zip(self.levels, count(), views, strict=False)
        return map(self._settled, in_step([_windows_of_level(*level, asked, limit) for level in levels]))

    def _settled(self, parts: Sequence[RunTable]) -> RunTable:
        """One window of all levels, base first, laid together."""
        known = overlay(*reversed(parts))
        if not (known.kind == Kind.LOST).any():
            return known
        # Two overlays: one as if every loss hid what is below, one as if none did. Where the first is LOST and the
        # second has something, that is the older state.
        beneath = overlay(*(_with_kind(part, Kind.LOST, Kind.HOLE) for part in reversed(parts)))
        known, beneath = cut_alike(known, beneath)
        stale = (known.kind == Kind.LOST) & (beneath.kind != Kind.HOLE)
        from_beneath = replace(beneath, layer=self._stale[known.layer, beneath.layer])
        return merge_neighbours(choose(stale, from_beneath, known))


def _with_kind(table: RunTable, kind: Kind, other: Kind) -> RunTable:
    """The table with its runs of one kind being of another."""
    return replace(table, kind=np.where(table.kind == kind, other, table.kind))


def _windows_of_level(level: Level, number: int, view: int, asked: Range, limit: int) -> Iterator[RunTable]:
    if level.image is None:
        yield RunTable.filled(asked.start, asked.end, Kind.LOST, number)
        return
    for table in _readable_windows(level.image, number, view, asked, limit):
        # What a base does not hold is zeros, and as certain as its data.
        yield table if level.image.has_parent else merge_neighbours(_with_kind(table, Kind.HOLE, Kind.ZERO))


def _readable_windows(image: Image, number: int, view: int, asked: Range, limit: int) -> Iterator[RunTable]:
    """As `layer_windows`; where a table cannot be read, smaller and smaller parts are tried, and a block given up."""
    position, end, block = asked.start, asked.end, image.parameters.block_size
    step = end - position
    while position < end:
        stop = min(end, position + step)
        try:
            table = next(image.layer_windows(number, view, position, stop, limit=limit))
        except (InputOutputError, ShortReadError):
            if stop - position > block:
                # Halves down to a block: one unreadable sector of a table must cost its blocks, and not the whole
                # window.
                step = max(block, (stop - position) // 2)
                continue
            stop = min(stop, (position // block + 1) * block)
            table = RunTable.filled(position, stop, Kind.LOST, number)
        yield table
        position, step = table.end, min(end - position, step * 2)
