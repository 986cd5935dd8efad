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
from itertools import accumulate

import numpy as np

from analyzer.recover.inputs.layers import Level
from vhdx.allocation import MOST_RUNS
from vhdx.chain import in_step
from vhdx.errors import InputOutputError, ShortReadError
from vhdx.image import Image, windows_of
from vhdx.lost import read_what_can_be
from vhdx.ranges import Range
from vhdx.runs import Kind, Run, RunTable, choose, cut_alike, merge_neighbours, overlay


class PartialDisk:
    """The runs of a disk by its levels, base first. In its tables a stale run's `layer` is a code; see `origin_of`."""

    def __init__(self, levels: Sequence[Level]) -> None:
        """The disk has the size of its uppermost level that is there; there must be one."""
        self.levels = tuple(levels)
        self.images = tuple(level.image for level in levels if level.image is not None)
        self.size, self.sector_size = self.images[-1].size, self.images[-1].sector_size

    @property
    def depth(self) -> int:
        """How many levels, gaps included."""
        return len(self.levels)

    def origin_of(self, code: int) -> tuple[int, int | None]:
        """The level that a run's `layer` stands for, and the level whose loss makes it stale; None when it is known."""
        face, level = divmod(code, self.depth)
        return level, face - 1 if face else None

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """Tables that follow one another from byte `start` to `end`: no HOLE is left in them.

        A known run has its level as `layer`. A stale one has `depth * (1 + cause) + level`, so that runs of different
        standing are never taken for one. A LOST run has the uppermost level that might have held it.
        """
        limit = max(1, MOST_RUNS // self.depth)
        streams = [
            _windows_of_level(level, number, view, Range.between(start, end), limit)
            for (number, level), view in zip(enumerate(self.levels), self._views(), strict=True)
        ]
        return (self._settled(parts) for parts in in_step(streams))

    def rescue(self, run: Run, buffer: memoryview) -> Sequence[Range]:
        """Fill a buffer from a DATA run as far as its file can be read; returns the ranges of the disk that cannot."""
        image = self.levels[run.layer % self.depth].image
        if image is None:  # a gap has no DATA
            return [Range(run.start, run.length)]
        lost = read_what_can_be(image.source.read_into, run.file_offset, buffer)
        return [self._on_disk(run, part) for part in lost]

    def _on_disk(self, run: Run, part: Range) -> Range:
        """Bytes of a run's file as whole sectors of the disk, inside the run."""
        sector, shift = self.sector_size, run.start - run.file_offset
        lower, upper = (part.start + shift) // sector * sector, -(-(part.end + shift) // sector) * sector
        return Range.between(max(run.start, lower), min(run.end, upper))

    def _views(self) -> list[int]:
        """Where the view of each level ends: past it, a level shows zeros. A gap cuts nothing off."""
        sizes = [level.image.size if level.image else self.size for level in reversed(self.levels)]
        return list(reversed(list(accumulate(sizes, min))))

    def _settled(self, parts: Sequence[RunTable]) -> RunTable:
        """One window of all levels, base first, laid together."""
        known = overlay(*reversed(parts))
        if not (known.kind == Kind.LOST).any():
            return known
        beneath = overlay(*(_transparent(part) for part in reversed(parts)))
        known, beneath = cut_alike(known, beneath)
        stale = (known.kind == Kind.LOST) & (beneath.kind != Kind.HOLE)
        coded = replace(beneath, layer=beneath.layer + self.depth * (1 + known.layer))
        return merge_neighbours(choose(stale, coded, known))


def _transparent(table: RunTable) -> RunTable:
    """The table with what is lost in it letting the level below show."""
    return replace(table, kind=np.where(table.kind == Kind.LOST, Kind.HOLE, table.kind))


def _windows_of_level(level: Level, number: int, view: int, asked: Range, limit: int) -> Iterator[RunTable]:
    if level.image is None:
        yield RunTable.filled(asked.start, asked.end, Kind.LOST, number)
        return
    for table in _readable_windows(level.image, number, view, asked, limit):
        # What a base does not hold is zeros, and as certain as its data.
        yield table if level.image.has_parent else _filled_up(table)


def _filled_up(table: RunTable) -> RunTable:
    return merge_neighbours(replace(table, kind=np.where(table.kind == Kind.HOLE, Kind.ZERO, table.kind)))


def _readable_windows(image: Image, number: int, view: int, asked: Range, limit: int) -> Iterator[RunTable]:
    """As `windows_of`; where a table cannot be read, smaller and smaller parts are tried, and a block given up."""
    position, end, block = asked.start, asked.end, image.parameters.block_size
    step = end - position
    while position < end:
        stop = min(end, position + step)
        try:
            table = next(windows_of(image, number, view, position, stop, limit=limit))
        except (InputOutputError, ShortReadError):
            if stop - position > block:
                step = max(block, (stop - position) // 2)
                continue
            stop = min(stop, (position // block + 1) * block)
            table = RunTable.filled(position, stop, Kind.LOST, number)
        yield table
        position, step = table.end, min(end - position, step * 2)
