"""`vhdx convert`, and `vhdx merge`, which writes a VHDX unless another format is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from analyzer.address.image import file_name_of, request_of
from analyzer.convert.carried_map import namer_for
from analyzer.convert.convert import stream_raw
from analyzer.convert.merge_upper import plan_merge_upper, run_merge_upper
from analyzer.convert.model import Options, OutputFormat
from analyzer.convert.new_identity.workspace import Scope
from cli import output
from cli.options.address import DiskOptions, disk_options, expanded_disks, opened, warn_of_state
from cli.options.chain import ChainOptions, chain_options, layer_file, open_leaf, warn_of_findings
from cli.options.common import (
    FILE_PATH,
    STDOUT,
    disks_and_output,
    file_in,
    grouped,
    json_option,
    optional_output,
    refuse_stdout,
)
from cli.options.each import Answer, answer_of, for_each, tell_each
from cli.options.jobs import JobOptions, job_options
from cli.options.merging import IntoParent
from cli.options.output import (
    CloneOptions,
    clone_of,
    lines_of,
    output_options,
    report,
    report_plan,
    stdout_for_bytes,
    write_disk,
)
from cli.progress import progress
from cli.text import safe, say
from vhdx.disk import Disk


@click.command("convert")
@disks_and_output
@output_options(block_size="the base's", kind=CloneOptions)
@disk_options
@job_options
@json_option
def command(disks: Sequence[str], out: Path, image: CloneOptions, where: DiskOptions, how: JobOptions) -> int:
    """Convert a disk, however it is kept, to one standalone image; several into a folder.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of its layer N (0 is the base); a raw image; a block
    device, which others may write to meanwhile; REPO::POINT, a restore point; or nbd://, an export of an NBD server.

    Formats: raw (sparse), vhdx (dynamic), vhdx-fixed, qcow2, vhd (dynamic), vhd-fixed, vhd-azure, vmdk
    (streamOptimized), raw.zst (seekable; needs the package zstandard), e01 (as EnCase 6 writes it, in files NAME.E01,
    NAME.E02 ..., with MD5 and SHA-1). OUT may be `-`: a raw image on stdout, every byte of it. The output is written as
    OUT.part, flushed, verified, then renamed.

    With --clone the disk gets new identities, so that one system can use it beside its original: MBR, GPT, and file
    systems where that is safe. Changes, and what could not be changed, are reported.

    Exit code 1: the output was written, and `vhdx check` reports errors in a source. Of several disks the others are
    converted when one cannot be, and the exit code is that of the first such.

    \b
    Examples:
      vhdx convert leaf.avhdx disk.raw
      vhdx convert *.vhdx folder/ --format qcow2
      vhdx convert old.vhdx new.vhdx --block-size 2M
      vhdx convert leaf.avhdx disk.qcow2 --compress
      vhdx convert leaf.avhdx disk.vhd --azure
      vhdx convert leaf.avhdx disk.vmdk
      vhdx convert leaf.avhdx disk.raw.zst
      vhdx convert leaf.avhdx second.vhdx --clone
      vhdx convert leaf.avhdx disk.E01 --case-number 2026-17 --examiner 'A. Name'
      vhdx convert /dev/sdx disk.vhdx
      vhdx convert disk.raw disk.vhdx --sector-size 4096
      vhdx convert /mnt/nas/backups::latest disk.vhdx
      vhdx convert leaf.avhdx - | ssh host 'cat > disk.raw'
    """
    asked = image.asked_format() or (OutputFormat.RAW if out == STDOUT else None)
    disks = expanded_disks(disks)
    if len(disks) == 1:
        return _write("convert", disks[0], out, asked, image, where)
    _require_own_targets(disks, out, asked, image)
    work = partial(_answer, out=out, asked=asked, image=image, where=where)
    return tell_each("convert", disks, for_each(work, disks, how.engine_to_read(disks), "converting"))


def _answer(disk: str, out: Path, asked: OutputFormat | None, image: CloneOptions, where: ChainOptions) -> Answer:
    """What is said of one of several disks."""
    if image.seed is not None:  # GUIDs of its own
        image = replace(image, seed=f"{image.seed} {Path(disk).name}")
    return answer_of(lambda name: _write("convert", name, out, asked, image, where), disk)


def _require_own_targets(disks: Sequence[str], out: Path, asked: OutputFormat | None, image: CloneOptions) -> None:
    """See that each of several files has a name of its own; raises UsageError for that, and as `for_target`.

    Of all that has to be opened first (the state of a layer, a restore point), the second output is refused, or made.
    """
    taken = dict[Path, str]()
    for disk in disks:
        target, _, _ = image.for_target(out, Path(disk), asked)
        if Path(disk).exists() and taken.setdefault(target, disk) != disk:
            both = f"{safe(taken[target])} and {safe(disk)}"
            raise click.UsageError(f"{both} would both be written to {safe(target)}; convert one of them by itself.")


def _write(
    command: str, disk: str, out: Path, asked: OutputFormat | None, image: CloneOptions, where: ChainOptions
) -> int:
    """Write a disk as one image, on stdout where `out` says so; returns the exit code."""
    if out == STDOUT and (asked is not OutputFormat.RAW or output.is_json() or image.is_reshaped or image.dry_run):
        raise click.UsageError("stdout takes a raw image alone (--format raw); name a file for anything else.")
    if out != STDOUT and not out.is_dir():
        image.for_target(out, out, asked)  # what the name asks for may be refused before anything is opened
    with opened(disk, where) as state:
        if out == STDOUT:
            errors = warn_of_state(state.disk)
            _to_stdout(state.disk, image.scope, image.for_format(OutputFormat.RAW))
            return int(bool(errors))
        target, form, options = image.for_target(out, file_name_of(state), asked)
        errors = warn_of_state(state.disk)
        request, name = request_of(state, target, form, options), namer_for(state.disk, target, options.existing)
        write_disk(command, state.disk, request, image, errors=errors, name=name)
    return int(bool(errors))


def _to_stdout(disk: Disk, scope: Scope | None, options: Options) -> None:
    stdout, clone = stdout_for_bytes(), clone_of(disk, scope, options)
    with progress("writing", disk.size) as update:
        stream_raw(clone or disk, stdout, update)
    for line in lines_of(clone.clone) if clone else ():
        say(line)


_BASE = "Keep FILE and the layers below it; merge those above into one differencing file on FILE."


@click.command("merge")
@click.argument("leaf")
@optional_output
@click.option("--base", type=FILE_PATH, metavar="FILE", help=_BASE)
@click.option("--fixed", is_flag=True, help="Write a fixed VHDX instead of a dynamic one.")
@grouped("into", IntoParent)
@output_options(block_size="the base's; with --base, the leaf's", kind=CloneOptions)
@chain_options
@json_option
def merge_command(
    leaf: str, out: Path | None, base: Path | None, fixed: bool, into: IntoParent, image: CloneOptions,
    where: ChainOptions,
) -> int:  # fmt: skip
    """Merge a checkpoint chain into one standalone image, by default a VHDX: the disk as the leaf shows it.

    LEAF@N merges the state of layer N of the chain (0 is the base). For other disks there is `vhdx convert`.

    The extension of OUT, or --format, may ask for another format, as with `vhdx convert`. With --base only the layers
    above FILE are merged, into one differencing VHDX.

    A VHDX keeps the virtual disk id and the sector sizes, gets new file identities, and stores no block that reads as
    zeros. --clone gives it a new virtual disk id, and its disk new identities, for use beside the original; changes,
    and what could not be changed, are reported. No source is changed. The output is written as OUT.part, flushed,
    verified, then renamed.

    With --into nothing new is written: FILE, a parent of LEAF, takes in all layers above it, as Hyper-V's Merge-VHD has
    it. The plan is printed first. LEAF shows the same disk at any moment, whatever is interrupted, and the same command
    goes on. Files made upon LEAF are linked to FILE; the merged ones are renamed NAME.merged at the end.

    Exit code 1: the output was written, and `vhdx check` reports errors in a source.

    \b
    Examples:
      vhdx merge leaf.avhdx standalone.vhdx
      vhdx merge leaf.avhdx standalone.vhdx --search /mnt/old-host --map 'D:\\VMs=/mnt/vms'
      vhdx merge leaf.avhdx standalone.qcow2 --compress
      vhdx merge leaf.avhdx newest.avhdx --base monday.avhdx
      vhdx merge leaf.avhdx --into base.vhdx --dry-run
      vhdx merge leaf.avhdx --into base.vhdx
    """
    if into.file:
        from cli.commands.merge_into import merge_into  # what changes files in their places: most merges do not

        _refuse_with_into(out, base, image, fixed=fixed)
        return merge_into(Path(leaf), into.file, into, where, dry_run=image.dry_run)
    if out is None:
        raise click.UsageError("name the output, as OUT or with -o OUT, or a parent with --into.")
    asked = image.asked_format()
    if fixed and asked:
        raise click.UsageError("--fixed means a fixed VHDX: leave it out, or --format and --azure.")
    if fixed:
        asked = OutputFormat.VHDX_FIXED
    if base:
        return _merge_upper(Path(leaf), base, out, asked, image, where)
    return _write("merge", leaf, out, asked, image, where)


def _refuse_with_into(out: Path | None, base: Path | None, image: CloneOptions, *, fixed: bool) -> None:
    """Refuse what means nothing for a merge in place; raises UsageError."""
    if out is not None:
        raise click.UsageError("--into writes no new file: leave OUT out, or --into.")
    if base or fixed or not image.asks_nothing:
        raise click.UsageError("--into takes a parent as it is: leave out --base, --fixed and what shapes an output.")


def _merge_upper(
    leaf: Path, base: Path, out: Path, asked: OutputFormat | None, image: CloneOptions, where: ChainOptions
) -> int:
    if asked not in {None, OutputFormat.VHDX}:
        raise click.UsageError(f"--base makes a differencing VHDX, which no {asked} can be.")
    if image.scope:
        raise click.UsageError("a clone is standalone: leave out --base, or --clone.")
    refuse_stdout(out)
    leaf, where = layer_file(leaf, where)
    target, _, options = image.for_target(file_in(out, leaf, "-merged.avhdx"), leaf, OutputFormat.VHDX)
    with open_leaf(leaf, where) as chain:
        errors = warn_of_findings(chain)
        plan = plan_merge_upper(chain, base, target, options)
        if image.dry_run:
            report_plan("merge", plan, chain.findings, errors=errors)
            return int(bool(errors))
        with progress("merging", plan.work) as update:
            report("merge", run_merge_upper(plan, chain, update), errors=errors)
    return int(bool(errors))
