"""`vhdx recover`."""

from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

import click

from analyzer.convert.model import Options, OutputFormat
from analyzer.guest.layouts.detect import begins_disk
from analyzer.linkage.names import own_ending
from analyzer.linkage.record import FileRecord, with_structures
from analyzer.recover.affected_files import Survey
from analyzer.recover.disk.filled import Fill
from analyzer.recover.disk.wanted import paths_in
from analyzer.recover.inputs.layers import UnmappedBlocks, View
from analyzer.recover.job import Attempt, RecoverOptions, plan_recovery, resumes, run_recovery
from analyzer.recover.rebuild.workspace import BitmapPolicy
from analyzer.recovery_map.beside import account_of, front_of, is_accompanied, map_of
from analyzer.recovery_map.commit import replace_account
from analyzer.remedies import shell_command
from cli import output
from cli.errors import when_interrupted
from cli.loudness import VERBOSE, is_set
from cli.options.chain import FOLDER, LinkOptions
from cli.options.common import (
    FILE_PATH,
    LOG_MOMENT,
    choice,
    expand_patterns,
    grouped,
    json_option,
    option,
    refuse_stdout,
)
from cli.options.output import OutputOptions, output_options
from cli.progress import progress
from cli.render.recover import details_of, document_of
from cli.render.recover_summary import summary_of
from cli.text import safe, say
from vhdx.contents import open_structures
from vhdx.errors import VhdxError
from vhdx.parents import OnMismatch
from vhdx.sink import Existing

_ENDINGS = {".vhdx", ".avhdx", ".vhds"}
_FRONT = 1 << 17  # more than what tells a disk takes

_LOST_BITMAPS = {
    "auto": BitmapPolicy.AUTO,
    "lose": BitmapPolicy.LOST,
    "take": BitmapPolicy.WHOLE,
    "leave": BitmapPolicy.PARENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is recovered, and how."""

    out: Path | None = option("Image to write.", "-o", "--output", metavar="OUT")
    dry_run: bool = option("Report what could be recovered, without writing. Reads data of file systems only.")
    fill: Fill = option(
        "Fill lost ranges with zeros, or each sector with a text that names its position.",
        default=Fill.ZERO.value,
        show_default=True,
    )
    assume_base: Path | None = option("Use FILE as the base although no link leads to it.", metavar="FILE")
    lost_bitmaps: str = option(
        "Of partial blocks whose sector bitmap is lost take the sectors that are not zero, or treat them as lost, take"
        " them whole, or leave them to the parent. What is taken or left is marked stale.",
        type=click.Choice(list(_LOST_BITMAPS)),
        default="auto",
        show_default=True,
    )
    as_of: int | UUID | None = option(
        "Read the uppermost file as of log entry N, or as of the end of a session (its log_guid); see `vhdx history`."
        " Nothing is marked known.",
        type=LOG_MOMENT,
        metavar="N",
    )
    unmapped: UnmappedBlocks = choice(
        UnmappedBlocks.OLD_DATA,
        "Restore old data of unmapped blocks that the BAT still points to (marked stale).",
        "--anchored",
    )
    only: tuple[str, ...] = option(
        "Read only what the file or folder PATH of the disk needs, first: the rest stays lost, for a later --resume."
        " Repeat for more.",
        metavar="PATH",
    )
    files_from: Path | None = option("File with such paths, one a line; - is stdin.", metavar="FILE")
    attempt: Attempt = choice(Attempt.RESUME, "Resume OUT and OUT.map: copy only what is missing.", "--resume")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where(LinkOptions):
    """How parents are found; a parent of another identity is never accepted."""

    parents: tuple[Path, ...] = option(
        "Path of one more file of the chain. Repeat for more.", "--parent", metavar="FILE"
    )
    search: tuple[Path, ...] = option("Folder in which to look for parents.", type=FOLDER, metavar="DIR")
    on_mismatch: OnMismatch = OnMismatch.REFUSE


@click.command("recover")
@click.argument("inputs", nargs=-1, required=True, type=FILE_PATH, callback=expand_patterns, metavar="INPUT...")
@grouped("asked", _Asked)
@output_options(block_size="the lowest file's")
@grouped("where", _Where)
@json_option
def command(inputs: Sequence[Path], asked: _Asked, image: OutputOptions, where: _Where) -> int:
    """Recover what is left of a disk whose files are missing, truncated or unreadable, with a map of every range.

    INPUT are the files of one chain, in any order, or its leaf alone. They are ordered by their links, and parents that
    are not given are searched for as in other commands. A file that is missing, truncated or damaged, or whose medium
    fails, loses only what it alone holds. Lost structures (headers, region tables, metadata, parts of the block table,
    sector bitmaps) are rebuilt in memory from what is left, each with its evidence. Every byte of the disk is one of

    \b
      known   what the newest file shows: nothing that is missing could have changed it
      stale   an older state, or one in doubt: a layer that is missing may have changed it, or it rests on a table
              that was lost and rebuilt, and is likely, not certain
      lost    nothing is known; OUT has zeros there, or the pattern

    With --as-of the tables of the uppermost file are read as they were, as far as its log shows; data of blocks is
    written in place and never logged, so what is read is what is there now. It is at most stale, and what has been
    overwritten since is lost. See docs/past.md.

    Beside OUT are written OUT.map, a mapfile for GNU ddrescue and ddrescuelog (+ known, / stale, - lost), and OUT.json:
    the affected files (on NTFS, FAT, exFAT and ext, with the package pytsk3), and for each range its status, its source
    file and offset, and the evidence. What cannot be read is retried in smaller pieces, down to a sector; a later run
    with --resume retries only what is not known yet. Sources are never changed. The summary fits a screen; -v has every
    rebuilt part, witness and layer.

    Exit code 0 when all of the disk is known; 1 when anything is stale or lost, or a file changed while it was read.

    \b
    Examples:
      vhdx recover orphan.avhdx -o disk.raw
      vhdx recover leaf.avhdx base.vhdx -o disk.vhdx        the checkpoint between them is gone
      vhdx recover orphan.avhdx -o disk.E01 --examiner 'A. Name'
      vhdx recover leaf.avhdx --assume-base old.vhdx -o disk.raw --fill pattern
      vhdx recover disk.vhdx --as-of 1042 -o before.raw     its tables after log entry 1042
      vhdx recover disk.vhdx --anchored -o trimmed.raw      old data of blocks that were unmapped
      vhdx recover /mnt/failing/leaf.avhdx -o disk.raw --resume
      vhdx recover disk.vhdx -o disk.raw --only /home/anna/thesis    then the rest, with --resume
      vhdx recover *.avhdx --dry-run --json | jq .totals
    """
    refuse_stdout(asked.out)
    if asked.out is None and not asked.dry_run:
        raise click.UsageError("name the image to write with -o OUT, or add --dry-run.")
    request = RecoverOptions(
        inputs=tuple(inputs),
        search=where.as_search(),
        source_maps=where.maps,
        fill=asked.fill,
        assumed_base=asked.assume_base,
        attempt=asked.attempt,
        bitmaps=_LOST_BITMAPS[asked.lost_bitmaps],
        view=View(as_of=asked.as_of, unmapped=asked.unmapped),
        only=(*asked.only, *_listed(asked.files_from)),
    )
    if asked.out is not None and not asked.dry_run:
        named = _uppermost(inputs) if asked.out.is_dir() else inputs[0]
        request = _with_target(request, *image.for_target(asked.out, named))
    return _recover(request)


def _recover(request: RecoverOptions) -> int:
    """Carry it out, as far as it names a target, and say what became of it; returns the exit code."""
    for host in filter(_is_disk_itself, request.inputs):
        command = shell_command(["vhdx", "carve", str(host), "--extract", "DIR"])
        say(f"warning: {safe(host)} begins as a disk does: VHDX files that lie in it come out with `{command}`")
    with ExitStack() as opened:
        earlier = request.target.stat().st_size if request.target and resumes(request) else 0
        with progress("comparing the earlier image", earlier) as update:
            plan = opened.enter_context(plan_recovery(request, compared=update, stage=progress))
        output.warn(plan.findings)
        for path in plan.wanted.missing if plan.wanted else ():
            say(f"warning: no volume has {safe(path)}: it is left out")
        survey = Survey(plan)
        outcome = None
        if request.target:
            with progress("recovering", plan.conversion.work if plan.conversion else 0) as update:
                outcome = run_recovery(plan, partial(document_of, files=survey.pending), update)
            output.warn(outcome.changed)
            if survey.is_needed:
                kept = f"{safe(outcome.target)}, its map and its account are whole, but for the files"
                with when_interrupted(kept):
                    replace_account(outcome.account, document_of(plan, outcome.totals, survey.files))
        totals = outcome.totals if outcome else plan.provenance.totals()
        if output.is_json():
            output.emit_pieces(document_of(plan, totals, survey.files, outcome))
        else:
            if is_set(VERBOSE):
                output.emit_sentences(details_of(plan, survey.files, outcome.account if outcome else None))
            output.emit_sentences(summary_of(plan, totals, survey.files, outcome))
        return int(not totals.complete or bool(outcome and outcome.changed))


def _is_disk_itself(path: Path) -> bool:
    """Whether an input is a disk as it is, of a host maybe, and not what an earlier run wrote."""
    is_named = own_ending(path) in _ENDINGS
    return not is_named and not is_accompanied(path) and begins_disk(front_of(path, _FRONT))


def _listed(path: Path | None) -> tuple[str, ...]:
    """The paths in a file; raises UsageError where it cannot be read, or names none."""
    if path is None:
        return ()
    try:
        with click.open_file(str(path), encoding="utf-8", errors="surrogateescape") as file:
            found = tuple(paths_in(file))
    except OSError as error:
        raise click.UsageError(f"{safe(path)} cannot be read: {error.strerror}.") from error
    if not found:
        raise click.UsageError(f"{safe(path)} names no file; write one path a line, as `vhdx files -r` prints them.")
    return found


def _uppermost(inputs: Sequence[Path]) -> Path:
    """The file that a disk in a folder is named after: the first that no other names as its parent."""
    records = [_record(path) for path in inputs]
    below = {identity for record in records for identity in record.linkages}
    return next((one.path for one in records if one.identity and one.identity not in below), inputs[0])


def _record(path: Path) -> FileRecord:
    record = FileRecord(path=path)
    with suppress(VhdxError), closing(open_structures(path)) as structures:
        record = with_structures(record, structures)
    return record


def _with_target(request: RecoverOptions, out: Path, form: OutputFormat, options: Options) -> RecoverOptions:
    request = replace(request, target=out, format=form, options=options)
    is_asked = request.attempt is Attempt.RESUME
    # With none of the three, all that can be there is what an interrupted first run left.
    is_begun = is_asked and not any(path.exists() for path in (out, map_of(out), account_of(out)))
    replaces = is_begun or resumes(request)
    return replace(request, options=replace(options, existing=Existing.REPLACE)) if replaces else request
