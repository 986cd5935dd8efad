"""Noise where a partition begins, which ends where the layer's file is cut, while what follows is plain.

A volume begins with a structure. One that is encrypted as a whole may begin with noise, but goes on with noise, and
with zeros where nothing was written yet; what was there before it ends anywhere.
"""

from collections.abc import Iterator

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts.partitions import Partition
from analyzer.witnesses.model import Cause, Doubted, Rate, Witness
from analyzer.witnesses.pages import Look, look_at
from analyzer.witnesses.places import places_of, ranges_shown
from analyzer.witnesses.stretches import Looks
from vhdx.plans import RunSource
from vhdx.ranges import Range, Ranges
from vhdx.structures.constants import MIB


def doubted_fronts(
    disk: RunSource, read: ReadableDisk, parts: list[Partition], layers: int, looks: Looks
) -> Iterator[tuple[list[Doubted], Rate]]:
    """The noise at the fronts of the disk and of partitions that is cut at whole MiB of a layer's file."""
    starts = sorted({0, *(part.start for part in parts)})  # by its backup a GPT is read whose front is noise
    noisy = [start for start in starts if look_at(read, start) == Look.NOISE]
    places = places_of(disk, np.array(noisy, dtype=np.int64))
    for start, layer, offset in zip(noisy, places.layer.tolist(), places.offset.tolist(), strict=True):
        if not 0 <= layer < layers:
            continue
        around = _holding(looks.stretches(layer, Look.NOISE, [offset // MIB]), offset)
        shown = _holding(ranges_shown(disk, layer, Ranges.of([around])), start)
        end = offset + shown.end - start
        if end % MIB == 0 and look_at(read, shown.end) == Look.OTHER:
            held = Ranges.of([around]).within(Range.between(offset - (start - shown.start), end))
            yield [Doubted(Cause.ENCRYPTED, layer, held, frozenset({Witness.FRONT}))], Rate(Witness.FRONT, 1, 0)


def _holding(ranges: Ranges, place: int) -> Range:
    """The one of them that a byte is in; that byte alone where none is."""
    return next((part for part in ranges if part.start <= place < part.end), Range(place, 1))
