"""The files that lost and stale ranges touch, as `vhdx recover` lists them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analyzer.guest.filesystems.metadata_places import JOURNAL
from analyzer.guest.filesystems.record import Role
from analyzer.recover.affected_files import TouchedFile, TouchedFiles
from analyzer.recovery_map.mapfile import Status
from cli.render.files import plain_text, plain_troubles, plain_volume
from cli.text import plural, safe, size

# What fits a screen beside the totals; the account has all of them.
_FIRST = 10


def touched_lines(files: TouchedFiles, account: Path | None) -> Iterator[str]:
    """How many there are, the first ones, and where all of them are listed; nothing where everything is known."""
    if files.error:
        yield f"files: not looked for: {files.error}"
    yield from _volume_lines(files)
    if not files.volumes:
        return
    if files.untouched is None:
        yield "files: which ones are touched is not known, for none can be listed"
        return
    yield f"files: {plural(files.lost, 'file')} with something lost, {files.stale} with something stale{_partly(files)}"
    yield f"files: of {plural(files.untouched, 'file')} of users all is known"
    yield from map(_line, files.touched[:_FIRST])
    if files.count > _FIRST:
        where = safe(account) if account else "--json"
        yield f"  ... and {files.count - _FIRST} more: {where} lists them"
    yield from _journal_lines(files)
    for trouble in files.troubles[:_FIRST]:
        yield f"files: {safe(trouble)}"
    if len(files.troubles) > _FIRST:
        yield f"files: {plural(len(files.troubles) - _FIRST, 'more place')} could not be read"


def _volume_lines(files: TouchedFiles) -> Iterator[str]:
    for volume in files.volumes:
        if volume.reason:
            yield f"files: volume {volume.number} at {volume.start} cannot be listed: {safe(volume.reason)}"
        yield from (f"files: volume {volume.number}: {safe(note)}" for note in volume.notes)


def _journal_lines(files: TouchedFiles) -> Iterator[str]:
    """What a file system whose journal is not whole takes, before it can be checked or mounted."""
    for file in files.touched:
        if file.role is Role.SYSTEM and file.path == f"/{JOURNAL}":
            yield (
                f"files: volume {file.volume}: its journal is {file.status.value} in part; e2fsck may refuse it, or "
                "put zeros from it into the volume: take it away on a copy first (docs/wsl.md, "
                '"Where the journal is lost")'
            )


def _partly(files: TouchedFiles) -> str:
    return ", as far as volumes can be listed" if any(volume.reason for volume in files.volumes) else ""


def _line(file: TouchedFile) -> str:
    words = []
    if file.lost_bytes:
        words.append(f"{size(file.lost_bytes)} lost")
    if file.stale_bytes:
        words.append(f"{size(file.stale_bytes)} stale")
    if file.size is None:
        words.append("its record cannot be read: all of it is lost, how much is not known")
    elif file.metadata is not Status.KNOWN:
        words.append(f"its record or tables are {file.metadata.value}")
    return f"  {file.status.value:<5}  {file.volume}:{safe(file.path or '/')} ({', '.join(words)})"


def plain_touched(files: TouchedFiles) -> dict[str, Any]:
    """The files as JSON has them."""
    return {
        "error": files.error,
        "volumes": [plain_volume(volume) for volume in files.volumes],
        "count": files.count,
        "lost": files.lost,
        "stale": files.stale,
        "untouched": files.untouched,
        "touched": [_plain(file) for file in files.touched],
        "troubles": plain_troubles(files.troubles),
    }


def _plain(file: TouchedFile) -> dict[str, Any]:
    return {
        "volume": file.volume,
        "path": plain_text(file.path),
        "kind": file.kind.value,
        "role": file.role.value,
        "address": file.address,
        "size": file.size,
        "lost_bytes": file.lost_bytes,
        "stale_bytes": file.stale_bytes,
        "metadata": file.metadata.value,
    }
