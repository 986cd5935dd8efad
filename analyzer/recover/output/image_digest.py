"""The checksums of an image's known parts, of which its fingerprint is made: as it is written, and as it is read."""

from collections.abc import Iterable, Iterator

from analyzer.convert.cells import CELL, read_cells
from analyzer.convert.copying import CellChecksums
from analyzer.progress import Progress, no_progress
from analyzer.recover.ranges import Ranges
from analyzer.recovery_map.fingerprint import Part
from vhdx.reader import Reader, RunSource
from vhdx.structures.checksum import crc32c


def parts_written(checksums: CellChecksums, written: RunSource, known: Ranges) -> Iterator[Part]:
    """The known parts of an image that was written just now: only cells that are not known whole are read again."""
    reader = Reader(written)
    for cell, checksum in zip(checksums.cells, checksums.sums, strict=True):
        start, end = cell * CELL, min((cell + 1) * CELL, written.size)
        for lower, upper in known.within(start, end):
            if (lower, upper) == (start, end):
                yield start, end - start, checksum
            else:
                data = reader.read(lower, upper - lower)
                if data.count(0) < len(data):
                    yield lower, len(data), crc32c(data)


def parts_read(
    cells: Iterable[int], written: RunSource, known: Ranges, progress: Progress = no_progress
) -> Iterator[Part]:
    """The known parts of an image that is there, of which `cells` may hold anything but zeros; reads all of these."""
    for cell, data in read_cells(written, cells):
        start = cell * CELL
        for lower, upper in known.within(start, start + len(data)):
            part = data[lower - start : upper - start]
            if part.any():
                yield lower, upper - lower, crc32c(part)
        progress(len(data))
