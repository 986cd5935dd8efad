"""`vhdx backup prune`, `verify` and `unlock`: what goes through all of a repository, and what lets that begin."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from analyzer.backup.errors import PlaceError
from analyzer.backup.lock_owner import Hold
from analyzer.backup.locks import SILENT, Standing, unlock
from analyzer.backup.prune import WINDOW, PrunePlan, plan_prune, run_prune
from analyzer.backup.repository.chunks import FOLDER as CHUNKS
from analyzer.backup.repository.repository import Repository, read_settings
from analyzer.backup.storage.storage import Entry
from analyzer.backup.verify import Depth, Problem, Scope, Traces, Verification, verify
from cli import output
from cli.errors import when_interrupted
from cli.options.common import DURATION, Number, json_option
from cli.options.repository import (
    lock_of,
    loss,
    place_of,
    rate_option,
    repository_argument,
    repository_of,
    wait_option,
)
from cli.output import members
from cli.progress import counter, progress
from cli.text import plural, safe, say, size

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
@wait_option
@json_option
@when_interrupted("every restore point is whole; run the command again, it continues from there")
def command(repository: str, window: float, dry_run: bool) -> None:
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
    with lock_of(kept, Hold.EXCLUSIVE, "prune") as lock:
        plan = plan_prune(kept, lock, window * _HOUR)
        if not dry_run:
            with progress("pruning", _size((*plan.ripe, *plan.remains))) as update:
                run_prune(plan, kept, lock, update)
    payload = {"repository": kept.place.url, "done": not dry_run} | _plain(plan)
    output.answer("backup prune", payload, _lines(plan, would="would be " if dry_run else ""))


def _plain(plan: PrunePlan) -> dict[str, Any]:
    listed = {"deleted": plan.ripe, "waiting": plan.waiting, "listed": plan.fresh}
    plain = {"window_seconds": plan.window} | members(plan, "points", "chunks", "chunk_bytes")
    plain |= {f"{name}_chunks": len(entries) for name, entries in listed.items()}
    plain |= {f"{name}_bytes": _size(entries) for name, entries in listed.items()}
    return plain | {"deleted_remains": len(plan.remains), "deleted_bytes": _size((*plan.ripe, *plan.remains))}


def _size(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _lines(plan: PrunePlan, would: str) -> Iterator[str]:
    yield f"{plural(plan.points, 'restore point')}, {plural(plan.chunks, 'chunk')} of {size(plan.chunk_bytes)}"
    yield f"{would}deleted: {plural(len(plan.ripe), 'chunk')}, {size(_size((*plan.ripe, *plan.remains)))} in all"
    if plan.fresh:
        hours = f"{plan.window / _HOUR:g} {'hour' if plan.window == _HOUR else 'hours'}"
        unneeded = f"{plural(len(plan.fresh), 'chunk')}, {size(_size(plan.fresh))}"
        yield f"{would}listed as unneeded: {unneeded}; a prune in {hours} or later deletes them"
    if plan.waiting:
        waiting = f"{plural(len(plan.waiting), 'chunk')}, {size(_size(plan.waiting))}"
        yield f"listed before, not for long enough: {waiting}"


@click.command("verify")
@repository_argument
@click.option("--percent", type=Number(0, 100), help="Share of the chunks to read, those unread for longest first.")
@click.option("--time-box", type=DURATION, help="Time after which to stop: 90s, 30m, 2h. The next run continues.")
@click.option("--indexes", is_flag=True, help="Check documents and indexes only, and that all chunks are there.")
@rate_option
@wait_option
@json_option
@when_interrupted("run the command again; it reads first what was not read for longest")
def verify_command(repository: str, percent: float | None, time_box: float | None, indexes: bool) -> int:
    """Verify that a repository holds what was stored in it.

    Every chunk is unpacked and compared with its id, those unread for longest first; when each was last good is
    recorded in the repository. A bad chunk is reported with the restore points that need it, and set aside: the next
    `create` that finds its content on a disk stores it again. If nothing can be written, chunks are read and compared
    all the same. `prune` and `forget` wait for it, except with --indexes, which writes nothing.

    Points that were made of disks with lost ranges are named, which nothing brings back here. Exit code 1 when anything
    is wrong.

    \b
    Examples:
      vhdx backup verify /mnt/nas/backups
      vhdx backup verify /mnt/nas/backups --percent 5        every night: all in 20 nights
      vhdx backup verify /mnt/nas/backups --time-box 2h
      vhdx backup verify /mnt/nas/backups --indexes
    """
    if indexes and (percent is not None or time_box):
        raise click.UsageError("--indexes reads no chunk; leave --percent and --time-box out.")
    kept = repository_of(repository)
    scope = Scope(
        depth=Depth.INDEXES if indexes else Depth.CHUNKS,
        percent=100.0 if percent is None else percent,
        seconds=time_box,
    )
    held, scope = _holding(kept, scope)
    with held, counter("verifying") as update:
        verdict = verify(kept, scope, update)
    losses = (loss(one.point, one.ranges, one.bytes) for one in verdict.losses)
    lines = [*losses, *map(_problem, verdict.problems), _summary(verdict)]
    if any(problem.object.startswith(f"{CHUNKS}/") for problem in verdict.problems):
        healed = "chunks come back with the next `vhdx backup create` of a disk that still holds their content"
        lines.append(f"{healed} (for the point of an older layer add --checkpoints)")
    output.answer("backup verify", {"repository": kept.place.url, "verdict": verdict}, lines)
    return int(bool(verdict.problems))


def _holding(repository: Repository, scope: Scope) -> tuple[AbstractContextManager[object], Scope]:
    """A lock, for what is read is remembered and what is bad set aside; none, nor that, where nothing can be written.

    Raises LockedError.
    """
    looking = nullcontext(), replace(scope, traces=Traces.NONE)
    if scope.depth is Depth.INDEXES:
        return looking
    try:
        return lock_of(repository, Hold.SHARED, "verify"), scope
    except PlaceError as error:
        problem = safe(f"{error.url}: {error.reason}")
        say(f"note: {problem}; what is read is not remembered, and what is bad not set aside")
        return looking


def _problem(problem: Problem) -> str:
    needed = f"; needed by {', '.join(problem.points)}" if problem.points else ""
    return f"{safe(problem.object)}: {safe(problem.reason)}{needed}"


def _summary(verdict: Verification) -> str:
    read = f"{verdict.checked} of {plural(verdict.chunks, 'chunk')} read"
    age = f"{verdict.never} never read yet" if verdict.never else "all read"
    if not verdict.never and verdict.oldest is not None:
        age = f"none unread since {datetime.fromtimestamp(verdict.oldest, UTC):%Y-%m-%d %H:%M}Z"
    wrong = plural(len(verdict.problems), "problem") if verdict.problems else "nothing is wrong"
    return f"{plural(verdict.points, 'restore point')}, {read}, {age}: {wrong}"


@click.command("unlock")
@repository_argument
@click.option("--remove-all", is_flag=True, help="Remove the locks of runs that seem to be alive, too.")
@json_option
def unlock_command(repository: str, remove_all: bool) -> int:
    """Remove the locks of runs that are dead: of ended processes, and those without a sign of life for two minutes.

    Every run gives a sign each 40 seconds. A run whose lock was removed while it lived sees that, and stops before it
    adds or deletes anything more; no restore point is lost. Exit code 1 when locks of living runs stay.

    \b
    Examples:
      vhdx backup unlock /mnt/nas/backups
      vhdx backup unlock /mnt/nas/backups --remove-all
    """
    place = place_of(repository)
    read_settings(place)  # no folder is made where no repository is
    done = unlock(place, silent=0 if remove_all else SILENT)
    payload = {"repository": place.url, "removed": list(map(_lock, done.removed)), "kept": list(map(_lock, done.kept))}
    lines = [f"{word}: {safe(str(one))}" for word in ("removed", "kept") for one in getattr(done, word)]
    output.answer("backup unlock", payload, lines or ["no locks"])
    return int(bool(done.kept))


def _lock(standing: Standing) -> dict[str, Any]:
    owner = members(standing.owner, "command", "host", "pid", "since")
    return owner | {"exclusive": standing.owner.hold is Hold.EXCLUSIVE, "silent_seconds": standing.silent}
