"""`vhdx apply`."""

from pathlib import Path

import click

from analyzer.convert.convert import run_conversion
from analyzer.diff.delta.delta import Delta, PatchedDisk, plan_application
from cli.options.address import DiskOptions, disk_options
from cli.options.common import FILE_PATH, json_option, output_argument, refuse_stdout
from cli.options.output import OutputOptions, output_options, report, report_plan
from cli.options.states import opened_with_warnings
from cli.progress import progress


@click.command("apply")
@click.argument("delta", type=FILE_PATH)
@click.argument("base")
@output_argument
@click.option("--dry-run", is_flag=True, help="Check the base, say what would be written, with sizes; write nothing.")
@output_options(block_size="that of the new state")
@disk_options
@json_option
def command(delta: Path, base: str, out: Path, dry_run: bool, image: OutputOptions, where: DiskOptions) -> None:
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
