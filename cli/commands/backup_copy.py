"""`vhdx backup copy` and `diff`: two repositories, and two restore points of one."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import click

from analyzer.address.point import RestorePoint
from analyzer.backup.copy import Copied, PointCopier, plan_copy
from analyzer.backup.errors import BadChunkError, DamagedObjectError, MissingObjectError
from analyzer.backup.lock_owner import Hold
from analyzer.backup.repository.repository import Repository
from analyzer.diff.find import Trust, find_changes, plan_changes
from analyzer.diff.points import compare_chunks
from analyzer.diff.ranges import UNIT
from cli import output
from cli.errors import when_interrupted
from cli.options.common import json_option
from cli.options.passphrase import passphrase_options
from cli.options.repository import (
    lock_of,
    point_named,
    rate_option,
    repository_argument,
    repository_of,
    wait_option,
)
from cli.progress import progress
from cli.text import exact_size, facts, line_width, plural, safe, say, size
from vhdx.errors import VhdxError
from vhdx.ranges import Range, joined


@click.command("copy")
@repository_argument
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--to", required=True, metavar="OTHER", help="The other repository, a folder or URL: `init` makes one.")
@passphrase_options("to", "the passphrase of OTHER")
@rate_option
@wait_option
@json_option
@when_interrupted("every restore point was copied whole or not at all; run the command again, it continues")
def copy_command(repository: str, names: Sequence[str], to: str) -> int:
    """Copy restore points to another repository, all of them or those named.

    Either may be encrypted, with a key of its own: chunks are read, compared with their ids, and stored under those of
    OTHER. What OTHER has is not stored again. Points keep names, times and tags, so that `create` builds on them, and
    the same command again copies what is new. A point that cannot be read is left out, and told at the end.

    \b
    Examples:
      vhdx backup copy /mnt/nas/backups --to sftp://user@host/backups
      vhdx backup copy /mnt/nas/backups latest --to /mnt/usb/backups
      vhdx backup copy /mnt/nas/backups --to s3://bucket/backups --to-passphrase-file ~/.vhdx-offsite
    """
    source, target = repository_of(repository), repository_of(to, "to")
    wanted = [point_named(source, name) for name in names] or source.names()
    copied = list[Copied]()
    with lock_of(target, Hold.SHARED, "copy") as lock:
        plan = plan_copy(source, target, wanted, lock.claim)
        failed: list[tuple[str, VhdxError]] = [*plan.damaged]
        with closing(PointCopier(plan)) as copier:
            for point in plan.points:
                try:
                    with progress(f"copying {safe(point.name)}", point.size) as update:
                        copied.append(copier.copy(point, update, lock.confirm))
                except (MissingObjectError, BadChunkError, DamagedObjectError) as error:
                    failed.append((point.name, error))
    return _tell(source, target, copied, plan.there, failed)


def _tell(
    source: Repository,
    target: Repository,
    copied: Sequence[Copied],
    there: Sequence[str],
    failed: Sequence[tuple[str, VhdxError]],
) -> int:
    for one in copied if not output.is_json() else ():
        chunks = plural(one.chunks_written, "new chunk")
        click.echo(f"{one.name}: copied, {chunks} stored in {size(one.bytes_written)}")
    if output.is_json():
        told = [{"name": name, "error": str(error), "exit_code": error.exit_code} for name, error in failed]
        payload = {"repository": source.place.url, "to": target.place.url, "copied": copied, "there": there}
        output.emit("backup copy", payload | {"failed": told})
    elif there:
        click.echo(f"{plural(len(there), 'restore point')} there already")
    for name, error in failed:
        say(f"error: {safe(name)}: {safe(str(error))}")
    return max((error.exit_code for _, error in failed), default=0)


@click.command("diff")
@repository_argument
@click.argument("old")
@click.argument("new")
@click.option("--list", "shape", flag_value="list", help="Print one line for each range.")
@click.option("--csv", "shape", flag_value="csv", help="Print start,length for each range, in bytes.")
@json_option
def diff_command(repository: str, old: str, new: str, shape: str | None) -> int:
    """Show which ranges of the disk differ between the restore points OLD and NEW.

    Ids of chunks are compared first, and only chunks that differ are read, to say which sectors do. Exit code 0 when
    nothing differs, 1 when something does.

    \b
    Examples:
      vhdx backup diff /mnt/nas/backups monday tuesday
      vhdx backup diff /mnt/nas/backups monday latest --list
    """
    kept = repository_of(repository)
    before, after = (RestorePoint(kept, point_named(kept, name)) for name in (old, new))
    plan, chunks = plan_changes(before, after, Trust.PROVENANCE, UNIT), compare_chunks(before.point, after.point)
    with progress("comparing", plan.work) as update:
        tables = find_changes(plan, before, after, update)
        ranges = [*joined(Range(start, length) for table in tables for start, length, _ in table)]
    changed = sum(one.length for one in ranges)
    if output.is_json():
        names = {"old": before.point.manifest.name, "new": after.point.manifest.name}
        payload: dict[str, Any] = {"repository": kept.place.url} | names
        payload |= {"size": plan.size, "chunks": chunks.total, "changed_chunks": chunks.changed}
        payload |= {"read_bytes": plan.work, "columns": ["start", "length"], "ranges": ranges}
        output.emit("backup diff", payload | {"changed_bytes": changed})
    elif shape:
        click.echo("start,length" if shape == "csv" else f"# {'start':>14} {'length':>16}")
        form = "{},{}" if shape == "csv" else "{:>16} {:>16}"
        output.emit_lines(form.format(*one) for one in ranges)
    else:
        click.echo(
            facts(
                [
                    ("disk", exact_size(plan.size)),
                    ("chunks", f"{chunks.changed} of {chunks.total} differ"),
                    ("differ", f"{exact_size(changed)} in {plural(len(ranges), 'range')}" if ranges else "nothing"),
                ],
                line_width(),
            )
        )
    return int(bool(ranges))
