"""`vhdx convert`."""

import sys
from pathlib import Path
from typing import Any

import click

from analyzer.convert.convert import stream_raw
from analyzer.convert.model import VHDX_FORMATS, Compression, Options, OutputFormat, format_of
from cli import output
from cli.options.case_data import evidence_options, with_evidence
from cli.options.clone import clone_of, clone_options, lines_of, write_disk
from cli.options.common import FILE_PATH, ByteSize, chain_options, json_option, open_leaf, tell_errors
from cli.options.output import STDOUT, asked_format, format_option, options_from, output_options
from cli.progress import progress
from vhdx.chain import Chain


@click.command("convert")
@click.argument("leaf", type=FILE_PATH)
@click.argument("out", type=FILE_PATH)
@format_option
@click.option("--block-size", type=ByteSize(), help="Of a VHDX: 1M to 256M; the base's where it is not given.")
@output_options
@clone_options
@evidence_options
@chain_options
@json_option
def command(leaf: Path, out: Path, wanted: str | None, **choices: Any) -> int:
    """Write the flat disk of a chain, or of a single VHDX, as one image of any format that depends on nothing.

    Formats: raw (sparse), vhdx (dynamic), vhdx-fixed, qcow2, vhd (dynamic), vhd-fixed, vhd-azure, vmdk
    (streamOptimized), raw.zst (seekable; needs the package zstandard), e01 (evidence, as EnCase 6 has it, in files
    NAME.E01, NAME.E02 ..., with MD5 and SHA-1). OUT may be `-`: a raw image on stdout, every byte of it. The output is
    written beside its place as OUT.part, flushed, read back, and renamed only then.
    With --clone the disk gets new identities, so that it and its original can be used by one system: MBR, GPT, and
    file systems where that is safe; each is told, old and new, and so is what could not be changed.
    Exit code 1: it was written, and `vhdx check` has errors to tell of a source.

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
    with open_leaf(leaf, choices) as chain:
        output.warn(chain.findings)
        errors = tell_errors(chain)
        form = asked_format(wanted, out, choices)
        if out == STDOUT:
            _to_stdout(chain, form, with_evidence(options_from(choices), form, choices), choices)
            return int(bool(errors))
        form = form or format_of(out)
        if choices["block_size"] and form not in VHDX_FORMATS:
            raise click.UsageError("--block-size is for VHDX outputs.")
        options = with_evidence(options_from(choices), form, choices)
        write_disk("convert", chain, out, form, options, choices, errors)
    return int(bool(errors))


def _to_stdout(chain: Chain, wanted: OutputFormat | None, options: Options, choices: dict[str, Any]) -> None:
    if wanted not in {None, OutputFormat.RAW} or choices["as_json"] or options.compression is not Compression.FORMAT:
        raise click.UsageError("stdout takes a raw image alone; name a file for anything else.")
    if sys.stdout.isatty():
        raise click.UsageError("a disk on a terminal helps nobody; pipe it, or name a file.")
    clone = clone_of(chain, choices, options)
    with progress("writing", chain.size) as update:
        stream_raw(clone or chain, sys.stdout.buffer, update)
    for line in lines_of(clone.clone) if clone else ():
        click.echo(line, err=True)
