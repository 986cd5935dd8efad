"""The checksums of an image's known parts, of which its fingerprint is made: as it is written, and as it is read."""

from collections.abc import Iterable, Iterator

from analyzer.convert.cells import CELL, read_cells
from analyzer.convert.copying import CellChecksums
from analyzer.progress import Progress, no_progress
from analyzer.recovery_map.mapfile import Part
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader, RunSource
from vhdx.structures.checksum import crc32c


def parts_written(checksums: CellChecksums, written: RunSource, known: Ranges) -> Iterator[Part]:
    """The known parts of an image that was written just now: only cells that are not known whole are read again."""
    reader = Reader(written)
    for cell, checksum in zip(checksums.cells, checksums.sums, strict=True):
        whole = Range.between(cell * CELL, min((cell + 1) * CELL, written.size))
        for part in known.within(whole):
            if part == whole:
                yield *whole, checksum
            else:
                data = reader.read(part.start, part.length)
                if data.count(0) < len(data):
                    yield *part, crc32c(data)


def parts_read(
    cells: Iterable[int], written: RunSource, known: Ranges, progress: Progress = no_progress
) -> Iterator[Part]:
    """The known parts of an image that is there, of which `cells` may hold anything but zeros; reads all of these."""
    for cell, data in read_cells(written, cells):
        start = cell * CELL
        for one in known.within(Range(start, len(data))):
            part = data[one.start - start : one.end - start]
            if part.any():
                yield *one, crc32c(part)
        progress(len(data))
