"""Holes of the host in the midst of files: where a file is kept without holes but there, the host lost what was there.

Many files are sparse, and all that is zeros in them is holes; those say nothing. In one that is kept without holes the
zeros that nobody uses are stored as well. A hole in what a file of the guest holds was never written by the host, or
is what was left when it lost a page.
"""

from collections.abc import Iterator

import numpy as np

from analyzer.guest.usage.model import Extents
from analyzer.witnesses.model import Cause, Doubted, Rate, Witness
from analyzer.witnesses.pages import Look
from analyzer.witnesses.places import holes_in_files
from analyzer.witnesses.stretches import Looks
from vhdx.plans import RunSource
from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.source import extents_of
from vhdx.structures.constants import MIB

# MiB of a file in which stored zeros are looked for: as many as tell how a file is kept.
_MOST_LOOKED = 256


def doubted_holes(
    disk: RunSource, layers: int, contents: Extents, looks: Looks
) -> Iterator[tuple[list[Doubted], Rate]]:
    """By layer, the holes in the midst of files, and how often holes are elsewhere among the zeros of that length."""
    used = Ranges.of_columns(contents.start, contents.length)
    for layer in range(layers):
        source = disk.sources[layer]
        holes = Ranges.of(extents_of(source)).gaps(Range(0, source.size)) if used else NO_RANGES
        in_files = holes_in_files(disk, layer, holes, used)
        if not in_files:
            continue
        rate = _rate(layer, holes, in_files, looks, source.size)
        found = [Doubted(Cause.HOLES, layer, in_files, frozenset({Witness.HOLES}))]
        yield found if rate.is_believed else [], rate


def _rate(layer: int, holes: Ranges, in_files: Ranges, looks: Looks, size: int) -> Rate:
    """Of the stretches of zeros outside of files, as long as the shortest hole in one, how many are holes."""
    least = int(in_files.length.min())
    elsewhere = [part for part in holes if part.length >= least and not in_files.touches(part)]
    mibs = np.linspace(0, max(0, size // MIB - 1), min(_MOST_LOOKED, max(1, size // MIB)), dtype=np.int64)
    zeros = Ranges.of(part for mib in np.unique(mibs).tolist() for part in looks.alike_in(layer, mib, Look.ZEROS))
    stored = sum(part.length >= least for part in zeros - holes)
    return Rate(Witness.HOLES, stored + len(elsewhere), len(elsewhere))
