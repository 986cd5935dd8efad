"""Places of the disk as places of the files that hold them, and back."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vhdx.plans import RunSource
from vhdx.ranges import Column, Range, Ranges
from vhdx.runs import Kind


class Places(NamedTuple):
    """Of each of some bytes of the disk the layer whose file holds it, -1 where none does, and where in that file."""

    layer: Column
    offset: Column


def places_of(disk: RunSource, starts: Column) -> Places:
    """Where bytes of the disk, in any order, are held; the tables of the disk are gone over once."""
    order = starts.argsort(kind="stable")
    layer, offset = np.full(len(starts), -1, dtype=np.int64), np.zeros(len(starts), dtype=np.int64)
    for table in disk.windows(0, disk.size) if len(starts) else ():
        first, last = starts[order].searchsorted((table.start[0], table.end)).tolist()
        some = order[first:last]
        run = table.start.searchsorted(starts[some], "right") - 1
        is_data = table.kind[run] == Kind.DATA
        layer[some] = np.where(is_data, table.layer[run], -1)
        offset[some] = np.where(is_data, table.file_offset[run] + starts[some] - table.start[run], 0)
    return Places(layer, offset)


def ranges_shown(disk: RunSource, layer: int, held: Ranges) -> Ranges:
    """The ranges of the disk that show ranges of a layer's file."""
    return Ranges.of(shown for shown, _ in _shown(disk, layer, held))


def holes_in_files(disk: RunSource, layer: int, holes: Ranges, used: Ranges) -> Ranges:
    """The parts of holes in a layer's file that the disk shows where it is used."""
    return Ranges.of(
        Range(offset + part.start - shown.start, part.length)
        for shown, offset in _shown(disk, layer, holes)
        for part in used.within(shown)
    )


def _shown(disk: RunSource, layer: int, held: Ranges) -> Iterator[tuple[Range, int]]:
    """Ranges of the disk, each with where in the file it is."""
    for table in disk.windows(0, disk.size) if held else ():
        data = table.select((table.kind == Kind.DATA) & (table.layer == layer))
        touched = held.end.searchsorted(data.file_offset, "right") < held.start.searchsorted(
            data.file_offset + data.length
        )
        for run in data.select(touched):
            for part in held.within(Range(run.file_offset, run.length)):
                yield Range(run.start + part.start - run.file_offset, part.length), part.start
