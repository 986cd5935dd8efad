"""`vhdx backup stats`."""

import click

from analyzer.backup.stats import Stats, stats_of
from cli import output
from cli.options.common import json_option
from cli.options.repository import repository_argument, repository_of, warn_of_damaged
from cli.text import plural, size


@click.command("stats")
@repository_argument
@json_option
def command(repository: str, as_json: bool) -> int:
    """Show how much a repository stores, and how much of it each restore point holds alone.

    Exit code 1 when the manifest of a restore point cannot be read.

    \b
    Examples:
      vhdx backup stats /mnt/nas/backups
    """
    kept = repository_of(repository)
    stats = stats_of(kept)
    warn_of_damaged(stats.damaged)
    if as_json:
        output.emit("backup stats", {"repository": kept.place.url, "stats": stats})
    else:
        output.emit_sentences([*_points(stats), *_whole(stats)])
    return int(bool(stats.damaged))


def _points(stats: Stats) -> list[str]:
    return [
        f"{point.name}: disk of {size(point.size)}, {plural(point.chunks, 'chunk')} in {size(point.bytes)}, "
        f"alone {point.own_chunks} in {size(point.own_bytes)}"
        for point in stats.points
    ]


def _whole(stats: Stats) -> list[str]:
    disks = f"{plural(len(stats.points), 'restore point')} of {size(stats.disk_bytes)} of disks"
    of_none = "needed by none of these; the damaged may" if stats.damaged else "needed by none (`vhdx backup prune`)"
    unused = f"{stats.unused_chunks} of them in {size(stats.unused_bytes)} {of_none}"
    return [f"{disks} in {plural(stats.chunks, 'chunk')} of {size(stats.bytes)}; {unused}"]
