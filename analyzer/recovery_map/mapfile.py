"""The mapfile of GNU ddrescue: which ranges of an image are good, which are not ([GNU ddrescue manual], "Mapfile")."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from analyzer.recovery_map.fingerprint import ImageFingerprint
from analyzer.recovery_map.paths import TITLE
from analyzer.recovery_map.status import Status
from vhdx.errors import OutputError
from vhdx.ranges import Range, Ranges, joined

_SIGNS = {Status.KNOWN: "+", Status.STALE: "/", Status.LOST: "-"}
_STATUSES = {sign: status for status, sign in _SIGNS.items()}
# What ddrescue itself writes for what was not tried: to be tried.
_OTHER_SIGNS = {"?": Status.LOST, "*": Status.LOST}
_IDENTITY = re.compile(r"# Disk: ([0-9a-f-]{36}(?: .*)?)")
_IMAGE = re.compile(r"^# Image: (.*)$", re.MULTILINE)
_HEAD_LENGTH = 1 << 12
# A mapfile that is longer is none.
_MOST_BYTES = 1 << 30

Row = tuple[Range, Status]
"""A range of the disk, and what is known of it."""


def mapfile_lines(rows: Iterable[Row], identity: str, fingerprint: ImageFingerprint | None = None) -> Iterator[str]:
    """The lines of a mapfile, each with its line feed; rows that touch and have one status become one line.

    `identity` is the leaf's data_write_guid, and which of its states was read: a later run is refused when it is about
    another disk. `fingerprint` is of the image, where a later run can go on with it.
    """
    yield f"{TITLE}\n"
    yield f"# Disk: {identity}\n"
    if fingerprint:
        yield f"# Image: {fingerprint}\n"
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
        rows = [_row(line) for line in _body(text)]
    except (OSError, ValueError, KeyError) as error:
        raise _refusal(path, f"it cannot be read as a mapfile ({error})") from error
    if found is None or found[1] != identity:
        raise _refusal(path, "it is not about this disk")
    if not _covers(rows, size):
        raise _refusal(path, f"it does not cover the disk's {size} bytes")
    return {status: Ranges.of(part for part, found in rows if found is status) for status in Status}


def read_fingerprint(path: Path) -> ImageFingerprint | None:
    """What the image was that a mapfile is about; None where the map does not tell. Raises OutputError."""
    try:
        with path.open(encoding="ascii") as file:
            found = _IMAGE.search(file.read(_HEAD_LENGTH))
    except (OSError, ValueError) as error:
        raise _refusal(path, f"it cannot be read as a mapfile ({error})") from error
    return ImageFingerprint.parse(found[1]) if found else None


def _refusal(path: Path, reason: str) -> OutputError:
    return OutputError(path, reason, "name another OUT, or begin anew with --force and without --resume")


def _body(text: str) -> Iterator[str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    yield from lines[1:]  # the first one is ddrescue's own position


def _row(line: str) -> Row:
    start, length, sign = line.split()[:3]
    status = _STATUSES.get(sign) or _OTHER_SIGNS[sign]
    return Range(int(start, 0), int(length, 0)), status


def _covers(rows: list[Row], size: int) -> bool:
    position = 0
    for part, _ in rows:
        if part.start != position or part.length <= 0:
            return False
        position = part.end
    return position == size
