"""The files that a recovery touches, as lines."""

from collections.abc import Iterator
from pathlib import Path

from analyzer.guest.filesystems.metadata_places import JOURNAL
from analyzer.guest.filesystems.record import Role
from analyzer.recover.affected_files import TouchedFile, TouchedFiles
from analyzer.recovery_map.mapfile import Status
from cli.text import plural, safe, size

# The account has all of them.
_FIRST_FILES = 10


def touched_lines(files: TouchedFiles, account: Path | None) -> Iterator[str]:
    """How many there are, the first ones, and where all of them are listed; nothing where everything is known."""
    yield from why_not_listed(files)
    if files.untouched is None:
        return
    is_part = bool(files.troubles) or any(volume.reason for volume in files.volumes)
    partly = ", as far as volumes can be listed" if is_part else ""
    yield f"files: {plural(files.lost, 'file')} with something lost, {files.stale} with something stale{partly}"
    yield from (f"  {file_line(file)}" for file in files.touched[:_FIRST_FILES])
    if files.count > _FIRST_FILES:
        where = safe(account) if account else "--json"
        yield f"  ... and {files.count - _FIRST_FILES} more: {where} lists them"
    for trouble in files.troubles[:_FIRST_FILES]:
        yield f"files: {safe(trouble)}"
    if len(files.troubles) > _FIRST_FILES:
        yield f"files: {plural(len(files.troubles) - _FIRST_FILES, 'more place')} could not be read"


def why_not_listed(files: TouchedFiles) -> Iterator[str]:
    """What keeps files from being counted."""
    if files.error:
        yield f"files: not looked for: {files.error}"
    for volume in files.volumes:
        if volume.reason:
            yield f"files: volume {volume.number} at {volume.start} cannot be listed: {safe(volume.reason)}"
        yield from (f"files: volume {volume.number}: {safe(note)}" for note in volume.notes)
    if files.volumes and files.untouched is None:
        yield "files: which ones are touched is not known, for none can be listed"


def journal_lines(files: TouchedFiles) -> Iterator[str]:
    """What a file system whose journal is not whole takes, before it can be checked or mounted."""
    for file in files.touched:
        if file.role is Role.SYSTEM and file.path == f"/{JOURNAL}" and not file.likely:
            yield (
                f"files: volume {file.volume}: its journal is {file.status.value} in part; e2fsck may refuse it, or "
                "put zeros from it into the volume: take it away on a copy first (docs/wsl.md, "
                '"Where the journal is lost")'
            )


def file_line(file: TouchedFile) -> str:
    """One file, and what of it is lost or in doubt."""
    words = []
    if file.lost_bytes:
        words.append(f"{size(file.lost_bytes)} lost")
    if file.stale_bytes:
        words.append(f"{size(file.stale_bytes)} stale")
    if file.size is None:
        words.append("its record cannot be read: all of it is lost, how much is not known")
    elif file.metadata is not Status.KNOWN:
        words.append(f"its record or tables are {file.metadata.value}")
    return f"{file.status.value:<5}  {file.volume}:{safe(file.path or '/')} ({', '.join(words)})"
