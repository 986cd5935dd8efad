"""What an image was when its map was written: by this a later run tells whether somebody wrote to it since.

Only what the map has as known counts, for that is what a later run takes from the image without reading it anew; and a
run that goes on with an image, and ends before it has named its own map, leaves just that as the older map has it.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Self

from vhdx.errors import InputOutputError

_TEXT = re.compile(r"(\d{1,20}) bytes, modified (\d{1,20}) ns, known ([0-9a-f]{64})")
_PART = Struct("<QQI")

Part = tuple[int, int, int]
"""(start, length, CRC-32C) of known bytes within one cell, not all zeros."""


@dataclass(frozen=True, slots=True)
class ImageFingerprint:
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
