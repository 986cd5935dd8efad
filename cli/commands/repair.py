"""`vhdx repair` and `vhdx set-parent`, and `vhdx undo` of what they change."""

from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.linkage.mismatch import gather_evidence
from analyzer.repair.apply import run_undo
from analyzer.repair.plan import plan_repair
from analyzer.repair.set_parent import Identity, Relink, plan_relink
from cli import output
from cli.options.chain import mappings_option, search_option
from cli.options.common import FILE_PATH, choice, grouped, json_option, option
from cli.options.repair import RepairOptions, code_of, repair_options, report
from cli.text import safe, say, size
from vhdx.image import open_image
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
    with FileSource(file) as source:
        plan = plan_repair(source)
        outcome = result.apply(plan, source)
    report("repair", plan, outcome, as_json=as_json)
    return code_of(plan, outcome)


@click.command("undo")
@click.argument("file", type=FILE_PATH)
@click.argument("undo", type=FILE_PATH)
@json_option
def undo_command(file: Path, undo: Path, as_json: bool) -> None:
    """Undo what `repair` or `set-parent` changed in place: restore the file bit for bit.

    Works after a crash in the middle of the change, and can be repeated. Another file, or one that was written to
    since, is refused. The undo file is kept.

    \b
    Examples:
      vhdx undo disk.vhdx disk.vhdx.undo
    """
    restored = run_undo(file, undo)
    lines = [f"{safe(file)}: restored, file of {size(restored)}"]
    output.answer("undo", {"path": file, "undo": undo, "file_size": restored}, lines, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """Which parent is accepted, and how its own parents are found."""

    # fmt: off
    identity: Identity = choice("--accept-identity", on=Identity.ACCEPT, off=Identity.REFUSE,
                                help="Accept a PARENT that is not the file CHILD was made from. The disk may then mix"
                                " two states.")
    windows_path: str = option("--windows-path", metavar="PATH", default="",
                               help=r"Path of PARENT on its host: 'D:\VMs\base.vhdx'.")
    search: tuple[Path, ...] = search_option("Folder with PARENT's own parents.")
    mappings: tuple[str, ...] = mappings_option()
    # fmt: on


@click.command("set-parent")
@click.argument("child", type=FILE_PATH)
@click.argument("parent", type=FILE_PATH)
@grouped("asked", _Link)
@repair_options
@json_option
def set_parent_command(child: Path, parent: Path, asked: _Link, result: RepairOptions, as_json: bool) -> int:
    """Relink a checkpoint to its parent after that was moved or renamed: rewrite CHILD's parent locator.

    PARENT must be the file that CHILD was made from: its data_write_guid is the one that CHILD names. Otherwise both
    identities are shown, and --accept-identity is required. The relative path is rewritten; absolute and volume paths
    are kept if nothing has moved, else dropped (--windows-path sets a new one). The chain is opened afterwards.

    Without --output or --in-place nothing is written. In place, the undo file is written first; `vhdx undo CHILD UNDO`
    restores the file bit for bit. Exit code 1: a plan was printed, and not applied.

    \b
    Examples:
      vhdx set-parent leaf.avhdx base.vhdx
      vhdx set-parent leaf.avhdx ../moved/base.vhdx --in-place
      vhdx set-parent leaf.avhdx base.vhdx --output joined.avhdx --windows-path 'D:\\VMs\\base.vhdx'
    """
    wish = Relink(
        parent=parent,
        place=result.copy or child,
        identity=asked.identity,
        windows_path=asked.windows_path,
        search=asked.search,
        mappings=asked.mappings,
    )
    with FileSource(child) as source:
        plan = plan_relink(source, wish)
        _say_what_is_accepted(child, parent)
        outcome = result.apply(plan, source)
    report("set-parent", plan, outcome, as_json=as_json)
    return int(outcome is None and not plan.is_empty)


def _say_what_is_accepted(child: Path, parent: Path) -> None:
    """The evidence on a parent of another identity: once its identity is written into the child, nothing shows it."""
    with open_image(child) as upper, open_image(parent) as lower:
        if upper.locator is not None and lower.data_write_guid in upper.locator.linkages:
            return
        evidence = safe(gather_evidence(upper, lower))
    text = f"{safe(parent)} is not the file that {safe(child)} was made from ({evidence})"
    say(f"warning: {text}; once it is accepted no command can detect this any more")
