"""`vhdx backup prune`."""

from typing import Any

import click

from analyzer.backup.locks.locks import take
from analyzer.backup.locks.owners import Hold
from analyzer.backup.prune import WINDOW, PrunePlan, plan_prune, run_prune
from cli import output
from cli.errors import when_interrupted
from cli.options.common import Number, json_option
from cli.options.repository import repository_argument, repository_of
from cli.progress import progress
from cli.text import plural, size

_HOUR = 3600.0


@click.command("prune")
@repository_argument
@click.option(
    "--window",
    type=Number(min=0),
    default=WINDOW / _HOUR,
    show_default=True,
    metavar="HOURS",
    help="Grace period before unreferenced chunks are deleted; 0 deletes immediately, protected only by the lock.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; delete nothing.")
@json_option
@when_interrupted("every restore point is whole; run the command again, it goes on from there")
def command(repository: str, window: float, dry_run: bool, as_json: bool) -> None:
    """Delete the chunks that no restore point needs.

    The first run lists them, and a run after the window deletes those still unneeded: so nothing that a `create` is
    about to use is lost, even where locks fail. Refused while a `create` runs. Killed at any moment, it leaves every
    restore point whole.

    \b
    Examples:
      vhdx backup prune /mnt/nas/backups
      vhdx backup prune /mnt/nas/backups --window 0
      vhdx backup prune sftp://user@host/backups --dry-run
    """
    kept = repository_of(repository)
    with take(kept.place, Hold.EXCLUSIVE, "prune") as lock:
        plan = plan_prune(kept, lock, window * _HOUR)
        if not dry_run:
            with progress("pruning", _bytes(plan)["ripe"]) as update:
                run_prune(plan, kept, lock, update)
    if as_json:
        output.emit("backup prune", {"repository": kept.place.url, "done": not dry_run} | _plain(plan))
    else:
        output.emit_sentences(_lines(plan, done=not dry_run))


def _bytes(plan: PrunePlan) -> dict[str, int]:
    return {
        "ripe": sum(entry.size for entry in (*plan.ripe, *plan.remains)),
        "waiting": sum(entry.size for entry in plan.waiting),
        "fresh": sum(entry.size for entry in plan.fresh),
    }


def _plain(plan: PrunePlan) -> dict[str, Any]:
    counted = _bytes(plan)
    return {
        "window_seconds": plan.window,
        "points": plan.points,
        "chunks": plan.chunks,
        "chunk_bytes": plan.chunk_bytes,
        "deleted_chunks": len(plan.ripe),
        "deleted_remains": len(plan.remains),
        "deleted_bytes": counted["ripe"],
        "waiting_chunks": len(plan.waiting),
        "waiting_bytes": counted["waiting"],
        "listed_chunks": len(plan.fresh),
        "listed_bytes": counted["fresh"],
    }


def _lines(plan: PrunePlan, *, done: bool) -> list[str]:
    counted = _bytes(plan)
    would = "" if done else "would be "
    lines = [f"{plural(plan.points, 'restore point')}, {plural(plan.chunks, 'chunk')} of {size(plan.chunk_bytes)}"]
    lines.append(f"{would}deleted: {plural(len(plan.ripe), 'chunk')}, {size(counted['ripe'])} in all")
    if plan.fresh:
        hours = f"{plan.window / _HOUR:g} {'hour' if plan.window == _HOUR else 'hours'}"
        after = f"a prune in {hours} or later deletes them"
        lines.append(
            f"{would}listed as unneeded: {plural(len(plan.fresh), 'chunk')}, {size(counted['fresh'])}; {after}"
        )
    if plan.waiting:
        lines.append(
            f"listed before, not for long enough: {plural(len(plan.waiting), 'chunk')}, {size(counted['waiting'])}"
        )
    return lines
