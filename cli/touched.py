"""The files that lost and stale ranges touch, as `vhdx recover` tells of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analyzer.recover.account import Status
from analyzer.recover.files import TouchedFile, TouchedFiles
from cli.inside import plain_text, plain_troubles, plain_volume
from cli.text import plural, safe, size

_FIRST = 10


def touched_lines(files: TouchedFiles, account: Path | None) -> Iterator[str]:
    """How many there are, the first ones, and where all of them are listed; nothing where everything is known."""
    if files.error:
        yield f"files: not looked for: {files.error}"
    for volume in files.volumes:
        if volume.reason:
            yield f"files: volume {volume.number} at {volume.start} cannot be listed: {safe(volume.reason)}"
        yield from (f"files: volume {volume.number}: {safe(note)}" for note in volume.notes)
    if not files.volumes:
        return
    yield f"files: {plural(files.lost, 'file')} with something lost, {files.stale} with something stale"
    yield from map(_line, files.touched[:_FIRST])
    if files.count > _FIRST:
        where = safe(account) if account else "--json"
        yield f"  ... and {files.count - _FIRST} more: {where} lists them"
    for trouble in files.troubles[:_FIRST]:
        yield f"files: {safe(trouble)}"
    if len(files.troubles) > _FIRST:
        yield f"files: {len(files.troubles) - _FIRST} more places could not be read"


def _line(file: TouchedFile) -> str:
    words = []
    if file.lost_bytes:
        words.append(f"{size(file.lost_bytes)} lost")
    if file.stale_bytes:
        words.append(f"{size(file.stale_bytes)} stale")
    if file.metadata is not Status.KNOWN:
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
