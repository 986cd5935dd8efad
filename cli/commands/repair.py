"""`vhdx repair`."""

from pathlib import Path

import click

from analyzer.repair.plan import plan_repair
from cli.options.common import FILE_PATH, json_option, quiet_library
from cli.options.repair import RepairOptions, code_of, emit, repair_options, show
from vhdx.source import FileSource


@click.command("repair")
@click.argument("file", type=FILE_PATH)
@repair_options
@json_option
def command(file: Path, result: RepairOptions, as_json: bool) -> int:
    """Plan byte-exact repairs of a file, from redundant copies in it; apply them to a copy, or in place.

    Prints a plan: for each fix the bytes before and after, and the evidence. A header or region table is restored from
    its other copy, or by the one flipped bit that explains its checksum; a dirty log is applied for good; parts of the
    block table are restored from old log entries, shifted ones moved back. What cannot be fixed is listed. No fix
    discards anything.

    Without --output or --in-place nothing is written. A copy is written as COPY.part, verified, then renamed. In place,
    the undo file is written first; `vhdx undo FILE UNDO` restores the file bit for bit.

    Exit code 0: nothing to fix, or all of it is done. 1: a plan was printed and not applied, or something cannot be
    fixed. 3: nothing can be fixed and the file cannot be opened.

    \b
    Examples:
      vhdx repair disk.vhdx
      vhdx repair disk.vhdx --output repaired.vhdx
      vhdx repair disk.vhdx --in-place --undo /safe/disk.undo
    """
    quiet_library()
    with FileSource(file) as source:
        plan = plan_repair(source)
        outcome = result.apply(plan, source)
    if as_json:
        emit("repair", plan, outcome)
    else:
        show(plan, outcome)
    return code_of(plan, outcome)
