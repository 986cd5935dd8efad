"""`vhdx backup forget`."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import click

from analyzer.backup.forget import ForgetPlan, plan_by_name, plan_by_rules, run_forget
from analyzer.backup.locks.locks import take
from analyzer.backup.locks.owners import Hold
from analyzer.backup.repository.repository import Repository
from analyzer.backup.retention import NOT_NAMED, Every, Verdict
from cli import output
from cli.errors import when_interrupted
from cli.options.common import json_option
from cli.options.repository import repository_argument, repository_of
from cli.text import plural, safe, tell

_HELP = {
    Every.LAST: "Keep the newest N.",
    Every.DAILY: "Keep the newest of each of the last N days that have one.",
    Every.WEEKLY: "The same for weeks (ISO 8601).",
    Every.MONTHLY: "The same for months.",
    Every.YEARLY: "The same for years.",
}


def _rule_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for every in reversed(Every):
        option = click.option(f"--keep-{every.value}", every.value, type=click.IntRange(min=-1), help=_HELP[every])
        function = option(function)
    return function


@click.command("forget")
@repository_argument
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_rule_options
@click.option("--even-the-last", is_flag=True, help="By name: also the last restore point of a disk.")
@click.option("--dry-run", is_flag=True, help="Say what would become of each restore point; change nothing.")
@json_option
@when_interrupted("every restore point is whole or given up; run the command again")
def command(repository: str, names: Sequence[str], as_json: bool, **choices: Any) -> None:
    """Give up restore points: those that no rule keeps, or those named.

    A point stays when any rule keeps it; -1 keeps all. Days are UTC. Each group is judged by itself, and keeps its
    newest point: points of one file in its folder on its host, also as it goes on in Hyper-V's checkpoints. The virtual
    disk id does not make a group, for copies of a template share it. `--dry-run` shows the groups. The points of
    checkpoints (`create --checkpoints`) stay as long as a point stays that was made above them, and rules count all
    points of one run as one. No chunk is deleted: `vhdx backup prune` does that.

    \b
    Examples:
      vhdx backup forget /mnt/nas/backups --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --dry-run
      vhdx backup forget /mnt/nas/backups --keep-daily 14 --keep-weekly 8 --keep-monthly 12
      vhdx backup forget /mnt/nas/backups --keep-last 30 --dry-run
      vhdx backup forget /mnt/nas/backups before-upgrade
    """
    rules = {every: choices[every.value] for every in Every if choices[every.value]}
    if bool(rules) == bool(names):
        raise click.UsageError(
            "Give rules that keep something (--keep-last 7, --keep-daily 14, ...) or names of restore points."
        )
    kept = repository_of(repository)
    if choices["dry_run"]:
        plan = _plan(kept, names, rules, choices)
    else:
        with take(kept.place, Hold.EXCLUSIVE, "forget") as lock:
            plan = _plan(kept, names, rules, choices)
            run_forget(plan, kept, lock)
    _report(kept, plan, as_json=as_json, done=not choices["dry_run"])


def _plan(repository: Repository, names: Sequence[str], rules: dict[Every, int], choices: dict[str, Any]) -> ForgetPlan:
    if names:
        return plan_by_name(repository, names, even_the_last=choices["even_the_last"])
    return plan_by_rules(repository, rules)


def _report(repository: Repository, plan: ForgetPlan, *, as_json: bool, done: bool) -> None:
    if as_json:
        points = [_plain(verdict) for verdict in plan.verdicts]
        payload = {"points": points, "damaged": plan.damaged, "done": done}
        output.emit("backup forget", {"repository": repository.place.url} | payload)
        return
    named = any(verdict.reasons == NOT_NAMED for verdict in plan.verdicts)
    shown = [verdict for verdict in plan.verdicts if not (named and verdict.stays)]
    for group, verdicts in groupby(shown, key=lambda verdict: verdict.point.disk):
        output.emit_sentences([f"{safe(group)}:"] if group else [])
        output.emit_sentences(f"  {_line(verdict)}" for verdict in verdicts)
    for name in plan.damaged:
        tell(f"warning: the manifest of {safe(name)} cannot be read: no rule touches it")
    verb = "forgotten" if done else "would be forgotten"
    kept = len(plan.verdicts) - len(plan.going)
    click.echo(f"{plural(len(plan.going), 'restore point')} {verb}, {kept} kept")


def _plain(verdict: Verdict) -> dict[str, Any]:
    point = verdict.point
    return {
        "name": point.name,
        "group": point.disk or None,
        "created": point.created.isoformat() if point.disk else None,
        "kept": verdict.stays,
        "reasons": verdict.reasons,
    }


def _line(verdict: Verdict) -> str:
    point = verdict.point
    when = f"{point.created:%Y-%m-%d %H:%M:%S}Z" if point.disk else "manifest damaged"
    fate = f"keep    {', '.join(verdict.reasons)}" if verdict.stays else "forget"
    return f"{safe(point.name)}  {when}  {fate}"
