"""What the commands share that can write a clone: a disk with identities of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from analyzer.convert.convert import plan_output, run_conversion
from analyzer.convert.disks import DiskSource
from analyzer.convert.model import ImageRequest, Options
from analyzer.convert.new_identity.disk import ClonedDisk, cloned, plan_clone, summarise
from analyzer.convert.new_identity.workspace import Scope
from cli.options.common import OneOf, grouped, option
from cli.options.output import report
from cli.progress import progress
from vhdx.findings import Finding

_DOING = {"merge": "merging", "backup restore": "restoring"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneOptions:
    """Whether a clone is asked for, and how much of it is to be new."""

    # fmt: off
    clone: bool = option("--clone", is_flag=True, help="Give the disk new identities, to use beside its original.")
    clone_ids: Scope | None = option("--clone-ids", type=OneOf(Scope),
                                     help="Set which identities --clone changes: those of the disk and its partitions;"
                                     " of volumes too where that is safe (default); or all.")
    # fmt: on

    @property
    def scope(self) -> Scope | None:
        """What gets new identities; None where no clone is asked for."""
        return self.clone_ids or (Scope.VOLUMES if self.clone else None)


clone_options = grouped("clone", CloneOptions)
"""`--clone` and `--clone-ids`, as `clone`."""


def clone_of(disk: DiskSource, scope: Scope | None, options: Options) -> ClonedDisk | None:
    """The clone of a disk, None without a scope; warns on stderr where no identity could be made new."""
    if scope is None:
        return None
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
    disk: DiskSource,
    request: ImageRequest,
    scope: Scope | None,
    *,
    errors: Sequence[Finding] | None = None,
    as_json: bool,
) -> None:
    """Write a whole disk, or a clone of it, and report what was written; `errors` are those of its sources."""
    clone = clone_of(disk, scope, request.options)
    plan = plan_clone(clone, request) if clone else plan_output(disk, request)
    with progress(_DOING.get(command, "writing"), plan.work) as update:
        outcome = run_conversion(plan, clone or disk, update)
    renewed = summarise(clone, request.like.disk_id, plan) if clone else None
    report(command, outcome, as_json=as_json, errors=errors, clone=renewed)
