"""The mapfile of GNU ddrescue: which ranges of an image are good, which are not ([GNU ddrescue manual], "Mapfile")."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from analyzer.recovery_map.fingerprint import ImageFingerprint
from analyzer.recovery_map.paths import TITLE
from analyzer.recovery_map.status import Status
from vhdx.errors import OutputError

_SIGNS = {Status.KNOWN: "+", Status.STALE: "/", Status.LOST: "-"}
_STATUSES = {sign: status for status, sign in _SIGNS.items()}
_OTHER_SIGNS = {"?": Status.LOST, "*": Status.LOST}
"""What ddrescue itself writes for what was not tried: to be tried."""
_IDENTITY = re.compile(r"# Disk: ([0-9a-f-]{36}(?: .*)?)")
_IMAGE = re.compile(r"^# Image: (.*)$", re.MULTILINE)
_HEAD_LENGTH = 1 << 12
_MOST_BYTES = 1 << 30
"""A mapfile that is longer is none."""

Stretch = tuple[int, int, Status]
"""(start, end, status) in bytes of the disk."""


def mapfile_lines(
    stretches: Iterable[Stretch], identity: str, fingerprint: ImageFingerprint | None = None
) -> Iterator[str]:
    """The lines of a mapfile, each with its line feed; neighbours of one status become one line.

    `identity` is the leaf's data_write_guid, and which of its states was read: a later run is refused when it is about
    another disk. `fingerprint` is of the image, where a later run can go on with it.
    """
    merged = list_merged(stretches)
    yield f"{TITLE}\n"
    yield f"# Disk: {identity}\n"
    if fingerprint:
        yield f"# Image: {fingerprint}\n"
    yield "# + known, / an older state or one in doubt, - lost\n"
    yield "# current_pos  current_status  current_pass\n"
    yield "0x00000000     +               1\n"
    yield "#      pos        size  status\n"
    for start, end, status in merged:
        yield f"0x{start:08X}  0x{end - start:08X}  {_SIGNS[status]}\n"


def list_merged(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Stretches that follow one another, those of one status made one."""
    pending: Stretch | None = None
    for start, end, status in stretches:
        if pending and pending[2] is status and pending[1] == start:
            pending = (pending[0], end, status)
        else:
            if pending:
                yield pending
            pending = (start, end, status)
    if pending:
        yield pending


def read_mapfile(path: Path, size: int, identity: str) -> list[Stretch]:
    """The stretches of a mapfile that an earlier run left beside its image; `size` is the disk's, in bytes.

    Raises OutputError when it is none, is about another disk, or does not cover this one.
    """
    try:
        text = path.read_text(encoding="ascii") if path.stat().st_size <= _MOST_BYTES else ""
        found = _IDENTITY.search(text)
        stretches = [_stretch(line) for line in _body(text)]
    except (OSError, ValueError, KeyError) as error:
        raise _refusal(path, f"it cannot be read as a mapfile ({error})") from error
    if found is None or found[1] != identity:
        raise _refusal(path, "it is not about this disk")
    if not _covers(stretches, size):
        raise _refusal(path, f"it does not cover the disk's {size} bytes")
    return stretches


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


def _stretch(line: str) -> Stretch:
    start, length, sign = line.split()[:3]
    status = _STATUSES.get(sign) or _OTHER_SIGNS[sign]
    return int(start, 0), int(start, 0) + int(length, 0), status


def _covers(stretches: list[Stretch], size: int) -> bool:
    position = 0
    for start, end, _ in stretches:
        if start != position or end <= start:
            return False
        position = end
    return position == size
