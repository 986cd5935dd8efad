"""The volumes and files inside a state, as commands choose, print and give them in JSON."""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import click

from analyzer.guest.filesystems.errors import NoSuchVolumeError, UnreadableVolumeError
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import FileKind, FileRecord, FileState, Include, VolumeRecord
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.recovery_map.disk import losses_of
from cli import output
from cli.options.common import Declared, option
from cli.output import members
from cli.text import fitted, plural, safe, say, size
from vhdx.disk import Disk
from vhdx.errors import VhdxError

_IN_VOLUME = re.compile(r"([1-9][0-9]{0,2}):(/.*)", re.DOTALL)
# Columns below which mode and time go on a line of their own, so that names are not broken.
_NARROW, _WIDE, _BEFORE_NAME = 60, 100, 13
_TRIPLETS = ("---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx")
_EPOCH = datetime(1970, 1, 1)  # without a zone: all times are UTC, and printed as such
_BILLION = 1_000_000_000
_MINUTE = 60 * _BILLION
_STALE = "in doubt"
_LETTERS = {FileKind.FILE: "-", FileKind.DIRECTORY: "d", FileKind.LINK: "l", FileKind.OTHER: "?"}


def volume_option() -> Declared:
    """`--volume`, which of the disk's volumes is meant."""
    return option("Number of the volume, if the disk has several.", type=click.IntRange(min=1), metavar="N")


def volumes_of(disk: Disk) -> list[Volume]:
    """The volumes of a state, their notes said on stderr; raises MissingReaderError."""
    volumes = open_volumes(ReadableDisk(disk))
    for volume in volumes:
        for note in volume.record.notes:
            say(f"note: volume {volume.record.number}: {safe(note)}")
    return volumes


def in_volume(
    volumes: Sequence[Volume], number: int | None, paths: Sequence[str], disk: Disk
) -> tuple[Volume, list[str]]:
    """The volume that is meant and the paths in it, which may be as `vhdx files -r` prints them: 2:/etc/hosts.

    Of a disk with one volume, and with --volume, they are taken as they are, where they are there. Without either they
    are in the only volume that has them. Raises as `chosen` does.
    """
    found = [_IN_VOLUME.fullmatch(path) for path in paths]
    prefixed = [(int(match[1]), match[2]) for match in found if match]
    if number is not None or len(prefixed) != len(paths):
        return _with_all(volumes, number, paths, disk), list(paths)
    if len(volumes) == 1 and _has_all(volumes[0], paths):
        return chosen(volumes, number, disk), list(paths)
    if len({volume for volume, _ in prefixed}) > 1:
        raise NoSuchVolumeError(disk.path, "the paths are of several volumes", "name those of one volume at a time")
    return chosen(volumes, prefixed[0][0], disk), [path for _, path in prefixed]


def _with_all(volumes: Sequence[Volume], number: int | None, paths: Sequence[str], disk: Disk) -> Volume:
    """The volume that is meant: of several, the only one that has all of the paths; raises as `chosen` does."""
    readable = first_readings(volumes)
    having = [one for one in readable if _has_all(one, paths)] if number is None and len(readable) > 1 else []
    if len(having) != 1:
        return chosen(volumes, number, disk)
    say(f"note: volume {having[0].record.number} is the only one that has {safe(', '.join(paths))}")
    return having[0]


def _has_all(volume: Volume, paths: Sequence[str]) -> bool:
    from analyzer.guest.extract.job import named_in

    try:
        return bool(named_in(volume, paths, Include.DELETED))
    except VhdxError:
        return False


def chosen(volumes: Sequence[Volume], number: int | None, disk: Disk) -> Volume:
    """The volume that is meant: the one of that number, or the only one that can be read.

    Raises NoSuchVolumeError, UnreadableVolumeError.
    """
    if number is not None:
        if number > len(volumes):
            reason = f"it has no volume {number}"
            raise NoSuchVolumeError(disk.path, reason, f"choose one of 1 to {len(volumes)} with --volume N")
        volumes[number - 1].require_readable()  # raises the reason where the volume cannot be read
        return volumes[number - 1]
    readable = first_readings(volumes)
    if len(readable) == 1:
        return readable[0]
    if readable:
        reason = f"{len(readable)} of its volumes can be read"
        numbers = ", ".join(str(volume.record.number) for volume in readable)
        raise NoSuchVolumeError(disk.path, reason, f"choose one with --volume ({numbers})")
    if len(volumes) == 1:
        volumes[0].require_readable()
    reasons = "; ".join(f"volume {volume.record.number}: {volume.record.reason}" for volume in volumes)
    raise UnreadableVolumeError(volumes[0].record.number, f"no volume of the disk can be ({reasons})")


def first_readings(volumes: Iterable[Volume]) -> list[Volume]:
    """The volumes that can be read, without one that lies beneath them: that one is asked for by its number."""
    readable = [volume for volume in volumes if volume.is_readable]
    return [volume for volume in readable if not volume.record.beneath] or readable


def volume_lines(records: Iterable[VolumeRecord]) -> Iterator[str]:
    """A line for each volume, and one below it for what is wrong with it."""
    for record in records:
        label = f"  {safe(record.label)}" if record.label else ""
        yield f"{record.number:>3}  {safe(record.type):<8} {size(record.length):>10} at {record.start}{label}"
        for text in (*((record.reason,) if record.reason else ()), *record.notes):
            yield f"     {safe(text)}"


def terminal_width() -> int:
    """Columns of the terminal; those of a wide one where there is none."""
    return shutil.get_terminal_size((_WIDE, 24)).columns


def file_line(record: FileRecord, shown: str, width: int, doubt: str = "") -> str:
    """A line as `ls -l` has it, `doubt` behind it; on a terminal of few columns several lines.

    There, size and name come first, below them what is said of the file, its mode and its time; a name is never broken.
    """
    target = f" -> {safe(record.target)}" if record.kind is FileKind.LINK and record.target is not None else ""
    state = "" if record.state is FileState.ALLOCATED else f" ({record.state.value})"
    slash = "/" if record.kind is FileKind.DIRECTORY else ""
    obstacle = f" [{safe(record.obstacle)}]" if record.obstacle and record.state is FileState.ALLOCATED else ""
    doubted = f" [{doubt}]" if doubt else ""
    name, notes = f"{safe(shown)}{slash}{target}{state}", f"{obstacle}{doubted}"
    if notes and _BEFORE_NAME + len(name) + len(notes) > width and width < _NARROW:  # no room behind the name
        notes = "".join(f"\n{line}" for line in fitted([f"    {notes.strip()}"], width))
    end = f"{name}{notes}"
    mode = _LETTERS[record.kind] + _permissions(record.mode & 0o777)
    size_told = "?" if record.is_name_alone else str(record.size)
    when = "" if record.times.modified is None else _minute(record.times.modified // _MINUTE)
    if width < _NARROW:
        return f"{size_told:>12} {end}\n    {mode} {when}".rstrip()
    return f"{mode} {size_told:>14} {when:<16} {end}"


@cache
def _permissions(mode: int) -> str:
    """Nine bits as `ls` has them; there are 512 of them."""
    return "".join(_TRIPLETS[mode >> shift & 7] for shift in (6, 3, 0))


@lru_cache(maxsize=256)  # files of one folder are mostly of few minutes
def _minute(number: int) -> str:
    """A minute since 1970 as 2026-01-31 12:00."""
    return iso(number * _MINUTE)[:16].replace("T", " ")


def iso(moment: int) -> str:
    """Nanoseconds since 1970 as 2026-01-31T12:00:00.123456700Z; past the year 9999 as the number itself."""
    seconds, fraction = divmod(moment, _BILLION)
    try:
        when = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return str(moment)
    return f"{when.isoformat()}.{fraction:09}Z"


def plain_file(record: FileRecord) -> dict[str, Any]:
    """A file as JSON has it."""
    (volume, path, address, parent, kind, sequence, state, role, size, times, mode, owner, group, links, target, _,
     streams, metadata, obstacle) = record  # fmt: skip
    return {
        "volume": volume, "path": output.plain_text(path), "kind": kind.value, "state": state.value, "role": role.value,
        "size": None if record.is_name_alone else size,
        "times": {name: None if moment is None else iso(moment) for name, moment in times._asdict().items()},
        "address": address, "sequence": sequence, "parent": parent, "mode": mode, "owner": owner, "group": group,
        "links": links, "target": target and output.plain_text(target),
        "streams": [{"name": output.plain_text(stream.name), "size": stream.size} for stream in streams],
        "content": record.content, "metadata": metadata, "obstacle": obstacle and output.plain_text(obstacle),
    }  # fmt: skip


class Known:
    """Says of each file whether all of it is known, by tables, maps beside the files of the disk, and maps of ddrescue.

    Where nothing is lost, a name that has no record is all that is not known. `unknown` counts the files so far.
    """

    def __init__(self, disk: Disk) -> None:
        """Of the files in `disk`."""
        self._losses, self.unknown = losses_of(disk), 0

    def told(self, record: FileRecord) -> str:
        """What is said of a file; nothing where all of it is known, or what is not is said already."""
        known = self._known(record)
        if known["status"] == "lost" and not record.obstacle:
            if not known["lost_bytes"]:
                return "its record or its tables are lost"
            return f"{plural(known['lost_bytes'], 'byte')} of it {'is' if known['lost_bytes'] == 1 else 'are'} lost"
        return _STALE if known["status"] == "stale" else ""

    def plain(self, record: FileRecord) -> dict[str, Any]:
        """A file as JSON has it, with `known` where something of the disk is not."""
        known = self._known(record)
        return plain_file(record) | ({"known": known} if self._losses else {})

    def listing_of(self, folder: FileRecord) -> str:
        """What is to be said of a list of what is in a folder, by where the folder itself is."""
        losses = self._losses
        if losses is None or not losses.stale.touches_any(folder.metadata):
            return ""
        self.unknown += 1
        return f"{folder.path or '/'}: the folder itself is in doubt: names may be missing, or of an older state"

    def _known(self, record: FileRecord) -> dict[str, Any]:
        if self._losses is None:
            self.unknown += record.is_name_alone
            return {"status": "lost" if record.is_name_alone else "known"}
        from analyzer.recover.affected_files import touched_file

        found = touched_file(record, self._losses.lost, self._losses.stale)
        if found is None:
            return {"status": "known", "lost_bytes": 0, "stale_bytes": 0, "metadata": "known"}
        self.unknown += 1
        counted = members(found, "lost_bytes", "stale_bytes")
        return {"status": found.status.value} | counted | {"metadata": found.metadata.value}


def say_troubles(volumes: Iterable[Volume]) -> int:
    """Say on stderr what could not be read; returns the exit code that this asks for."""
    said = list(volumes)
    for volume in said:
        for trouble in volume.troubles[:20]:
            say(f"warning: {safe(trouble)}")
        if left := len(volume.troubles[20:]) + volume.unlisted:
            more = f"volume {volume.record.number}: {plural(left, 'more place')} could not be read"
            say(f"warning: {more}")
    return int(any(volume.troubles for volume in said))
