"""`vhdx changes` and `vhdx apply`."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from analyzer.address.state import State
from analyzer.convert.convert import run_conversion
from analyzer.convert.model import Verify
from analyzer.diff.delta.delta import Delta, PatchedDisk, plan_application
from analyzer.diff.delta.export import plan_export, run_export
from analyzer.diff.find import ChangesPlan, Totals, Trust, find_changes, plan_changes, with_bitmap
from analyzer.diff.ranges import UNIT, Change, ChangeTable
from cli import output
from cli.options.address import DiskOptions, disk_options
from cli.options.common import (
    BYTE_SIZE,
    FILE_PATH,
    choice,
    force_option,
    grouped,
    json_option,
    option,
    output_argument,
    refuse_stdout,
)
from cli.options.output import OutputOptions, output_options, report, report_plan
from cli.options.states import comparison_facts, findings_of, opened_by_map, opened_with_warnings, state_to_plain
from cli.progress import progress
from cli.text import exact_size, facts, plural, safe, size
from vhdx.disk import Disk
from vhdx.sink import Existing, Sink
from vhdx.targets import check_space, check_target


def _granularity(_context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
    if value is not None and (value <= 0 or value % UNIT):
        raise click.BadParameter(f"{value} bytes are no multiple of {UNIT}, the smallest sector.")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """How states are compared, and in which form the differences are given."""

    comparison: Trust = choice(
        Trust.VERIFY, "Compare written ranges by content: those with equal data are left out.", "--verify"
    )
    granularity: int | None = option(
        "Round ranges outward to multiples of SIZE and merge them. Default: the sector.",
        type=BYTE_SIZE,
        metavar="SIZE",
        callback=_granularity,
    )
    shape: str | None
    bitmap: Path | None = option(
        "Write one bit for each granule into FILE, least significant bit first.", metavar="FILE"
    )
    export: Path | None = option(
        "Write the changed ranges, with their data, into DELTA, for `vhdx apply`.", metavar="DELTA"
    )
    existing: Existing = force_option("FILE or DELTA")
    files: bool = option("List which files differ, and how; as text, --csv or --json.")


@click.command("changes")
@click.argument("old")
@click.argument("new")
@click.option("--list", "shape", flag_value="list", help="Print one line for each range.")
@click.option("--csv", "shape", flag_value="csv", help="Print start,length,kind for each range, in bytes.")
@grouped("answer", _Answer)
@disk_options
@json_option
def command(old: str, new: str, answer: _Answer, where: DiskOptions) -> int:
    """Show which ranges of the disk differ between two states.

    OLD and NEW are disks: LEAF, a VHD(X) read with its parents; LEAF@N, the state of layer N of its chain (0 is the
    base); a raw image; a block device; REPO::POINT, a restore point; or nbd://, an export. The options for finding
    parents apply to both.

    If both states are made of the same files, only tables are read (by provenance): no change is missed, but ranges
    rewritten with equal data are listed too, unless --verify compares them. States that share no file are compared by
    content.

    The kind is what NEW has there: data; zero; gone (OLD is longer than NEW); lost (unknown). Exit code 0 when nothing
    differs, 1 when something does.

    --export reads both states whole, for their hashes, tests DELTA on OLD, and exits with 0 when it is written. (For a
    differencing VHDX on a lower layer of the same chain use `vhdx merge --base`.)

    --files lists the files that differ, on NTFS, FAT, exFAT and ext2 to ext4: created, deleted, replaced (another file
    has the name), renamed, changed (content), metadata (times, mode), unknown (what would decide it is lost in one of
    the states). Only files in changed ranges are compared, by content. Exit code 0 when none differs and all could be
    read.

    \b
    Examples:
      vhdx changes leaf.avhdx@0 leaf.avhdx            since the first checkpoint
      vhdx changes monday.avhdx tuesday.avhdx --list  two leaves of a fork
      vhdx changes old.raw leaf.avhdx --verify --csv
      vhdx changes leaf.avhdx@1 leaf.avhdx --granularity 64K --bitmap dirty.bin
      vhdx changes leaf.avhdx@0 leaf.avhdx --export week.delta
      vhdx changes leaf.avhdx@0 leaf.avhdx --files
    """
    refuse_stdout(answer.bitmap)
    refuse_stdout(answer.export)
    shape = "json" if output.is_json() and not answer.shape else answer.shape
    _refuse_mixtures(shape, answer)
    by = opened_by_map if answer.files else opened_with_warnings
    with by(old, where) as before, by(new, where) as after:
        plan = plan_changes(before.disk, after.disk, answer.comparison, answer.granularity)
        if answer.export:
            _export(plan, (before, after), answer.export, answer.existing)
            return 0
        if answer.files:
            return _compare_files(plan, (before, after), shape)
        return 1 if _compare(plan, (before, after), shape, answer).ranges else 0


def _refuse_mixtures(shape: str | None, answer: _Answer) -> None:
    if output.is_json() and shape != "json":
        raise click.UsageError(f"--json and --{shape} exclude each other.")
    if answer.files and (shape == "list" or answer.bitmap or answer.granularity or answer.export):
        raise click.UsageError("--files lists files, not ranges: it goes with --csv, --json and --verify alone.")
    if answer.export and (shape in {"list", "csv"} or answer.bitmap or answer.granularity):
        raise click.UsageError("--export takes exact ranges and lists none: run again for --list, --csv or --bitmap.")


def _compare(plan: ChangesPlan, states: tuple[State, State], shape: str | None, answer: _Answer) -> Totals:
    totals = Totals()
    with ExitStack() as stack:
        update = stack.enter_context(progress("comparing", plan.work))
        disks = states[0].disk, states[1].disk
        tables: Iterable[ChangeTable] = find_changes(plan, *disks, update)
        if answer.bitmap is None:
            show(shape, plan, disks, totals.passing(tables), totals)
            return totals
        check_target(answer.bitmap, [path for state in states for path in state.files], answer.existing)
        check_space(answer.bitmap, plan.size // plan.granularity // 8 + 1)
        sink = stack.enter_context(Sink(answer.bitmap, existing=answer.existing))
        tables = with_bitmap(tables, sink, plan.size, plan.granularity)
        show(shape, plan, disks, totals.passing(tables), totals)
        sink.commit()
    return totals


def _compare_files(plan: ChangesPlan, states: tuple[State, State], shape: str | None) -> int:
    from cli.render.changes_files import finder_of, show_files

    disks = states[0].disk, states[1].disk
    with progress("comparing", plan.work) as update:
        finder = finder_of(plan, *disks, update)
    code = show_files(shape, plan, states, finder)
    for disk in disks:
        disk.require_unchanged()
    return code


def _export(plan: ChangesPlan, states: tuple[State, State], target: Path, existing: Existing) -> None:
    export = plan_export(plan, *states, target, existing, Verify.READ_BACK)
    with progress("exporting", export.work) as update:
        outcome = run_export(export, states[0].disk, states[1].disk, update)
    data, zeros = size(outcome.data_bytes), size(outcome.zero_bytes)
    written = f"{safe(outcome.target)}: {plural(outcome.range_count, 'range')}, {data} of data, {zeros} of zeros"
    verified = "verified" if outcome.verified else "not verified"
    line = f"{written} that take no room, file of {size(outcome.file_size)}, {verified}"
    output.answer("changes", {"output": outcome}, [line], findings=outcome.findings)


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
            for _ in rows:  # totals are counted while the ranges pass
                pass
            click.echo(facts([*comparison_facts(plan, *states), ("differ", _difference(totals))]))


def _print_json(
    plan: ChangesPlan, states: tuple[Disk, Disk], rows: Iterator[tuple[int, int, str]], totals: Totals
) -> None:
    old, new = states
    payload = {"old": state_to_plain(old), "new": state_to_plain(new), "method": plan.method}
    payload |= {"shared": plan.shared, "granularity": plan.granularity, "columns": _COLUMNS}

    def after() -> dict[str, Any]:
        by_kind = {kind.name.lower(): count for kind, count in totals.bytes.items()}
        return {"range_count": totals.ranges, "changed_bytes": totals.changed_bytes, "bytes_by_kind": by_kind}

    output.emit_pieces(output.streamed("changes", payload, findings_of(old, new), "ranges", rows, after))


def _difference(totals: Totals) -> str:
    if not totals.ranges:
        return "in nothing"
    kinds = ", ".join(f"{kind.name.lower()} {exact_size(count)}" for kind, count in totals.bytes.items() if count)
    return f"{plural(totals.ranges, 'range')}, {exact_size(totals.changed_bytes)}: {kinds}"


@click.command("apply")
@click.argument("delta", type=FILE_PATH)
@click.argument("base")
@output_argument
@click.option("--dry-run", is_flag=True, help="Check the base, say what would be written, with sizes; write nothing.")
@output_options(block_size="that of the new state")
@disk_options
@json_option
def apply_command(delta: Path, base: str, out: Path, dry_run: bool, image: OutputOptions, where: DiskOptions) -> None:
    """Apply a delta that `vhdx changes --export` wrote to the state it was made from: write the new state.

    BASE is the old state: LEAF, LEAF@N, a raw image, a block device, REPO::POINT, or nbd://, as for `vhdx changes`. All
    of it is read first, and any other base is refused before anything is written. BASE and DELTA are never changed: OUT
    is a whole image, written as OUT.part, flushed, verified, then renamed.

    \b
    Examples:
      vhdx changes --export friday.delta vm.avhdx@0 vm.avhdx
      vhdx apply friday.delta vm.vhdx friday.vhdx
      vhdx apply friday.delta old.raw new.raw
    """
    refuse_stdout(out)
    out, form, options = image.for_target(out, Path(base))
    with Delta(delta) as opened_delta, opened_with_warnings(base, where) as state:
        header = opened_delta.header
        with progress("checking the base", header.old_size + header.new_size) as update:
            plan = plan_application(opened_delta, state, out, form, options, update)
        if dry_run:
            report_plan("apply", plan, state.disk.findings)
            return
        with progress("writing", plan.work) as update:
            outcome = run_conversion(plan, PatchedDisk(state.disk, opened_delta), update)
        report("apply", outcome)
