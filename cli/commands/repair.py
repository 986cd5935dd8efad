"""`vhdx repair` and `vhdx set-parent`, and `vhdx undo` of what they change."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from analyzer.linkage.mismatch import gather_evidence
from analyzer.merge.family import parents_named
from analyzer.merge.undoing import is_undo_of_merge, undo_merge
from analyzer.remedies import next_step, shell_command
from analyzer.repair.apply import RepairOutcome, repair_copy, repair_in_place, run_undo
from analyzer.repair.plan import plan_repair
from analyzer.repair.set_parent import Identity, Relink, plan_relink
from analyzer.repair.structures import DeadLog
from analyzer.repair.undo import undo_of
from analyzer.repair.workspace import Fix, RepairPlan
from cli import output
from cli.options.chain import FOLDER, mappings_option
from cli.options.common import FILE_PATH, choice, file_in, force_option, grouped, json_option, option
from cli.text import plural, safe, say, size
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.image import open_image
from vhdx.sink import Existing
from vhdx.source import FileSource

_NOTHING = {True: "nothing to change", False: "nothing can be fixed"}
# Patches of one fix that are shown; JSON has them all.
_MOST_PATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """Where the result goes: nowhere (the plan alone), to a copy, or into the file itself."""

    copy: Path | None = option("Write a changed copy; the file itself is only read.", "-o", "--output", metavar="COPY")
    existing: Existing = force_option("COPY")
    in_place: bool = option("Change the file itself, after writing an undo file.")
    undo: Path | None = option(
        "Path of the undo file of --in-place, never replaced. Default: FILE.undo.", metavar="UNDO"
    )

    def __post_init__(self) -> None:
        """Refuse options that exclude one another, or that mean nothing together; raises UsageError."""
        if self.copy and self.in_place:
            raise click.UsageError("--output and --in-place exclude each other: choose a copy or the file itself.")
        if self.existing is Existing.REPLACE and not self.copy:
            raise click.UsageError("--force is for --output; nothing is replaced in place, and no undo file ever is.")
        if self.undo and not self.in_place:
            raise click.UsageError("--undo is for --in-place; a copy needs no undo file.")
        if self.copy == Path("-"):
            raise click.UsageError("a repaired file is not written front to back: name a file, not `-`.")

    def copy_of(self, file: Path) -> Path:
        """Where the result is: in a folder under the name of `file`, which is its own place where nothing is copied."""
        return file_in(self.copy, file, file.suffix) if self.copy else file

    def apply(self, plan: RepairPlan, source: FileSource) -> RepairOutcome | None:
        """Carry out the plan for `source` where the options say so; None where nothing is written."""
        if plan.is_empty or not (self.copy or self.in_place):
            return None
        if self.copy:
            return repair_copy(plan, source, self.copy_of(source.path), self.existing)
        undo = self.undo or undo_of(source.path)
        if undo.exists() or undo.is_symlink():
            raise OutputError(undo, "it exists already, and an undo file is never replaced", "name another with --undo")
        return repair_in_place(plan, source, undo)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repairing:
    """What may be given up."""

    dead_log: DeadLog = choice(
        DeadLog.DROP,
        "Close a live log that has no entry which could be applied: what it held, if anything, is lost already.",
        "--drop-dead-log",
    )


@click.command("repair")
@click.argument("file", type=FILE_PATH)
@grouped("asked", _Repairing)
@grouped("result", _Result)
@json_option
def command(file: Path, asked: _Repairing, result: _Result) -> int:
    """Plan byte-exact repairs of a file, from redundant copies in it; apply them to a copy, or in place.

    Prints a plan: for each fix the bytes before and after, and the evidence. A header or region table is restored from
    its other copy, or by the one flipped bit that explains its checksum; a header that a child beside FILE was made
    from gets its checksum again; a dirty log is applied for good; parts of the block table are restored from old log
    entries, shifted ones moved back. What cannot be fixed is listed. No fix
    discards anything, but that with --drop-dead-log a live log is closed of which nothing can be applied.

    Without --output or --in-place nothing is written. A copy is written as COPY.part, verified, then renamed. In place,
    the undo file is written first; `vhdx undo FILE UNDO` restores the file bit for bit.

    Exit code 0: nothing to fix, or all of it is done. 1: a plan was printed and not applied, or something cannot be
    fixed. 3: nothing can be fixed and the file cannot be opened.

    \b
    Examples:
      vhdx repair disk.vhdx
      vhdx repair disk.vhdx --output repaired.vhdx
      vhdx repair disk.vhdx --in-place --undo /safe/disk.undo
      vhdx repair disk.vhdx --drop-dead-log --output repaired.vhdx
    """
    with FileSource(file) as source:
        plan = plan_repair(source, dead_log=asked.dead_log, children=partial(parents_named, file))
        outcome = result.apply(plan, source)
    _report("repair", plan, outcome)
    if plan.is_empty and not plan.opens:
        return 3  # nothing helps
    return int(bool(plan.unfixable) or (outcome is None and not plan.is_empty))


@click.command("undo")
@click.argument("file", type=FILE_PATH)
@click.argument("undo", type=FILE_PATH)
@json_option
def undo_command(file: Path, undo: Path) -> None:
    """Undo what `repair`, `set-parent` or `merge --into` changed in place: restore the file bit for bit.

    Works after a crash in the middle of the change, and can be repeated. Another file, or one that was written to
    since, is refused. The undo file is kept.

    \b
    Examples:
      vhdx undo disk.vhdx disk.vhdx.undo
    """
    with FileSource(file):
        pass  # of two files that are not there, the one that is to be restored is named
    restored = undo_merge(file, undo) if is_undo_of_merge(undo) else run_undo(file, undo)
    lines = [f"{safe(file)}: restored, file of {size(restored)}"]
    output.answer("undo", {"path": file, "undo": undo, "file_size": restored}, lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """Which parent is accepted, and how its own parents are found."""

    identity: Identity = choice(
        Identity.ACCEPT,
        "Accept a PARENT that is not the file CHILD was made from. The disk may then mix two states.",
        "--accept-identity",
    )
    windows_path: str = option(r"Path of PARENT on its host: 'D:\VMs\base.vhdx'.", metavar="PATH", default="")
    search: tuple[Path, ...] = option("Folder with PARENT's own parents.", type=FOLDER, metavar="DIR")
    mappings: tuple[str, ...] = mappings_option()


@click.command("set-parent")
@click.argument("child", type=FILE_PATH)
@click.argument("parent", type=FILE_PATH)
@grouped("asked", _Link)
@grouped("result", _Result)
@json_option
def set_parent_command(child: Path, parent: Path, asked: _Link, result: _Result) -> int:
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
        place=result.copy_of(child),
        identity=asked.identity,
        windows_path=asked.windows_path,
        search=asked.search,
        mappings=asked.mappings,
    )
    with FileSource(child) as source:
        plan = plan_relink(source, wish)
        _say_what_is_accepted(child, parent)
        outcome = result.apply(plan, source)
    _report("set-parent", plan, outcome)
    return int(outcome is None and not plan.is_empty)


def _say_what_is_accepted(child: Path, parent: Path) -> None:
    """The evidence on a parent of another identity: once its identity is written into the child, nothing shows it."""
    with open_image(child) as upper, open_image(parent) as lower:
        if upper.locator is not None and lower.data_write_guid in upper.locator.linkages:
            return
        evidence = safe(gather_evidence(upper, lower))
    text = f"{safe(parent)} is not the file that {safe(child)} was made from ({evidence})"
    say(f"warning: {text}; once it is accepted no command can detect this any more")


def _report(command: str, plan: RepairPlan, outcome: RepairOutcome | None) -> None:
    payload = {
        "path": plan.path,
        "file_size": plan.file_size,
        "result_size": plan.result_size,
        "fixes": [_fix_to_plain(fix) for fix in plan.fixes],
        "unfixable": plan.unfixable,
        "opens": plan.opens,
        "outcome": outcome,
    }
    output.answer(command, payload, _lines(plan, outcome), findings=plan.unfixable)


def _fix_to_plain(fix: Fix) -> dict[str, Any]:
    patches = [
        {"offset": one.offset, "length": one.length, "before": one.before, "after": one.front} for one in fix.patches
    ]
    return {"code": fix.code, "title": fix.title, "evidence": fix.evidence, "patches": patches}


def _lines(plan: RepairPlan, outcome: RepairOutcome | None) -> Iterator[str]:
    work = f"{plural(len(plan.fixes), 'change')} of {plural(sum(fix.length for fix in plan.fixes), 'byte')}"
    yield f"{safe(plan.path)}: {_NOTHING[plan.opens] if plan.is_empty else work}"
    for number, fix in enumerate(plan.fixes, 1):
        yield from _fix_lines(number, fix)
    for finding in plan.unfixable:
        yield f"not fixed: {finding.code} {safe(finding.message)}"
        yield f"   next: {safe(_next(plan, finding))}"
    if not plan.opens:
        yield "the file cannot be opened" + ("" if plan.is_empty else ", also not with these changes")
    if outcome:
        undo = f"; `vhdx undo {shell_command([str(outcome.target), str(outcome.undo)])}` restores it"
        written = f"{safe(outcome.target)}: written, file of {size(outcome.file_size)}, verified"
        yield f"{written}{undo if outcome.undo else ''}"
    elif plan.is_empty:
        yield "nothing was written, and no copy made"
    elif plan.fixes:
        yield "nothing was written: choose --output COPY, or --in-place (with an undo file)"


_ELSE = "keep the file as it is; use another copy of it, or `vhdx recover FILE -o disk.raw`, which says what is lost"


def _next(plan: RepairPlan, finding: Finding) -> str:
    """What to do; neither a repair, which is what did not help, nor a map of a file that does not open as it is."""
    step = next_step(finding)
    is_shut = not plan.opens or bool(plan.fixes)
    unfit = "vhdx repair" in step or (is_shut and "vhdx map" in step)
    return next_step(replace(finding, advice=_ELSE)) if unfit else step


def _fix_lines(number: int, fix: Fix) -> Iterator[str]:
    yield f"{number}. {fix.code} {safe(fix.title)}"
    yield f"   because {safe(fix.evidence)}"
    for patch in fix.patches[:_MOST_PATCHES]:
        more = "..." if patch.length > len(patch.front) else ""
        yield f"   at byte {patch.offset}, {plural(patch.length, 'byte')}"
        yield f"     before {patch.before.hex() or '(past the end)'}{more}"
        yield f"     after  {patch.front.hex()}{more}"
    if len(fix.patches) > _MOST_PATCHES:
        yield f"   and {plural(len(fix.patches) - _MOST_PATCHES, 'more place')}; --json lists them all"
