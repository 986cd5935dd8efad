"""`vhdx merge`."""

from pathlib import Path

import click

from analyzer.convert.merge_upper import plan_merge_upper, run_merge_upper
from analyzer.convert.model import EXTENSIONS, Options, Outcome, OutputFormat
from cli import output
from cli.options.clone import CloneOptions, clone_options, write_disk
from cli.options.common import FILE_PATH, ChainOptions, chain_options, json_option, open_leaf, warn_of_errors
from cli.options.output import OutputOptions, output_options, refuse_stdout, report
from cli.progress import progress
from cli.text import safe
from vhdx.chain import Chain


@click.command("merge")
@click.argument("leaf", type=FILE_PATH)
@click.argument("out", type=FILE_PATH)
@click.option(
    "--base",
    type=FILE_PATH,
    metavar="FILE",
    help="Keep FILE and the layers below it; merge those above into one differencing file on FILE.",
)
@click.option("--fixed", is_flag=True, help="Write a fixed VHDX instead of a dynamic one.")
@output_options(block_size="the base's; with --base, the leaf's")
@clone_options
@chain_options
@json_option
def command(
    leaf: Path,
    out: Path,
    base: Path | None,
    fixed: bool,
    image: OutputOptions,
    clone: CloneOptions,
    where: ChainOptions,
    as_json: bool,
) -> int:
    """Merge a checkpoint chain into one standalone image, by default a VHDX: the disk as the leaf shows it.

    The extension of OUT, or --format, may ask for another format, as with `vhdx convert`. With --base only the layers
    above FILE are merged, into one differencing VHDX.

    A VHDX keeps the virtual disk id and the sector sizes, gets new file identities, and stores no block that reads as
    zeros. --clone gives it a new virtual disk id, and its disk new identities, for use beside the original; changes,
    and what could not be changed, are reported. No source is changed. The output is written as OUT.part, flushed,
    verified, then renamed.

    Exit code 1: the output was written, and `vhdx check` reports errors in a source.

    \b
    Examples:
      vhdx merge leaf.avhdx standalone.vhdx
      vhdx merge leaf.avhdx standalone.vhdx --search /mnt/old-host --map 'D:\\VMs=/mnt/vms'
      vhdx merge leaf.avhdx standalone.qcow2 --compress
      vhdx merge leaf.avhdx newest.avhdx --base monday.avhdx
    """
    form = _format_of(out, image.asked_format(out), fixed=fixed)
    if base and form is not OutputFormat.VHDX:
        raise click.UsageError(f"--base makes a differencing VHDX, which no {form.value} can be.")
    if base and clone.scope:
        raise click.UsageError("a clone stands alone: leave out --base, or --clone.")
    refuse_stdout(out)
    options = image.for_format(form)
    with open_leaf(leaf, where) as chain:
        output.warn(chain.findings)
        errors = warn_of_errors(chain)
        if base:
            report("merge", _upper(chain, base, out, options), as_json=as_json, errors=errors)
        else:
            write_disk("merge", chain, out, form, options, clone.scope, errors=errors, as_json=as_json)
    return int(bool(errors))


def _format_of(out: Path, wanted: OutputFormat | None, *, fixed: bool) -> OutputFormat:
    """A VHDX whatever the name, unless the name or an option asks for something else."""
    if fixed and wanted:
        raise click.UsageError("--fixed means a fixed VHDX: leave it out, or --format and --azure.")
    if fixed and EXTENSIONS.get(out.suffix.lower(), OutputFormat.VHDX) is not OutputFormat.VHDX:
        raise click.UsageError(f"--fixed makes a VHDX, and {safe(out.name)!r} asks for something else.")
    if fixed:
        return OutputFormat.VHDX_FIXED
    if wanted:
        return wanted
    return EXTENSIONS.get(out.suffix.lower(), OutputFormat.VHDX)


def _upper(chain: Chain, base: Path, out: Path, options: Options) -> Outcome:
    plan = plan_merge_upper(chain, base, out, options)
    with progress("merging", plan.work) as update:
        return run_merge_upper(plan, chain, update)
