"""Which chunks differ between two restore points, by their ids."""

from dataclasses import dataclass

import numpy as np

from analyzer.address.point import RestorePoint
from analyzer.backup.repository.index import id_array
from analyzer.backup.restore import PointDisk
from vhdx.disk import Disk
from vhdx.ranges import NO_RANGES, Range, Ranges


@dataclass(frozen=True, slots=True, eq=False)
class ComparedChunks:
    """How the chunks of two points compare, by their ids."""

    differing: Ranges
    """Bytes of both disks that may differ, as far as both go."""
    changed: int
    total: int


def compare_chunks(old: PointDisk, new: PointDisk) -> ComparedChunks:
    """Compare the ids; all may differ where the chunks of the two are of different sizes, or ids of other keys."""
    common, chunk, count = min(old.size, new.size), new.index.chunk_size, len(new.index.ids)
    if old.index.chunk_size != chunk:
        return ComparedChunks(Ranges.of([Range(0, common)]), count, count)
    upto = min(len(old.index.ids), count)
    differs = id_array(old.index.ids[:upto]) != id_array(new.index.ids[:upto])
    numbers = Ranges.where(np.asarray(differs))
    # The last chunk of a disk that is shorter has another id than the one that goes on, whatever they hold.
    parts = (Range.between(one.start * chunk, min(one.end * chunk, common)) for one in numbers)
    chunks = max(len(old.index.ids), count)
    return ComparedChunks(Ranges.of(part for part in parts if part.length), numbers.size + chunks - upto, chunks)


def same_chunks(old: Disk, new: Disk) -> Ranges:
    """Where two restore points, as they are opened by their addresses, have the same chunks; nowhere of other disks."""
    if not (isinstance(old, RestorePoint) and isinstance(new, RestorePoint)):
        return NO_RANGES
    return Ranges.of([Range(0, min(old.size, new.size))]) - compare_chunks(old.point, new.point).differing
