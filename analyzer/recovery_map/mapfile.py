"""The map that `vhdx recover` leaves beside an image: its format, and what the image was when it was written.

It is the mapfile of GNU ddrescue: which ranges of an image are good, which are not ([GNU ddrescue manual], "Mapfile").
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import Self

from analyzer.recovery_map.beside import front_of
from vhdx.errors import InputOutputError, OutputError
from vhdx.ranges import Range, Ranges, joined
from vhdx.source_map import rows_of


class Status(Enum):
    """What is known of a range of the disk."""

    KNOWN = "known"
    """It is what the newest file that was given shows: nothing that is missing could have changed it."""
    STALE = "stale"
    """It is an older state, or one in doubt: a layer that is missing may have changed it."""
    LOST = "lost"
    """Nothing is known of it; the output has its fill there."""


TITLE = "# Mapfile. Created by vhdx recover"
CARVED = "Carved from "
"""How the note begins in the map of a file that was taken out of the disk of a host: no recovery wrote that file."""
_SIGNS = {Status.KNOWN: "+", Status.STALE: "/", Status.LOST: "-"}
# With what ddrescue itself writes for what was not tried: to be tried.
_STATUSES = {sign: status for status, sign in _SIGNS.items()} | {"?": Status.LOST, "*": Status.LOST}
_IDENTITY = re.compile(r"# Disk: ([0-9a-f-]{36}(?: .*)?)")
_IMAGE = re.compile(r"^# Image: (\d{1,20}) bytes, modified (\d{1,20}) ns, known ([0-9a-f]{64})$", re.MULTILINE)
_HEAD_LENGTH = 1 << 12
# A mapfile that is longer is none.
_MOST_BYTES = 1 << 30
_PART = Struct("<QQI")

Row = tuple[Range, Status]
"""A range of the disk, and what is known of it."""
Part = tuple[int, int, int]
"""(start, length, CRC-32C) of known bytes within one cell, not all zeros."""


def is_own_mapfile(path: Path) -> bool:
    """Whether a file begins as a mapfile of `vhdx recover` does."""
    return front_of(path, len(TITLE)) == TITLE.encode()


def identity_in(path: Path) -> str | None:
    """The GUID that a mapfile of `vhdx recover` is about; None of any other file."""
    found = _IDENTITY.search(front_of(path, _HEAD_LENGTH).decode("ascii", "replace")) if is_own_mapfile(path) else None
    return found[1].split()[0] if found else None


@dataclass(frozen=True, slots=True)
class ImageFingerprint:
    """What an image was when its map was written, so that a later run knows whether somebody wrote to it since.

    Bytes of the image's file, its time in nanoseconds since 1970, and the SHA-256 of its known parts' checksums: only
    what the map has as known counts, for that is what a later run takes from the image without reading it anew; and a
    run that resumes an image, and ends before it has named its own map, leaves just that as the older map has it.
    """

    size: int
    modified: int
    known: str

    def __str__(self) -> str:
        return f"{self.size} bytes, modified {self.modified} ns, known {self.known}"

    @classmethod
    def of(cls, path: Path, parts: Iterable[Part]) -> Self:
        """Of the file as it is now; raises InputOutputError."""
        digest = sha256()
        for part in parts:
            digest.update(_PART.pack(*part))
        return cls(*_size_and_time(path), digest.hexdigest())

    def is_of_time(self, path: Path) -> bool:
        """Whether a file has the size and the time of this; raises InputOutputError."""
        return (self.size, self.modified) == _size_and_time(path)


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise InputOutputError(path, "look at", error.strerror or str(error)) from error
    return status.st_size, status.st_mtime_ns


def is_of_carved(path: Path) -> bool:
    """Whether a file begins as the mapfile of a file that was taken out of the disk of a host."""
    return is_own_mapfile(path) and f"\n# {CARVED}".encode() in front_of(path, _HEAD_LENGTH)


def mapfile_lines(
    rows: Iterable[Row], identity: str, fingerprint: ImageFingerprint | None = None, note: str = ""
) -> Iterator[str]:
    """The lines of a mapfile, each with its line feed; rows that touch and have one status become one line.

    `identity` is the leaf's data_write_guid, and which of its states was read: a later run is refused when it is about
    another disk. `fingerprint` is of the image, where a later run can resume it; `note` is a line for people.
    """
    yield f"{TITLE}\n"
    yield f"# Disk: {identity}\n"
    if fingerprint:
        yield f"# Image: {fingerprint}\n"
    if note:
        yield f"# {note}\n"
    yield "# + known, / an older state or one in doubt, - lost\n"
    yield "# current_pos  current_status  current_pass\n"
    yield "0x00000000     +               1\n"
    yield "#      pos        size  status\n"
    for status, alike in groupby(rows, key=itemgetter(1)):
        for part in joined(part for part, _ in alike):
            yield f"0x{part.start:08X}  0x{part.length:08X}  {_SIGNS[status]}\n"


def read_mapfile(path: Path, size: int, identity: str) -> dict[Status, Ranges]:
    """What a mapfile that an earlier run left beside its image has of each status; `size` is the disk's, in bytes.

    Raises OutputError when it is none, is about another disk, or does not cover this one.
    """
    try:
        text = path.read_text(encoding="ascii") if path.stat().st_size <= _MOST_BYTES else ""
        found = _IDENTITY.search(text)
        rows = [(part, _STATUSES[sign]) for part, sign in rows_of(text)]
    except (OSError, ValueError) as error:
        raise _refusal(path, f"it cannot be read as a mapfile ({error})") from error
    if found is None or found[1] != identity:
        raise _refusal(path, "it is not about this disk")
    starts, ends = [part.start for part, _ in rows], [part.end for part, _ in rows]
    if [*starts, size] != [0, *ends]:
        raise _refusal(path, f"it does not cover the disk's {size} bytes")
    return {status: Ranges.of(part for part, found in rows if found is status) for status in Status}


def read_fingerprint(path: Path) -> ImageFingerprint | None:
    """What the image was that a mapfile is about; None where the map does not say. Raises OutputError."""
    try:
        with path.open(encoding="ascii") as file:
            found = _IMAGE.search(file.read(_HEAD_LENGTH))
    except (OSError, ValueError) as error:
        raise _refusal(path, f"it cannot be read as a mapfile ({error})") from error
    return ImageFingerprint(int(found[1]), int(found[2]), found[3]) if found else None


def _refusal(path: Path, reason: str) -> OutputError:
    return OutputError(path, reason, "name another OUT, or begin anew with --force and without --resume")
