"""What the commands share that can write a clone: a disk with identities of its own."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from analyzer.convert.convert import plan_conversion, run_conversion
from analyzer.convert.model import DiskSource, Options, Outcome, OutputFormat
from analyzer.convert.new_identity import Clone, ClonedDisk, Scope, cloned, plan_clone, told
from cli import output
from cli.options.output import payload_of, report
from cli.progress import progress
from cli.text import safe
from vhdx.chain import Chain
from vhdx.findings import Finding

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def clone_options(function: Decorated) -> Decorated:
    """`--clone` and `--clone-ids`, for `clone_of`."""
    options = (
        click.option("--clone", is_flag=True, help="Give the disk new identities, to use beside its original."),
        click.option(
            "--clone-ids",
            type=click.Choice([scope.value for scope in Scope]),
            help="As --clone, of the disk and its partitions alone; of volumes too where that is safe, as --clone does;"
            " or of all that can be changed.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def is_clone(choices: dict[str, Any]) -> bool:
    """Whether a clone is asked for."""
    return bool(choices["clone"] or choices["clone_ids"])


def clone_of(disk: DiskSource, choices: dict[str, Any], options: Options) -> ClonedDisk | None:
    """The clone of a disk, when one is asked for; on stderr, where nothing on the disk could be made new, that."""
    if not is_clone(choices):
        return None
    scope = Scope(choices["clone_ids"] or Scope.VOLUMES)
    clone = cloned(disk, options.identities, scope=scope)
    if not clone.changes:
        click.echo(f"warning: {_nothing_new(scope)}", err=True)
    return clone


def _nothing_new(scope: Scope) -> str:
    looked = "the disk signature of an MBR and the GUIDs of a GPT"
    if scope is not Scope.DISK:
        looked += ", serial numbers of NTFS, FAT and exFAT, UUIDs of ext2 to ext4 and Linux swap"
    found = "and found none that could be changed; the copy shows a system whatever its original does"
    return f"no identity on the disk is new: looked for {looked}, {found}"


def write_disk(
    command: str,
    chain: Chain,
    out: Path,
    form: OutputFormat,
    options: Options,
    choices: dict[str, Any],
    errors: Sequence[Finding],
) -> None:
    """Write the whole disk of a chain, or a clone of it, and say what was written; `errors` are the chain's."""
    clone = clone_of(chain, choices, options)
    disk: DiskSource = clone or chain
    plan = plan_clone(chain, clone, out, form, options) if clone else plan_conversion(chain, out, form, options)
    with progress("merging" if command == "merge" else "writing", plan.work) as update:
        outcome = run_conversion(plan, disk, update)
    if clone:
        renewed = told(clone, chain.leaf.parameters.disk_id, plan)
        report_clone(command, outcome, renewed, as_json=choices["as_json"], errors=errors)
    else:
        report(command, outcome, as_json=choices["as_json"], errors=errors)


def report_clone(
    command: str, outcome: Outcome, clone: Clone, *, as_json: bool, errors: Sequence[Finding] | None = None
) -> None:
    """Say what was written, which identities are new, and which are not."""
    if as_json:
        output.emit(command, payload_of(outcome, errors) | {"clone": clone}, outcome.findings)
        return
    report(command, outcome, as_json=False)
    for line in lines_of(clone):
        click.echo(line)


def lines_of(clone: Clone) -> Iterator[str]:
    """What became of each identity, a line for each."""
    if not clone.changes:
        yield "  no identity was found that could be made new"
    for change in clone.changes:
        where = f" (at {', '.join(map(str, change.places))})" if change.places else ""
        yield f"  {safe(change.what)}{where}: {change.old} is now {change.new}"
    for kept in clone.kept:
        then = f"; {kept.then}" if kept.then else ""
        yield f"  NOT CHANGED: {safe(kept.what)} at {kept.start}: {safe(kept.why)}{safe(then)}"
    if clone.changes:
        yield "  Before the clone boots, tell what names the old ones: fstab and GRUB (UUIDs), the BCD (partitions)."
