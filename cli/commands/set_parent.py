"""`vhdx set-parent`."""

from collections.abc import Sequence
from pathlib import Path

import click

from analyzer.linkage.mismatch import gather_evidence
from analyzer.repair.set_parent import Identity, Relink, plan_relink
from cli.options.common import FILE_PATH, json_option, map_option, quiet_library, search_option
from cli.options.grouping import choice
from cli.options.repair import RepairOptions, emit, repair_options, show
from cli.text import safe, tell
from vhdx.image import open_image
from vhdx.source import FileSource


@click.command("set-parent")
@click.argument("child", type=FILE_PATH)
@click.argument("parent", type=FILE_PATH)
@choice("--accept-identity", "identity", on=Identity.ACCEPT, off=Identity.REFUSE,
        help="Accept a PARENT that is not the file CHILD was made from. The disk may then mix two states.")  # fmt: skip
@click.option("--windows-path", metavar="PATH", default="", help=r"Path of PARENT on its host: 'D:\VMs\base.vhdx'.")
@search_option("Folder with PARENT's own parents.")
@map_option()
@repair_options
@json_option
def command(
    child: Path,
    parent: Path,
    identity: Identity,
    windows_path: str,
    search: Sequence[Path],
    mappings: Sequence[str],
    result: RepairOptions,
    as_json: bool,
) -> int:
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
    quiet_library()
    wish = Relink(
        parent=parent,
        place=result.copy or child,
        identity=identity,
        windows_path=windows_path,
        search=search,
        mappings=mappings,
    )
    with FileSource(child) as source:
        plan = plan_relink(source, wish)
        _say_what_is_accepted(child, parent)
        outcome = result.apply(plan, source)
    if as_json:
        emit("set-parent", plan, outcome)
    else:
        show(plan, outcome)
    return int(outcome is None and not plan.is_empty)


def _say_what_is_accepted(child: Path, parent: Path) -> None:
    """The evidence on a parent of another identity: once its identity is written into the child, nothing shows it."""
    with open_image(child) as upper, open_image(parent) as lower:
        if upper.locator is not None and lower.data_write_guid in upper.locator.linkages:
            return
        evidence = safe(gather_evidence(upper, lower))
    text = f"{safe(parent)} is not the file that {safe(child)} was made from ({evidence})"
    tell(f"warning: {text}; once it is accepted no command can detect this any more")
