"""`vhdx convert`."""

import sys
from pathlib import Path

import click

from analyzer.convert.convert import stream_raw
from analyzer.convert.model import Options, OutputFormat, format_of
from analyzer.convert.new_identity import Scope
from cli import output
from cli.options.clone import CloneOptions, clone_of, clone_options, lines_of, write_disk
from cli.options.common import FILE_PATH, ChainOptions, chain_options, json_option, open_leaf, warn_of_errors
from cli.options.output import STDOUT, OutputOptions, output_options
from cli.progress import progress
from vhdx.chain import Chain


@click.command("convert")
@click.argument("leaf", type=FILE_PATH)
@click.argument("out", type=FILE_PATH)
@output_options(block_size="the base's")
@clone_options
@chain_options
@json_option
def command(
    leaf: Path, out: Path, image: OutputOptions, clone: CloneOptions, where: ChainOptions, as_json: bool
) -> int:
    """Convert the disk of a chain, or of a single VHDX, to one standalone image.

    Formats: raw (sparse), vhdx (dynamic), vhdx-fixed, qcow2, vhd (dynamic), vhd-fixed, vhd-azure, vmdk
    (streamOptimized), raw.zst (seekable; needs the package zstandard), e01 (as EnCase 6 writes it, in files NAME.E01,
    NAME.E02 ..., with MD5 and SHA-1). OUT may be `-`: a raw image on stdout, every byte of it. The output is written as
    OUT.part, flushed, verified, then renamed.

    With --clone the disk gets new identities, so that one system can use it beside its original: MBR, GPT, and file
    systems where that is safe. Changes, and what could not be changed, are reported.

    Exit code 1: the output was written, and `vhdx check` reports errors in a source.

    \b
    Examples:
      vhdx convert leaf.avhdx disk.raw
      vhdx convert old.vhdx new.vhdx --block-size 2M
      vhdx convert leaf.avhdx disk.qcow2 --compress
      vhdx convert leaf.avhdx disk.vhd --azure
      vhdx convert leaf.avhdx disk.vmdk
      vhdx convert leaf.avhdx disk.raw.zst
      vhdx convert leaf.avhdx second.vhdx --clone
      vhdx convert leaf.avhdx disk.E01 --case-number 2026-17 --examiner 'A. Name'
      vhdx convert leaf.avhdx - | ssh host 'cat > disk.raw'
    """
    with open_leaf(leaf, where) as chain:
        output.warn(chain.findings)
        errors = warn_of_errors(chain)
        form = image.asked_format(out)
        if out == STDOUT:
            if form not in {None, OutputFormat.RAW} or as_json or image.is_reshaped:
                raise click.UsageError("stdout takes a raw image alone; name a file for anything else.")
            _to_stdout(chain, clone.scope, image.for_format(OutputFormat.RAW))
        else:
            form = form or format_of(out)
            options = image.for_format(form)
            write_disk("convert", chain, out, form, options, clone.scope, errors=errors, as_json=as_json)
    return int(bool(errors))


def _to_stdout(chain: Chain, scope: Scope | None, options: Options) -> None:
    if sys.stdout.isatty():
        raise click.UsageError("a disk on a terminal helps nobody; pipe it, or name a file.")
    clone = clone_of(chain, scope, options)
    with progress("writing", chain.size) as update:
        stream_raw(clone or chain, sys.stdout.buffer, update)
    for line in lines_of(clone.clone) if clone else ():
        click.echo(line, err=True)
