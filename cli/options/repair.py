"""What `repair` and `set-parent` share: where the result goes, and how a plan is shown."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from analyzer.remedies import next_step, shell_command
from analyzer.repair.apply import RepairOutcome, repair_copy, repair_in_place
from analyzer.repair.undo import undo_of
from analyzer.repair.workspace import Fix, RepairPlan
from cli import output
from cli.options.common import FILE_PATH, force_option, grouped, option
from cli.text import plural, safe, size
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.patched import Patch
from vhdx.sink import Existing
from vhdx.source import FileSource

_NOTHING = {True: "nothing to change", False: "nothing can be mended"}
# Patches of one fix that are shown; JSON has them all.
_MOST_PATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOptions:
    """Where the result goes: nowhere (the plan alone), to a copy, or into the file itself."""

    # fmt: off
    copy: Path | None = option("--output", type=FILE_PATH, metavar="COPY",
                               help="Write a changed copy; the file itself is only read.")
    existing: Existing = force_option("COPY")
    in_place: bool = option("--in-place", is_flag=True, help="Change the file itself, after writing an undo file.")
    undo: Path | None = option("--undo", type=FILE_PATH, metavar="UNDO",
                               help="Path of the undo file of --in-place, never replaced. Default: FILE.undo.")
    # fmt: on

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

    def apply(self, plan: RepairPlan, source: FileSource) -> RepairOutcome | None:
        """Carry out the plan for `source` where the options say so; None where nothing is written."""
        if plan.is_empty or not (self.copy or self.in_place):
            return None
        if self.copy:
            return repair_copy(plan, source, self.copy, self.existing)
        undo = self.undo or undo_of(source.path)
        if undo.exists() or undo.is_symlink():
            raise OutputError(undo, "it exists already, and an undo file is never replaced", "name another with --undo")
        return repair_in_place(plan, source, undo)


repair_options = grouped("result", RepairOptions)
"""Where the result of a repair goes, as `result`."""


def as_plain(plan: RepairPlan, outcome: RepairOutcome | None) -> dict[str, Any]:
    """Plan and outcome for JSON."""
    fixes = [
        {
            "code": fix.code,
            "title": fix.title,
            "evidence": fix.evidence,
            "patches": [_patch(patch) for patch in fix.patches],
        }
        for fix in plan.fixes
    ]
    return {
        "path": plan.path,
        "file_size": plan.file_size,
        "result_size": plan.result_size,
        "mendings": fixes,
        "unmended": plan.unfixable,
        "opens": plan.opens,
        "outcome": outcome,
    }


def _patch(patch: Patch) -> dict[str, Any]:
    return {"offset": patch.offset, "length": patch.length, "before": patch.before, "after": patch.front}


def report(command: str, plan: RepairPlan, outcome: RepairOutcome | None, *, as_json: bool) -> None:
    """Say the plan, what cannot be fixed, and what was done."""
    output.answer(command, as_plain(plan, outcome), _lines(plan, outcome), as_json=as_json)


def _lines(plan: RepairPlan, outcome: RepairOutcome | None) -> Iterator[str]:
    work = f"{plural(len(plan.fixes), 'change')} of {plural(_length(plan), 'byte')}"
    yield f"{safe(plan.path)}: {_NOTHING[plan.opens] if plan.is_empty else work}"
    for number, fix in enumerate(plan.fixes, 1):
        yield from _fix_lines(number, fix)
    for finding in plan.unfixable:
        yield f"not fixed: {finding.code} {safe(finding.message)}"
        yield f"   next: {safe(_next(plan, finding))}"
    if not plan.opens:
        yield "the file cannot be opened" + ("" if plan.is_empty else ", also not with these changes")
    if outcome:
        yield _done(outcome)
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


def _length(plan: RepairPlan) -> int:
    return sum(fix.length for fix in plan.fixes)


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


def _done(outcome: RepairOutcome) -> str:
    written = f"{safe(outcome.target)}: written, file of {size(outcome.file_size)}, verified"
    if outcome.undo is None:
        return written
    names = shell_command([str(outcome.target), str(outcome.undo)])
    return f"{written}; `vhdx undo {names}` restores it"


def code_of(plan: RepairPlan, outcome: RepairOutcome | None) -> int:
    """The exit code: 0 done, or nothing to do; 1 something is left; 3 nothing helps and the file does not open."""
    if plan.is_empty and not plan.opens:
        return 3
    return int(bool(plan.unfixable) or (outcome is None and not plan.is_empty))
