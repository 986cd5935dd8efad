"""`vhdx recover`."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from analyzer.convert.model import OutputFormat, format_of
from analyzer.recover import Fill, Plan, Wishes, plan_recovery, run_recovery
from analyzer.recover.affected_files import Survey
from analyzer.recover.inputs.earlier_state import LetGo, View
from analyzer.recover.job import Attempt, count, resumes
from analyzer.recover.rebuild import BitmapPolicy
from analyzer.recovery_map.paths import account_of, map_of
from cli import output
from cli.options.case_data import evidence_options, with_evidence
from cli.options.common import (
    FILE_PATH,
    ByteSize,
    LogMoment,
    json_option,
    known_folders,
    maps_of,
    quiet_library,
    search_of,
    source_map_option,
)
from cli.options.output import STDOUT, asked_format, format_option, options_from, output_options, refuse_stdout
from cli.progress import progress
from cli.render.recover import document_of, emit_account, lines_of
from cli.text import fitted, line_width
from vhdx.sink import Existing

_LOST_BITMAPS = {"lose": BitmapPolicy.LOST, "take": BitmapPolicy.WHOLE, "leave": BitmapPolicy.PARENT}


@click.command("recover")
@click.argument("inputs", nargs=-1, required=True, type=FILE_PATH, metavar="INPUT...")
@click.option("-o", "--output", "out", type=FILE_PATH, metavar="OUT", help="The image to write.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what could be recovered; of the data only what file systems say of their files is read.",
)
@click.option(
    "--fill",
    type=click.Choice([choice.value for choice in Fill]),
    default="zero",
    show_default=True,
    help="What stands where the disk is lost: zeros, or a sentence with its place in every sector.",
)
@click.option(
    "--assume-base", type=FILE_PATH, metavar="FILE", help="Take FILE as the base although no link leads to it."
)
@click.option(
    "--lost-bitmaps",
    type=click.Choice(list(_LOST_BITMAPS)),
    default="lose",
    show_default=True,
    help="Partial blocks whose sector bitmap is lost: lose them, take them whole, or leave them to the parent; the map "
    "has what is taken or left as stale.",
)
@click.option(
    "--as-of",
    type=LogMoment(),
    metavar="N",
    help="Read the uppermost file as it was after log entry N, or at the end of a session (its log_guid), as "
    "`vhdx history` lists them. Nothing is called known.",
)
@click.option(
    "--anchored",
    is_flag=True,
    help="Where the uppermost file let a block go and its entry keeps the place: the old data there, as stale.",
)
@click.option("--resume", is_flag=True, help="Go on with OUT and OUT.map: only what is missing is tried again.")
@format_option
@click.option("--block-size", type=ByteSize(), help="Of a VHDX: 1M to 256M; the lowest file's where it is not given.")
@output_options
@evidence_options
@click.option("--parent", "parents", multiple=True, type=FILE_PATH, metavar="FILE", help="One more file of the chain.")
@click.option(
    "--search",
    multiple=True,
    type=FILE_PATH,
    metavar="DIR",
    callback=known_folders,
    help="A folder in which parents are looked for.",
)
@click.option(
    "--map",
    "mappings",
    multiple=True,
    metavar="WIN=DIR",
    help=r"Where a folder of the old host is now: 'C:\VMs=/mnt/nas'.",
)
@source_map_option
@json_option
def command(inputs: Sequence[Path], out: Path | None, dry_run: bool, as_json: bool, **choices: Any) -> int:
    """Write what is left of a disk whose files are not all there, or cannot all be read, and a map of what it is.

    INPUT are the files of one chain, in any order, or its leaf alone. They are put in order by what links them, and
    parents that are not named are looked for as elsewhere. A file that is missing, truncated or damaged, or whose
    medium fails, takes with it what it alone holds, and nothing else. Structures that are lost (headers, region tables,
    metadata, parts of the block table, sector bitmaps) are rebuilt in memory from what is left, each with its evidence.
    Every byte of the disk is one of

    \b
      known   what the newest file shows: nothing that is missing could have changed it
      stale   an older state, or one in doubt: a layer that is missing may have changed it, or it rests on a table
              that was lost and made anew, and is likely, not certain
      lost    nothing is known; OUT has zeros there, or the pattern

    With --as-of the tables of the uppermost file are read as they were, as far as its log tells; the data of blocks is
    written in place and never logged, so that it is what stands there now. Nothing of it is more than stale, and what
    stood where something else stands since is lost. See docs/past.md.

    Beside OUT stand OUT.map, a mapfile as GNU ddrescue and ddrescuelog have it (+ known, / stale, - lost), and
    OUT.json: the files that are touched (on NTFS, FAT, exFAT and ext, with the package pytsk3), and for each range its
    status, from which file and place it comes, and by what evidence. What cannot be read is tried again in smaller
    pieces, down to a sector; a later run with --resume tries only what is not known yet.
    Sources are never changed.

    Exit code 0 when all of the disk is known, 1 when anything is stale or lost, or a file changed while it was read.

    \b
    Examples:
      vhdx recover orphan.avhdx -o disk.raw
      vhdx recover leaf.avhdx base.vhdx -o disk.vhdx        the checkpoint between them is gone
      vhdx recover orphan.avhdx -o disk.E01 --examiner 'A. Name'
      vhdx recover leaf.avhdx --assume-base old.vhdx -o disk.raw --fill pattern
      vhdx recover disk.vhdx --as-of 1042 -o before.raw     its tables after log entry 1042
      vhdx recover disk.vhdx --anchored -o trimmed.raw      blocks that were let go, where they still point to data
      vhdx recover /mnt/failing/leaf.avhdx -o disk.raw --resume
      vhdx recover *.avhdx --dry-run --json | jq .totals
    """
    quiet_library()
    wishes = _wishes(inputs, out, choices, dry_run=dry_run)
    with ExitStack() as opened:
        with progress("comparing the earlier image", _size_of_earlier(wishes)) as update:
            plan = opened.enter_context(plan_recovery(wishes, compared=update))
        output.warn(plan.findings)
        survey = Survey(plan)
        if wishes.target is None:
            return _only_say(plan, survey, as_json=as_json)
        return _write(plan, survey, as_json=as_json)


def _size_of_earlier(wishes: Wishes) -> int:
    return wishes.target.stat().st_size if wishes.target and resumes(wishes) else 0


def _wishes(inputs: Sequence[Path], out: Path | None, choices: dict[str, Any], *, dry_run: bool) -> Wishes:
    if out is None and not dry_run:
        raise click.UsageError("name the image to write with -o OUT, or add --dry-run.")
    wishes = Wishes(
        inputs=tuple(inputs),
        search=search_of(choices | {"on_mismatch": "refuse"}),
        source_maps=maps_of(choices),
        fill=Fill(choices["fill"]),
        assumed_base=choices["assume_base"],
        attempt=Attempt.RESUME if choices["resume"] else Attempt.FRESH,
        bitmaps=_LOST_BITMAPS[choices["lost_bitmaps"]],
        view=View(as_of=choices["as_of"], let_go=LetGo.OLD_DATA if choices["anchored"] else LetGo.ABSENT),
    )
    return wishes if out is None or dry_run else _with_target(wishes, out, choices)


def _with_target(wishes: Wishes, out: Path, choices: dict[str, Any]) -> Wishes:
    if out == STDOUT:
        refuse_stdout(out)
    form = asked_format(choices["wanted"], out, choices) or format_of(out)
    if form is OutputFormat.RAW and choices["block_size"]:
        raise click.UsageError("--block-size is for VHDX outputs; a raw image has no blocks.")
    wishes = replace(wishes, target=out, format=form, options=with_evidence(options_from(choices), form, choices))
    if not resumes(wishes):
        begun = choices["resume"] and not any(path.exists() for path in (out, map_of(out), account_of(out)))
        # All that can be there then is what an interrupted first run left.
        return replace(wishes, options=replace(wishes.options, existing=Existing.REPLACE)) if begun else wishes
    return replace(wishes, options=replace(wishes.options, existing=Existing.REPLACE))


def _only_say(plan: Plan, survey: Survey, *, as_json: bool) -> int:
    totals = count(plan)
    if as_json:
        emit_account(plan, totals, survey, None)
    else:
        output.emit_lines(fitted(lines_of(plan, totals, survey), line_width()))
    return int(not totals.complete)


def _write(plan: Plan, survey: Survey, *, as_json: bool) -> int:
    with progress("recovering", plan.conversion.work if plan.conversion else 0) as update:
        outcome = run_recovery(plan, partial(document_of, survey=survey), update)
    output.warn(outcome.changed)
    if as_json:
        emit_account(plan, outcome.totals, survey, outcome)
    else:
        output.emit_lines(fitted(lines_of(plan, outcome.totals, survey, outcome), line_width()))
    return int(not outcome.totals.complete or bool(outcome.changed))
