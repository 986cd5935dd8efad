"""What differs between two restore points: chunks by their ids, and then sectors within those that differ."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.address.point import RestorePoint
from analyzer.backup.repository.index import id_array
from analyzer.backup.restore import PointDisk
from analyzer.convert.cells import CELL
from analyzer.diff.ranges import UNIT, differing_units
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.ranges import NO_RANGES, Range, Ranges, joined
from vhdx.reader import Reader


@dataclass(frozen=True, slots=True, eq=False)
class PointComparison:
    """Two points, and which ranges of both have to be read to compare them; sizes are bytes."""

    old: PointDisk
    new: PointDisk
    candidates: Ranges
    """As far as both disks go."""
    changed_chunks: int
    chunks: int

    @property
    def size(self) -> int:
        """Of the larger disk."""
        return max(self.old.size, self.new.size)

    @property
    def work(self) -> int:
        """Bytes to be read of either."""
        return self.candidates.size


def plan_comparison(old: PointDisk, new: PointDisk) -> PointComparison:
    """Compare the ids; all is a candidate where the chunks of the two are of different sizes, or ids of other keys."""
    common, chunk, count = min(old.size, new.size), new.index.chunk_size, len(new.index.ids)
    if old.index.chunk_size != chunk:
        return PointComparison(old, new, Ranges.of([Range(0, common)]), count, count)
    upto = min(len(old.index.ids), count)
    differs = id_array(old.index.ids[:upto]) != id_array(new.index.ids[:upto])
    numbers = Ranges.where(np.asarray(differs))
    # The last chunk of a disk that is shorter has another id than the one that goes on, whatever they hold.
    parts = (Range.between(one.start * chunk, min(one.end * chunk, common)) for one in numbers)
    chunks = max(len(old.index.ids), count)
    changed = numbers.size + chunks - upto
    return PointComparison(old, new, Ranges.of(part for part in parts if part.length), changed, chunks)


def same_chunks(old: Disk, new: Disk) -> Ranges:
    """Where two restore points, as they are opened by their addresses, have the same chunks; nowhere of other disks."""
    if not (isinstance(old, RestorePoint) and isinstance(new, RestorePoint)):
        return NO_RANGES
    plan = plan_comparison(old.point, new.point)
    return Ranges.of([Range(0, min(old.size, new.size))]) - plan.candidates


def compare_points(plan: PointComparison, progress: Progress = no_progress) -> Iterator[Range]:
    """The ranges in which the disks differ, sorted; what only one of them has counts. Raises as reading chunks does."""
    return joined(_differences(plan, progress))


def _differences(plan: PointComparison, progress: Progress) -> Iterator[Range]:
    readers = Reader(plan.old), Reader(plan.new)
    for part in (piece for one in plan.candidates for piece in one.pieces(CELL)):
        first, second = (np.frombuffer(reader.read(*part), np.uint8) for reader in readers)
        for unit in Ranges.where(differing_units(first, second)):
            end = min(unit.end * UNIT, part.length)
            yield Range.between(part.start + unit.start * UNIT, part.start + end)
        progress(part.length)
    common = min(plan.old.size, plan.new.size)
    if plan.size > common:
        yield Range.between(common, plan.size)
