"""A repair from end to end: what a command, or a program, calls."""

from pathlib import Path

from analyzer.repair.apply import RepairOutcome, run_copy, run_in_place
from analyzer.repair.model import RepairPlan
from analyzer.repair.plan import plan_repair
from vhdx.errors import CorruptFileError, VerificationError
from vhdx.findings import Finding, Severity
from vhdx.sink import Existing
from vhdx.source import FileSource


def repair_copy(plan: RepairPlan, source: FileSource, target: Path, existing: Existing) -> RepairOutcome:
    """Write a repaired copy; raises as `run_copy` does."""
    return run_copy(plan, source, target, existing, lambda path: require_mended(plan, path))


def repair_in_place(plan: RepairPlan, source: FileSource, undo: Path) -> RepairOutcome:
    """Repair the file itself, its undo file first; raises as `run_in_place` does."""
    return run_in_place(plan, source, undo, lambda path: require_mended(plan, path))


def require_mended(plan: RepairPlan, path: Path) -> None:
    """Plan anew for what was written: nothing may be left to mend, and it must open if the plan said so.

    Raises VerificationError, CorruptFileError.
    """
    with FileSource(path) as source:
        again = plan_repair(source)
    if again.mendings:
        patch = again.mendings[0].patches[0]
        raise VerificationError(path, patch.offset, patch.length)
    if plan.opens and not again.opens:
        raise CorruptFileError(path, next(iter(again.unmended), Finding("FID-11", Severity.ERROR, "it does not open")))
