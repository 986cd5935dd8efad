"""`vhdx scan`."""

from collections.abc import Sequence
from pathlib import Path

import click

from analyzer.scan.run import run_scan
from cli import output
from cli.options.common import FILE_PATH, json_option
from cli.progress import counter
from cli.render.scan_json import payload_of
from cli.render.scan_text import in_this_encoding, lines_of
from cli.text import line_width
from vhdx.findings import Severity


@click.command("scan")
@click.argument("places", nargs=-1, required=True, type=FILE_PATH, metavar="DIR...")
@json_option
def command(places: Sequence[Path], as_json: bool) -> int:
    """Find virtual disks in folders, group them into chains, and suggest the next command.

    Files are recognised by content, whatever their names, in all subfolders; links to folders are not followed. Parents
    are matched as `vhdx merge` matches them: by the path that the child names, then by identity, wherever the file is
    now. Sources are only read; a bad file is reported, and the scan continues.

    Each chain is drawn with its base at the top and its leaves at the bottom. `holds` is what a layer stores itself
    (data, zeros, trimmed ranges); `show` is the part of it that a leaf above still reads, the rest is hidden by the
    layers between. Below a file are its warnings and errors, with their codes. At the end each chain's current leaf is
    named (what a virtual machine runs on, else what was modified last, but no checkpoint that a backup left behind),
    with the command that merges it. Configurations (.vmcx, .vmrs) name the machines if dissect.hypervisor (AGPL-3.0;
    the extra `machines`) is installed.

    If a parent's identity is not the one that its child names, the evidence is collected, and ends in a verdict: safe,
    doubtful, or wrong parent.

    Exit code 1 when a finding is an error (a parent missing or not the right one, a loop, a file that cannot be read),
    or there is no VHDX at all.

    \b
    Examples:
      vhdx scan /mnt/old-host
      vhdx scan /mnt/vms /mnt/backup        a parent may be in either
      vhdx scan . --json | jq -r '.trees[].advice.command // empty'
      vhdx scan . --json | jq '.findings[] | select(.severity == "error")'
    """
    with counter("scanning") as tick:
        scan = run_scan(places, tick)
    if as_json:
        output.emit("scan", payload_of(scan), scan.findings)
    else:
        output.emit_lines(in_this_encoding(lines_of(scan, line_width())))
    failed = any(finding.severity is Severity.ERROR for finding in scan.findings)
    return int(failed or not scan.forest.records)  # no VHDX at all is most often the wrong folder
