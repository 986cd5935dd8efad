"""`vhdx scan`."""

from collections.abc import Sequence
from pathlib import Path

import click

from analyzer.scan import run_scan
from cli import output
from cli.options.common import FILE_PATH, json_option, quiet_library
from cli.progress import counter
from cli.render.scan_json import payload_of
from cli.render.scan_text import lines_of
from cli.render.tree import in_this_encoding
from cli.text import line_width
from vhdx.findings import Severity


@click.command("scan")
@click.argument("places", nargs=-1, required=True, type=FILE_PATH, metavar="DIR...")
@json_option
def command(places: Sequence[Path], as_json: bool) -> int:
    """Find every VHDX in folders, show which belongs to which, and say what to do next.

    Files are known by their content, whatever their names, in all subfolders; links to folders are not followed.
    Parents are matched as a merge matches them: by the path that the child names, then by identity, wherever the file
    is now. Sources are only read, and a bad file is shown as such and stops nothing.

    Each chain is drawn with its base at the top and its leaves at the bottom. `holds` is what a layer says itself
    (data, zeros, trimmed ranges); `show` is the part of it that a leaf above still reads, the rest is hidden by the
    layers between. Below a file stand its warnings and errors, with their codes. The end says for each chain which
    leaf is the current state (what a virtual machine runs on, else what was modified last), and the command that
    merges it. Configurations (.vmcx, .vmrs) on the way name the machines, where dissect.hypervisor is installed.

    Where a parent's identity is not the one that its child names, the evidence is gathered and ends in a verdict:
    safe, doubtful, or wrong parent.

    Exit code 1 when there is a finding that is an error (a parent missing or not the right one, a circle, a file that
    cannot be read), or no VHDX at all.

    \b
    Examples:
      vhdx scan /mnt/old-host
      vhdx scan /mnt/vms /mnt/backup        a parent may be in either
      vhdx scan . --json | jq -r '.trees[].advice.command // empty'
      vhdx scan . --json | jq '.findings[] | select(.severity == "error")'
    """
    quiet_library()
    with counter("scanning") as tick:
        scan = run_scan(places, tick)
    if as_json:
        output.emit("scan", payload_of(scan), scan.findings)
    else:
        output.emit_lines(in_this_encoding(lines_of(scan, line_width())))
    failed = any(finding.severity is Severity.ERROR for finding in scan.findings)
    return int(failed or not scan.forest.records)
