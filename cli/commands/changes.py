"""`vhdx changes`."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from analyzer.changes.bitmap import BitmapFile
from analyzer.changes.content import UNIT
from analyzer.changes.find import ChangesPlan, Totals, Trust, find_changes, plan_changes
from analyzer.changes.states import layers_of
from analyzer.changes.table import Change, ChangeTable
from cli import output
from cli.options import FILE_PATH, ByteSize, chain_options, json_option
from cli.progress import progress
from cli.states import method_told, opened, state_to_plain, told
from cli.text import exact_size, facts, plural
from vhdx.disk import Disk
from vhdx.sink import Existing, Sink, check_space, check_target

_COLUMNS = ("start", "length", "kind")


def _granularity(_context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
    if value is not None and (value <= 0 or value % UNIT):
        raise click.BadParameter(f"{value} bytes are no multiple of {UNIT}, the smallest sector.")
    return value


@click.command("changes")
@click.argument("old")
@click.argument("new")
@click.option("--verify", is_flag=True, help="Compare what was written by content: what reads the same drops out.")
@click.option(
    "--granularity",
    type=ByteSize(),
    metavar="SIZE",
    callback=_granularity,
    help="Round ranges outward to multiples of SIZE and merge them; the sector if not given.",
)
@click.option("--list", "shape", flag_value="list", help="One line for each range, for people.")
@click.option("--csv", "shape", flag_value="csv", help="start,length,kind for each range, in bytes.")
@click.option(
    "--bitmap",
    type=FILE_PATH,
    metavar="FILE",
    help="Write one bit for each granule into FILE, least significant bit first.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@chain_options
@json_option
def command(old: str, new: str, shape: str | None, bitmap: Path | None, as_json: bool, **choices: Any) -> int:
    """Show which ranges of the disk differ between two states.

    OLD and NEW are files: a VHDX, read with its parents, or a raw image. PATH@N is the state of layer N of PATH's
    chain (0 is the base). The options for finding parents hold for both.

    Where both states are made of the same files, only tables are read (by provenance): no change is missed, but what
    was written anew with the bytes that it held is listed too, unless --verify compares it. States that share no file
    are compared by content.

    Kinds say what NEW has there: data; zero; gone (OLD goes on past the end of NEW); lost (cannot be known). Exit code
    0 when nothing differs, 1 when something does.

    \b
    Examples:
      vhdx changes leaf.avhdx@0 leaf.avhdx            since the first checkpoint
      vhdx changes monday.avhdx tuesday.avhdx --list  two leaves of a fork
      vhdx changes old.raw leaf.avhdx --verify --csv
      vhdx changes leaf.avhdx@1 leaf.avhdx --granularity 64K --bitmap dirty.bin
    """
    if as_json and shape:
        raise click.UsageError(f"--json and --{shape} exclude each other.")
    with ExitStack() as stack:
        before, after = (stack.enter_context(opened(name, choices)) for name in (old, new))
        trust = Trust.VERIFY if choices["verify"] else Trust.PROVENANCE
        plan = plan_changes(before, after, trust, choices["granularity"])
        update = stack.enter_context(progress("comparing", plan.work))
        tables: Iterable[ChangeTable] = find_changes(plan, before, after, update)
        sink = None
        if bitmap:
            sink = stack.enter_context(_sink(bitmap, plan, (before, after), force=choices["force"]))
            tables = BitmapFile(sink, plan.size, plan.granularity).passing(tables)
        totals = Totals()
        _show("json" if as_json else shape, plan, (before, after), _counted(tables, totals), totals)
        if sink:
            sink.commit()
        return 1 if totals.ranges else 0


def _sink(target: Path, plan: ChangesPlan, states: tuple[Disk, Disk], *, force: bool) -> Sink:
    existing = Existing.REPLACE if force else Existing.REFUSE
    check_target(target, [path for disk in states for path in layers_of(disk)], existing)
    check_space(target, plan.size // plan.granularity // 8 + 1)
    return Sink(target, existing=existing)


def _counted(tables: Iterable[ChangeTable], totals: Totals) -> Iterator[tuple[int, int, Change]]:
    for table in tables:
        totals.count(table)
        yield from table


def _show(
    shape: str | None,
    plan: ChangesPlan,
    states: tuple[Disk, Disk],
    ranges: Iterator[tuple[int, int, Change]],
    totals: Totals,
) -> None:
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
    findings = dict.fromkeys((*old.findings, *new.findings))
    output.emit_stream("changes", payload, findings, "ranges", rows, lambda: _totals_to_plain(totals))


def _totals_to_plain(totals: Totals) -> dict[str, Any]:
    by_kind = {kind.name.lower(): count for kind, count in totals.bytes.items()}
    return {"range_count": totals.ranges, "changed_bytes": totals.changed_bytes, "bytes_by_kind": by_kind}


def _summary(plan: ChangesPlan, states: tuple[Disk, Disk], totals: Totals) -> str:
    old, new = states
    return facts(
        [("old", told(old)), ("new", told(new)), ("compared", method_told(plan)), ("differ", _difference(totals))]
    )


def _difference(totals: Totals) -> str:
    if not totals.ranges:
        return "in nothing"
    kinds = ", ".join(f"{kind.name.lower()} {exact_size(count)}" for kind, count in totals.bytes.items() if count)
    return f"{plural(totals.ranges, 'range')}, {exact_size(totals.changed_bytes)}: {kinds}"
