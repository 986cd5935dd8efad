"""`vhdx backup restore`."""

from pathlib import Path
from typing import Any

import click

from analyzer.backup.restore import PointDisk, plan_restore
from analyzer.convert import VHDX_FORMATS, OutputFormat, format_of, run_conversion
from cli.options import FILE_PATH, ByteSize, json_option
from cli.progress import progress
from cli.repositories import repository_of
from cli.writing import asked_format, options_from, output_options, report


@click.command("restore")
@click.argument("repository")
@click.argument("name")
@click.argument("out", type=FILE_PATH)
@click.option(
    "--format",
    "wanted",
    type=click.Choice([choice.value for choice in OutputFormat]),
    metavar="FORMAT",
    help="Where the name does not tell (.raw, .img, .vhdx, .qcow2, .vhd, .vmdk, .zst).",
)
@click.option("--block-size", type=ByteSize(), help="Of a VHDX: 1M to 256M; the base's where it is not given.")
@output_options
@json_option
def command(repository: str, name: str, out: Path, wanted: str | None, as_json: bool, **choices: Any) -> None:
    """Write the disk of the restore point NAME as one image that depends on nothing.

    \b
    Examples:
      vhdx backup restore /mnt/nas/backups NAME disk.vhdx
      vhdx backup restore /mnt/nas/backups NAME disk.raw
      vhdx backup restore /mnt/nas/backups NAME disk.qcow2
    """
    disk = PointDisk(repository_of(repository), name)
    form = asked_format(wanted, choices) or format_of(out)
    if choices["block_size"] and form not in VHDX_FORMATS:
        raise click.UsageError("--block-size is for VHDX outputs.")
    plan = plan_restore(disk.manifest, disk, out, form, options_from(choices))
    with progress("restoring", plan.work) as update:
        outcome = run_conversion(plan, disk, update)
    report("backup restore", outcome, as_json=as_json)
