"""`vhdx backup forget`."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import click

from analyzer.backup.forget import NOT_NAMED, Every, ForgetPlan, Verdict, plan_by_name, plan_by_rules, run_forget
from analyzer.backup.lock_owner import Hold
from analyzer.backup.repository.repository import Repository
from cli import output
from cli.errors import when_interrupted
from cli.options.common import Declared, grouped, json_option, option
from cli.options.repository import lock_of, point_named, repository_argument, repository_of, tag_option, wait_option
from cli.text import moment, plural, safe, say


def _rule(every: Every, text: str) -> Declared:
    return option(text, f"--keep-{every.value}", type=click.IntRange(min=-1), metavar="N")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """How many restore points each rule keeps; None where a rule is not given."""

    last: int | None = _rule(Every.LAST, "Keep the newest N.")
    daily: int | None = _rule(Every.DAILY, "Keep the newest of each of the last N days that have one.")
    weekly: int | None = _rule(Every.WEEKLY, "Keep the newest of each of the last N weeks (ISO 8601) that have one.")
    monthly: int | None = _rule(Every.MONTHLY, "Keep the newest of each of the last N months that have one.")
    yearly: int | None = _rule(Every.YEARLY, "Keep the newest of each of the last N years that have one.")

    tags: tuple[str, ...] = tag_option("Keep all that have this tag, beside what the rules keep.", "--keep-tag")

    def given(self) -> dict[Every, int]:
        """The rules that keep something."""
        return {every: count for every in Every if (count := getattr(self, every.value))}


@click.command("forget")
@repository_argument
@click.argument("names", nargs=-1, metavar="[NAME...]")
@grouped("rules", _Rules)
@click.option("--allow-last", is_flag=True, help="Allow deleting a disk's last restore point.")
@click.option("--dry-run", is_flag=True, help="Show what would happen to each restore point; change nothing.")
@wait_option
@json_option
@when_interrupted("every restore point is whole or deleted; run the command again")
def command(repository: str, names: Sequence[str], rules: _Rules, allow_last: bool, dry_run: bool) -> None:
    """Delete restore points: those that no rule keeps, or those named.

    A point is kept if any rule keeps it; -1 keeps all. Days are UTC. Each group is judged by itself, and keeps its
    newest point: points of one file in its folder on its host, with Hyper-V's checkpoints of it. The virtual disk id
    does not make a group, because copies of a template share it. `--dry-run` shows the groups. Points of checkpoints
    (`create --checkpoints`) are kept as long as a point made above them, and rules count all points of one run as one.
    No chunk is deleted: `vhdx backup prune` does that.

    \b
    Examples:
      vhdx backup forget /mnt/nas/backups --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --dry-run
      vhdx backup forget /mnt/nas/backups --keep-daily 14 --keep-weekly 8 --keep-monthly 12
      vhdx backup forget /mnt/nas/backups --keep-last 30 --dry-run
      vhdx backup forget /mnt/nas/backups before-upgrade
    """
    if bool(rules.given()) == bool(names):
        raise click.UsageError(
            "Give rules that keep something (--keep-last 7, --keep-daily 14, ...) or names of restore points."
        )
    kept = repository_of(repository)
    # A dry run deletes nothing, and serves where no lock can be written.
    with nullcontext() if dry_run else lock_of(kept, Hold.EXCLUSIVE, "forget") as lock:
        plan = _planned(kept, names, rules, allow_last)
        if lock:
            run_forget(plan, kept, lock)
    _report(kept, plan, done=not dry_run)


def _planned(kept: Repository, names: Sequence[str], rules: _Rules, allow_last: bool) -> ForgetPlan:
    if not names:
        return plan_by_rules(kept, rules.given(), rules.tags)
    return plan_by_name(kept, [point_named(kept, name) for name in names], allow_last=allow_last)


def _report(repository: Repository, plan: ForgetPlan, *, done: bool) -> None:
    if output.is_json():
        payload = {"points": [*map(_plain, plan.verdicts)], "damaged": plan.damaged, "done": done}
        output.emit("backup forget", {"repository": repository.place.url} | payload)
        return
    named = any(verdict.reasons == NOT_NAMED for verdict in plan.verdicts)
    shown = [verdict for verdict in plan.verdicts if not (named and verdict.reasons)]
    for group, verdicts in groupby(shown, key=lambda verdict: verdict.point.disk):
        output.emit_sentences([*([f"{safe(group)}:"] if group else []), *map(_line, verdicts)])
    for name in plan.damaged:
        say(f"warning: the manifest of {safe(name)} cannot be read: no rule touches it")
    kept = len(plan.verdicts) - len(plan.going)
    click.echo(f"{plural(len(plan.going), 'restore point')} {'' if done else 'would be '}forgotten, {kept} kept")


def _plain(verdict: Verdict) -> dict[str, Any]:
    point = verdict.point
    plain = {"name": point.name, "group": point.disk or None, "created": point.created if point.disk else None}
    return plain | {"kept": bool(verdict.reasons), "reasons": verdict.reasons}


def _line(verdict: Verdict) -> str:
    point = verdict.point
    when = moment(point.created) if point.disk else "manifest damaged"
    fate = f"keep    {', '.join(verdict.reasons)}" if verdict.reasons else "forget"
    return f"  {safe(point.name)}  {when}  {fate}"
