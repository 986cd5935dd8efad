"""`vhdx merge LEAF --into PARENT`: a merge in place."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analyzer.merge.family import retired_name
from analyzer.merge.host import host_steps
from analyzer.merge.logs import finish_logs
from analyzer.merge.model import IntoOutcome, IntoPlan, Retire
from analyzer.merge.plan import needed_now, plan_merge_into
from analyzer.merge.run import outcome_of, retire, run_merge_into
from analyzer.remedies import shell_command
from cli import output
from cli.errors import when_interrupted
from cli.options.chain import ChainOptions, layer_file, open_leaf, open_links, warn_of_findings
from cli.options.merging import IntoParent
from cli.progress import progress
from cli.text import plural, safe, say, size
from vhdx.chain import Chain
from vhdx.errors import FileSystemFullError, MergeStoppedError, VhdxError
from vhdx.findings import Finding
from vhdx.runs import Kind
from vhdx.source import read_at

# Bytes whose reading is timed for the forecast.
_MEASURED = 16 << 20
_PLANNED = (
    *("parent", "sources", "size", "size_before", "identity", "is_resumed"),
    *("held_bytes", "claimed_bytes", "old_bytes", "new_blocks", "grows_by", "needed_bytes"),
)
_CONCERNED = "siblings", "grandchildren", "leftovers"


def merge_into(leaf: Path, parent: Path, asked: IntoParent, where: ChainOptions, *, dry_run: bool) -> int:
    """Plan, say the plan, and carry it out unless it is a dry run; returns the exit code."""
    leaf, where = layer_file(leaf, where)
    if not dry_run:
        with open_links(leaf, where) as chain:
            finish_logs(chain, parent, asked.undo)
    with open_leaf(leaf, where) as chain:
        plan = plan_merge_into(chain, parent, asked)
        # Files of a merge that was broken off hold what nothing leads to yet, or any more: that is no loss.
        errors = () if plan.is_resumed else warn_of_findings(chain)
        if dry_run:
            lines = [*_plan_lines(plan, chain), "nothing was changed"]
            output.answer("merge", _payload(plan, None, errors), lines, findings=chain.findings)
            return int(bool(errors))
        for line in _plan_lines(plan, chain):
            say(line)
        outcome = _run(plan, chain, asked, where)
    output.answer("merge", _payload(plan, outcome, errors), _outcome_lines(plan, outcome), findings=chain.findings)
    return int(bool(errors))


def _payload(plan: IntoPlan, outcome: IntoOutcome | None, errors: Sequence[Finding]) -> dict[str, Any]:
    """The answer for programs: no new file was written, so `output` is null."""
    into = output.members(plan, *_PLANNED) | output.members(plan.family, *_CONCERNED)
    done = None if outcome is None else output.members(outcome, "written_bytes", "file_size", "relinked", "retired")
    return {"output": None, "into": into | {"outcome": done}, "errors": errors}


def _run(plan: IntoPlan, chain: Chain, asked: IntoParent, where: ChainOptions) -> IntoOutcome:
    leaf = plan.sources[-1]
    kept = f"{leaf} shows the same disk as before; run the same command again, and it goes on"
    with when_interrupted(kept), progress("merging", plan.work) as update:
        try:
            written, file_size = run_merge_into(plan, chain, progress=update)
        except FileSystemFullError as error:
            raise MergeStoppedError(plan.parent, leaf, _missing(plan, asked, where)) from error
        except VhdxError as error:
            raise MergeStoppedError(plan.parent, leaf, str(error)) from error
    chain.close()  # Windows renames no file that is open
    return outcome_of(plan, written, file_size, retire(plan))


def _missing(plan: IntoPlan, asked: IntoParent, where: ChainOptions) -> str:
    """How much room is missing, by a plan of what is left."""
    free = shutil.disk_usage(plan.parent.parent).free
    with open_leaf(plan.sources[-1], where) as chain:
        needed = needed_now(chain, plan.layer, asked)
    return f"the file system is full; what is left needs up to {size(needed)}, and {size(free)} are free"


def _seconds(plan: IntoPlan, chain: Chain) -> float:
    """How long the merge will take by reading some of what it will read: it is written once as well."""
    done, started = 0, time.monotonic()
    for table in chain.windows_above(plan.layer + 1):
        for run in table.of_kind(Kind.DATA):
            length = min(run.length, _MEASURED - done)
            read_at(chain.sources[run.layer], run.file_offset, length)
            done += length
            if done >= _MEASURED:
                return 2 * (time.monotonic() - started) * plan.held_bytes / done
    return 2 * (time.monotonic() - started)


def _plan_lines(plan: IntoPlan, chain: Chain) -> Iterator[str]:
    names = ", ".join(safe(path) for path in reversed(plan.sources))
    free = shutil.disk_usage(plan.parent.parent).free
    goes_on = ", going on with a merge that was begun" if plan.is_resumed else ""
    yield f"{names} into {safe(plan.parent)}, in its place{goes_on}"
    yield (
        f"  {size(plan.held_bytes)} to write at most; the file grows by up to {size(plan.grows_by)}, which needs up to "
        f"{size(plan.needed_bytes)} of {size(free)} that are free"
    )
    yield f"  about {_seconds(plan, chain):.0f} s, by how fast the files are read"
    if plan.size != plan.size_before:
        yield f"  the disk in {safe(plan.parent)} becomes {size(plan.size)}; it has {size(plan.size_before)}"
    if plan.options.keep_old:
        old = f"{safe(plan.options.keep_old)}, up to {size(plan.old_bytes)}"
        yield f"  the old state of {safe(plan.parent)} is kept as {old}"
    for path in plan.family.grandchildren:
        yield f"  {safe(path)} is linked to {safe(plan.parent)}"
    for path in (*plan.family.siblings, *plan.family.leftovers):
        yield f"  {safe(path)} will no longer be valid: it was made upon a file that changes"
    for path in plan.sources:
        then = "is removed" if plan.options.retire is Retire.DELETE else f"is renamed {safe(retired_name(path).name)}"
        yield f"  afterwards {safe(path)} {then}"


def _outcome_lines(plan: IntoPlan, outcome: IntoOutcome) -> Iterator[str]:
    layers = plural(len(plan.sources), "layer")
    yield (
        f"{safe(outcome.parent)}: {layers} merged into it, {size(outcome.written_bytes)} written, disk of "
        f"{size(outcome.size)}, file of {size(outcome.file_size)}"
    )
    for path in outcome.relinked:
        yield f"  {safe(path)} is linked to it"
    if plan.options.keep_old:
        yield f"  {safe(plan.options.keep_old)} shows what it was before"
    if plan.options.undo:
        command = shell_command(["vhdx", "undo", str(plan.parent), str(plan.options.undo)])
        yield f"  `{command}` brings it back as it was; the merged files then need their old names"
    yield from map(safe, host_steps(plan))
    for path in outcome.retired:
        yield f"  {safe(path)} is needed no more"
