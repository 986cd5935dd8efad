"""`vhdx set-parent`."""

from pathlib import Path
from typing import Any

import click

from analyzer.linkage.mismatch import gather_evidence
from analyzer.repair.apply import RepairOutcome
from analyzer.repair.set_parent import Identity, Relink, plan_relink, relink_copy, relink_in_place
from analyzer.repair.workspace import RepairPlan
from cli.options.common import FILE_PATH, json_option, known_folders, mappings_of, quiet_library
from cli.options.repair import check_choices, emit, repair_options, show, undo_path
from cli.text import safe, tell
from vhdx.image import open_image
from vhdx.sink import Existing
from vhdx.source import FileSource


@click.command("set-parent")
@click.argument("child", type=FILE_PATH)
@click.argument("parent", type=FILE_PATH)
@click.option(
    "--accept-identity",
    is_flag=True,
    help="Also when PARENT is not the file that CHILD was made from; the disk may then be a mixture.",
)
@click.option("--windows-path", metavar="PATH", default="", help=r"PARENT's path on its host: 'D:\VMs\base.vhdx'.")
@click.option("--search", multiple=True, type=FILE_PATH, metavar="DIR", callback=known_folders,
              help="A folder with PARENT's own parents.")  # fmt: skip
@click.option("--map", "mappings", multiple=True, metavar="WIN=DIR", help=r"Where a folder of the old host is now.")
@repair_options
@json_option
def command(child: Path, parent: Path, as_json: bool, **choices: Any) -> int:
    """Join a checkpoint to its parent anew, where that was moved or renamed: rewrite CHILD's parent locator.

    PARENT must be the file that CHILD was made from: its data_write_guid is the one that CHILD names. Otherwise both
    identities are said, and --accept-identity is wanted. The relative path is written anew; absolute and volume paths
    are kept when nothing has moved, else dropped (--windows-path gives a new one). The chain is opened afterwards.

    Without --output or --in-place nothing is written. In place, the undo file comes first; `vhdx undo CHILD UNDO`
    brings the file back bit for bit. Exit code 1: a plan was printed and waits.

    \b
    Examples:
      vhdx set-parent leaf.avhdx base.vhdx
      vhdx set-parent leaf.avhdx ../moved/base.vhdx --in-place
      vhdx set-parent leaf.avhdx base.vhdx --output joined.avhdx --windows-path 'D:\\VMs\\base.vhdx'
    """
    quiet_library()
    check_choices(choices)
    mappings_of(choices)
    wish = _wish(child, parent, choices)
    with FileSource(child) as source:
        plan = plan_relink(source, wish)
        _say_what_is_accepted(child, parent)
        outcome = _run(plan, source, wish, choices)
    if as_json:
        emit("set-parent", plan, outcome)
    else:
        show(plan, outcome)
    return int(outcome is None and not plan.is_empty)


def _say_what_is_accepted(child: Path, parent: Path) -> None:
    """The evidence on a parent of another identity: once its identity is written into the child, nothing tells it."""
    with open_image(child) as upper, open_image(parent) as lower:
        if upper.locator is not None and lower.data_write_guid in upper.locator.linkages:
            return
        evidence = safe(gather_evidence(upper, lower))
    text = f"{safe(parent)} is not the file that {safe(child)} was made from ({evidence})"
    tell(f"warning: {text}; once it is accepted no command can tell this any more")


def _wish(child: Path, parent: Path, choices: dict[str, Any]) -> Relink:
    return Relink(
        parent=parent,
        place=choices["copy"] or child,
        identity=Identity.ACCEPT if choices["accept_identity"] else Identity.REFUSE,
        windows_path=choices["windows_path"],
        search=choices["search"],
        mappings=choices["mappings"],
    )


def _run(plan: RepairPlan, source: FileSource, wish: Relink, choices: dict[str, Any]) -> RepairOutcome | None:
    if plan.is_empty:
        return None
    if choices["copy"]:
        return relink_copy(plan, source, wish, Existing.REPLACE if choices["force"] else Existing.REFUSE)
    if choices["in_place"]:
        return relink_in_place(plan, source, wish, undo_path(source.path, choices))
    return None
