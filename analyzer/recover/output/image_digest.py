"""What an image was when its map was written: by this a later run tells whether somebody wrote to it since.

Only what the map has as known counts, for that is what a later run takes from the image without reading it anew; and a
run that goes on with an image, and ends before it has named its own map, leaves just that as the older map has it.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Self

from analyzer.convert.cells import CELL, read_cells
from analyzer.convert.copying import Journal
from analyzer.progress import Progress, no_progress
from analyzer.recover.ranges import Ranges
from vhdx.errors import InputOutputError
from vhdx.reader import Reader, RunSource
from vhdx.structures.checksum import crc32c

_TEXT = re.compile(r"(\d{1,20}) bytes, modified (\d{1,20}) ns, known ([0-9a-f]{64})")
_PART = Struct("<QQI")

Part = tuple[int, int, int]
"""(start, length, CRC-32C) of known bytes within one cell, not all zeros."""


@dataclass(frozen=True, slots=True)
class Imprint:
    """Bytes of the image's file, its time in nanoseconds since 1970, and the SHA-256 of its known parts' checksums."""

    size: int
    modified: int
    known: str

    def __str__(self) -> str:
        return f"{self.size} bytes, modified {self.modified} ns, known {self.known}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` gave; None for anything else."""
        found = _TEXT.fullmatch(text)
        return cls(int(found[1]), int(found[2]), found[3]) if found else None

    @classmethod
    def of(cls, path: Path, parts: Iterable[Part]) -> Self:
        """Of the file as it is now; raises InputOutputError."""
        digest = sha256()
        for part in parts:
            digest.update(_PART.pack(*part))
        status = _status(path)
        return cls(status.st_size, status.st_mtime_ns, digest.hexdigest())

    def is_of_time(self, path: Path) -> bool:
        """Whether a file has the size and the time of this; raises InputOutputError."""
        status = _status(path)
        return (self.size, self.modified) == (status.st_size, status.st_mtime_ns)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise InputOutputError(path, "look at", error.strerror or str(error)) from error


def parts_written(journal: Journal, written: RunSource, known: Ranges) -> Iterator[Part]:
    """The known parts of an image that was written just now: only cells that are not known whole are read again."""
    reader = Reader(written)
    for cell, checksum in zip(journal.cells, journal.sums, strict=True):
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
