"""`vhdx apply`."""

from pathlib import Path
from typing import Any

import click

from analyzer.convert.convert import run_conversion
from analyzer.convert.model import OutputFormat, format_of
from analyzer.diff.delta.apply import plan_application
from analyzer.diff.delta.container import Delta
from analyzer.diff.delta.disk import PatchedDisk
from cli.options.case_data import evidence_options, with_evidence
from cli.options.common import FILE_PATH, ByteSize, chain_options, json_option
from cli.options.output import asked_format, format_option, options_from, output_options, refuse_stdout, report
from cli.options.states import opened
from cli.progress import progress


@click.command("apply")
@click.argument("delta", type=FILE_PATH)
@click.argument("base")
@click.argument("out", type=FILE_PATH)
@format_option
@click.option("--block-size", type=ByteSize(), help="Of a VHDX: 1M to 256M; what the new state had if not given.")
@output_options
@evidence_options
@chain_options
@json_option
def command(delta: Path, base: str, out: Path, wanted: str | None, as_json: bool, **choices: Any) -> None:  # fmt: skip
    """Make the new state from the old one and a delta that `vhdx changes --export` wrote.

    BASE is the old state: a VHDX (with its parents), a raw image, or PATH@N for layer N of a chain. All of it is read
    first, and any other base is refused before anything is written. Neither BASE nor DELTA is changed: OUT is a whole
    image, written beside its place as OUT.part, flushed, read back, and renamed only then.

    \b
    Examples:
      vhdx changes --export friday.delta vm.avhdx@0 vm.avhdx
      vhdx apply friday.delta vm.vhdx friday.vhdx
      vhdx apply friday.delta old.raw new.raw
    """
    refuse_stdout(out)
    form = asked_format(wanted, out, choices) or format_of(out)
    if form is OutputFormat.RAW and choices["block_size"]:
        raise click.UsageError("--block-size is for VHDX outputs; a raw image has no blocks.")
    with Delta(delta) as opened_delta, opened(base, choices) as state:
        header = opened_delta.header
        with progress("checking the base", header.old_size + header.new_size) as update:
            plan = plan_application(
                opened_delta, state, out, form, with_evidence(options_from(choices), form, choices), update
            )
        with progress("writing", plan.work) as update:
            outcome = run_conversion(plan, PatchedDisk(state.disk, opened_delta), update)
        report("apply", outcome, as_json=as_json)
