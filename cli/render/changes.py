"""Ranges that differ, as `vhdx changes` prints them."""

from collections.abc import Iterator
from typing import Any

import click

from analyzer.diff.delta.export import DeltaOutcome
from analyzer.diff.find import ChangesPlan, Totals
from analyzer.diff.ranges import Change
from cli import output
from cli.options.states import describe_method, describe_state, findings_of, state_to_plain
from cli.text import exact_size, facts, plural, safe, size
from vhdx.disk import Disk

_COLUMNS = ("start", "length", "kind")


def show(
    shape: str | None,
    plan: ChangesPlan,
    states: tuple[Disk, Disk],
    ranges: Iterator[tuple[int, int, Change]],
    totals: Totals,
) -> None:
    """Print ranges as they come, as `json`, `csv` or `list`, or a summary when they have passed."""
    rows = ((start, length, kind.name.lower()) for start, length, kind in ranges)
    match shape:
        case "json":
            _print_json(plan, states, rows, totals)
        case "csv":
            click.echo(",".join(_COLUMNS))
            output.emit_lines(f"{start},{length},{kind}" for start, length, kind in rows)
        case "list":
            click.echo(f"# {'start':>14} {'length':>16}  kind")
            output.emit_lines(f"{start:>16} {length:>16}  {kind}" for start, length, kind in rows)
            click.echo(f"# {_difference(totals)}")
        case _:
            for _ in rows:
                pass
            click.echo(_summary(plan, states, totals))


def _print_json(
    plan: ChangesPlan, states: tuple[Disk, Disk], rows: Iterator[tuple[int, int, str]], totals: Totals
) -> None:
    old, new = states
    payload = {
        "old": state_to_plain(old),
        "new": state_to_plain(new),
        "method": plan.method,
        "shared": plan.numbering.shared,
        "granularity": plan.granularity,
        "columns": _COLUMNS,
    }
    output.emit_stream("changes", payload, findings_of(old, new), "ranges", rows, lambda: _totals_to_plain(totals))


def _totals_to_plain(totals: Totals) -> dict[str, Any]:
    by_kind = {kind.name.lower(): count for kind, count in totals.bytes.items()}
    return {"range_count": totals.ranges, "changed_bytes": totals.changed_bytes, "bytes_by_kind": by_kind}


def _summary(plan: ChangesPlan, states: tuple[Disk, Disk], totals: Totals) -> str:
    old, new = states
    return facts(
        [
            ("old", describe_state(old)),
            ("new", describe_state(new)),
            ("compared", describe_method(plan)),
            ("differ", _difference(totals)),
        ]
    )


def _difference(totals: Totals) -> str:
    if not totals.ranges:
        return "in nothing"
    kinds = ", ".join(f"{kind.name.lower()} {exact_size(count)}" for kind, count in totals.bytes.items() if count)
    return f"{plural(totals.ranges, 'range')}, {exact_size(totals.changed_bytes)}: {kinds}"


def describe_delta(outcome: DeltaOutcome) -> str:
    """A delta that was written, in words."""
    written = f"{safe(outcome.target)}: {plural(outcome.range_count, 'range')}, {size(outcome.data_bytes)} of data"
    zeros, verified = size(outcome.zero_bytes), "tried and right" if outcome.verified else "not tried"
    return f"{written}, {zeros} of zeros that take no room, file of {size(outcome.file_size)}, {verified}"
