"""`vhdx backup restore`."""

import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from analyzer.backup.restore import PointDisk, extract_range, plan_restore, range_of, stream_range
from analyzer.backup.resume import Resumed, restore_device, resume_raw
from analyzer.convert.convert import run_conversion
from analyzer.convert.model import EXTENSIONS, VHDX_FORMATS, OutputFormat, format_of
from analyzer.convert.new_identity import told
from cli import output
from cli.errors import when_interrupted
from cli.options.case_data import evidence_options, with_evidence
from cli.options.clone import clone_of, clone_options, is_clone, report_clone
from cli.options.common import FILE_PATH, ByteSize, json_option
from cli.options.output import STDOUT, asked_format, format_option, options_from, output_options, report
from cli.options.repository import repository_argument, repository_of
from cli.progress import progress
from cli.text import safe, size
from vhdx.sink import Existing, part_of


@click.command("restore")
@repository_argument
@click.argument("name")
@click.argument("out", type=FILE_PATH)
@format_option
@click.option("--block-size", type=ByteSize(), help="Of a VHDX: 1M to 256M; the base's where it is not given.")
@click.option("--offset", type=ByteSize(), help="Only the bytes of the disk from here on, as they are.")
@click.option("--length", type=ByteSize(), help="How many of them; all that follow where it is not given.")
@click.option(
    "--resume", is_flag=True, help="Raw: go on with what an interrupted run left, and leave it if interrupted."
)
@click.option(
    "--onto-device", is_flag=True, help="OUT is a block device: ALL THAT IS ON IT IS OVERWRITTEN, to the disk's size."
)
@output_options
@clone_options
@evidence_options
@json_option
def command(repository: str, name: str, out: Path, wanted: str | None, as_json: bool, **choices: Any) -> None:
    """Write the disk of the restore point NAME as one image that depends on nothing.

    Formats are those of `vhdx convert`. OUT may be `-`: the raw bytes on stdout. A VHDX gets new identities for its
    file, and keeps the disk's; with --clone the disk gets new ones too, as with `vhdx convert --clone`, and can be used
    beside its original. Every chunk is compared with its id as it is read. A block device is
    written to with --onto-device alone.

    \b
    Examples:
      vhdx backup restore /mnt/nas/backups NAME disk.vhdx
      vhdx backup restore /mnt/nas/backups NAME disk.raw --resume
      vhdx backup restore /mnt/nas/backups NAME disk.qcow2
      vhdx backup restore /mnt/nas/backups NAME second.vhdx --clone
      vhdx backup restore /mnt/nas/backups NAME /dev/sdx --onto-device
      vhdx backup restore /mnt/nas/backups NAME boot.bin --offset 0 --length 1M
      vhdx backup restore /mnt/nas/backups NAME - | ssh host 'cat > disk.raw'
    """
    disk = PointDisk(repository_of(repository), name)
    is_whole = out != STDOUT and choices["offset"] is None and choices["length"] is None and not choices["resume"]
    is_whole = is_whole and not choices["onto_device"]
    if is_clone(choices) and not is_whole:
        raise click.UsageError(
            "a clone is written whole, to a file: leave out --clone, or --resume, --onto-device and the range."
        )
    if choices["onto_device"]:
        _onto_device(disk, out, choices, as_json=as_json)
    elif out == STDOUT:
        _to_stdout(disk, choices, as_json=as_json)
    elif choices["offset"] is not None or choices["length"] is not None:
        _range(disk, out, wanted, choices, as_json=as_json)
    elif choices["resume"]:
        _resume(disk, out, wanted, choices, as_json=as_json)
    else:
        _whole(disk, out, wanted, choices, as_json=as_json)


def _whole(disk: PointDisk, out: Path, wanted: str | None, choices: dict[str, Any], *, as_json: bool) -> None:
    form = asked_format(wanted, out, choices) or format_of(out)
    if choices["block_size"] and form not in VHDX_FORMATS:
        raise click.UsageError("--block-size is for VHDX outputs.")
    options = with_evidence(options_from(choices), form, choices)
    clone = clone_of(disk, choices, options)
    plan = plan_restore(disk, out, form, options, clone)
    with progress("restoring", plan.work) as update:
        outcome = run_conversion(plan, clone or disk, update)
    if clone:
        report_clone("backup restore", outcome, told(clone, UUID(disk.manifest.disk_id), plan), as_json=as_json)
    else:
        report("backup restore", outcome, as_json=as_json)


def _to_stdout(disk: PointDisk, choices: dict[str, Any], *, as_json: bool) -> None:
    if as_json or choices["resume"] or choices["block_size"] or choices["compress"] or choices["zstd"]:
        raise click.UsageError("stdout takes raw bytes alone; name a file for anything else.")
    if sys.stdout.isatty():
        raise click.UsageError("a disk on a terminal helps nobody; pipe it, or name a file.")
    start, length = range_of(disk, choices["offset"] or 0, choices["length"])
    with progress("restoring", length) as update:
        stream_range(disk, start, length, sys.stdout.buffer, update)


def _range(disk: PointDisk, out: Path, wanted: str | None, choices: dict[str, Any], *, as_json: bool) -> None:
    asked = OutputFormat(wanted) if wanted else EXTENSIONS.get(out.suffix.lower(), OutputFormat.RAW)
    if asked is not OutputFormat.RAW:
        raise click.UsageError("a range is raw bytes, and no image: name it .raw, .img or .bin.")
    if any(choices[name] for name in ("block_size", "compress", "zstd", "azure")):
        raise click.UsageError("a range is raw bytes: leave out what makes an image of it.")
    start, length = range_of(disk, choices["offset"] or 0, choices["length"])
    existing = Existing.REPLACE if choices["force"] else Existing.REFUSE
    with progress("restoring", length) as update:
        written = extract_range(disk, start, length, out, existing, update)
    if as_json:
        output.emit("backup restore", {"range": {"target": out, "start": start, "length": written}})
    else:
        click.echo(f"{safe(out)}: {size(written)} of the disk from byte {start} on")


def _resume(disk: PointDisk, out: Path, wanted: str | None, choices: dict[str, Any], *, as_json: bool) -> None:
    if (asked_format(wanted, out, choices) or format_of(out)) is not OutputFormat.RAW:
        raise click.UsageError("--resume is for raw images: only there has every byte its place from the start.")
    kept = f"what is written is kept in {part_of(out)}; run the command again, it goes on from there"
    with when_interrupted(kept), progress("restoring", disk.size) as update:
        resumed = resume_raw(disk, out, update)
    _tell(resumed, "raw", as_json=as_json)


def _onto_device(disk: PointDisk, device: Path, choices: dict[str, Any], *, as_json: bool) -> None:
    refused = ("offset", "length", "block_size", "compress", "zstd", "azure", "seed")
    given = [name for name in refused if choices.get(name)]
    if given or choices["no_verify"]:
        raise click.UsageError("a device gets the whole disk as it is, read back: leave out what makes an image of it.")
    kept = "the device holds a part of the disk and a part of what it held before; run the command again, it goes on"
    with when_interrupted(kept), progress("restoring", disk.size) as update:
        restored = restore_device(disk, device, update)
    _tell(restored, "block device", as_json=as_json)


def _tell(resumed: Resumed, what: str, *, as_json: bool) -> None:
    if as_json:
        output.emit("backup restore", {"resumed": resumed})
    else:
        there = f"{size(resumed.found_bytes)} were there, {size(resumed.written_bytes)} written"
        click.echo(f"{safe(resumed.target)}: {what}, disk of {size(resumed.size)}, {there}, read back and right")
