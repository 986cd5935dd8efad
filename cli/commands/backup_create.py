"""`vhdx backup create`."""

import platform
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import click

from analyzer.address.parse import Kind
from analyzer.address.state import State
from analyzer.backup.create import run_create
from analyzer.backup.errors import BackupError, PointRefusedError
from analyzer.backup.lock_owner import Hold
from analyzer.backup.locks import Lock
from analyzer.backup.plan import CreateOptions, CreatePlan, Hashing, Lost, Reading, Which, plan_create
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.recovery_map.note import map_note
from analyzer.text import version
from cli import output
from cli.errors import when_interrupted
from cli.options.address import DiskOptions, expand_disks, kept_disk_options, opened, warn_of_state
from cli.options.common import choice, grouped, json_option, option
from cli.options.repository import (
    lock_of,
    losses,
    point_lines,
    rate_option,
    repository_argument,
    repository_of,
    tag_option,
    wait_option,
)
from cli.progress import progress
from cli.text import plural, safe, say, size
from vhdx.errors import VhdxError
from vhdx.findings import Finding

_CHANGING = "it was read from a device, which somebody may have written to meanwhile"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunOptions(CreateOptions):
    """How restore points are made."""

    name: str | None = option("Name of the restore point. Default: the leaf's name and the time.")
    host: str = option(
        "Name of this machine in restore points. Default: its own.", default=platform.node, metavar="NAME"
    )
    tags: tuple[str, ...] = tag_option("Tag of the restore points.")
    which: Which = choice(
        Which.CHECKPOINTS, "Make a restore point for every layer of the chain, in one pass.", "--checkpoints"
    )
    reading: Reading = choice(Reading.ALL, "Read the whole disk, also what is proved unchanged.", "--full")
    lost: Lost = choice(Lost.ALLOW, "Store zeros for lost ranges, and list these in the restore point.", "--allow-lost")
    hashing: Hashing = choice(
        Hashing.ALWAYS, "Hash the whole image, however long that takes, also as `casync digest` does.", "--image-hash"
    )


@click.command("create")
@repository_argument
@click.argument("leaves", nargs=-1, required=True, callback=expand_disks, metavar="DISK...")
@grouped("asked", _RunOptions)
@click.option("--dry-run", is_flag=True, help="Say which restore points would be made, and how much is read.")
@kept_disk_options
@rate_option
@wait_option
@json_option
@when_interrupted(
    "no restore point was half made; the next run uses the chunks that are stored, so run the command again"
)
def command(repository: str, leaves: Sequence[str], asked: _RunOptions, dry_run: bool, where: DiskOptions) -> int:
    """Make a restore point of each DISK.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of layer N of its chain (0 is the base); a VHD
    (version 1); a raw image; or a block device, which others may write to meanwhile. Layers that are proved to be those
    of an earlier restore point, unchanged since, are not read, and neither is what reads as zeros. Where nothing is
    proved, all data is read and hashed, and the reason is given. Chunks that the repository already has are not stored
    again in either case. An interrupted run leaves no restore point; the next one reuses its chunks.

    Exit code 1: it was made, and `vhdx check` reports errors in a source, or parts of the disk are lost. Of several
    disks the others are backed up when one cannot be; those that were not are listed at the end, and the exit code is
    the worst of theirs.

    \b
    Examples:
      vhdx backup create /mnt/nas/backups leaf.avhdx
      vhdx backup create /mnt/nas/backups leaf.avhdx --checkpoints
      vhdx backup create /mnt/nas/backups *.vhdx --dry-run
      vhdx backup create /mnt/nas/backups *.vhdx
      vhdx backup create /mnt/nas/backups leaf.avhdx --name before-upgrade
      vhdx backup create /mnt/nas/backups /dev/sdx
    """
    if asked.name and len(leaves) > 1:
        raise click.UsageError("--name is for one DISK.")
    kept, errors, told = repository_of(repository), list[Finding](), list[Manifest]()
    asked = replace(asked, tool=f"vhdx {version()}")
    failed = list[tuple[str, VhdxError]]()
    planned = list[CreatePlan]()
    # creates may run together, but not beside a prune, which deletes chunks
    with nullcontext() if dry_run else lock_of(kept, Hold.SHARED, "create") as lock:
        for leaf in leaves:
            try:
                with opened(leaf, where) as state:
                    errors += warn_of_state(state.disk)
                    plan, manifests = _back_up(kept, state, asked, lock)
            except VhdxError as error:
                # the other disks may still be backed up, unless the repository itself answers
                if len(leaves) == 1 or (isinstance(error, BackupError) and not isinstance(error, PointRefusedError)):
                    raise
                failed.append((leaf, error))
                continue
            told, planned = [*told, *manifests], [*planned, plan]
            if not output.is_json():
                (_tell if manifests else _tell_plan)(plan, manifests)
    if output.is_json():
        not_made = [{"path": leaf, "error": str(error), "exit_code": error.exit_code} for leaf, error in failed]
        payload = {"repository": kept.place.url, "points": told, "errors": errors, "failed": not_made}
        output.emit("backup create", payload | ({"planned": [*map(_plain_plan, planned)]} if dry_run else {}))
    lossy = [manifest for manifest in told if manifest.lost]
    for line in (*map(_loss, lossy), *_failure_lines(failed, len(leaves))):  # at the end, where it is seen
        say(safe(line))
    # the worst, so that one disk of many that failed is noticed
    return max([int(bool(errors or lossy)), *(error.exit_code for _, error in failed)])


def _back_up(
    kept: Repository, state: State, asked: CreateOptions, lock: Lock | None
) -> tuple[CreatePlan, tuple[Manifest, ...]]:
    """What is planned for a disk, and the points that were made; none without a lock."""
    disk = state.disk
    noted = tuple(filter(None, [map_note(disk.path, disk.size), _CHANGING if state.kind is Kind.DEVICE else ""]))
    plan = plan_create(kept, disk, replace(asked, notes=noted), lock.claim if lock else lambda _: True)
    if lock is None:
        return plan, ()
    with progress("backing up", plan.work) as update:
        return plan, run_create(plan, update, lock.confirm)


def _plain_plan(plan: CreatePlan) -> dict[str, Any]:
    names = [point.name for point in plan.points]
    return {"names": names, "read_bytes": plan.work, "read_in_full": plan.read_in_full}


def _tell_plan(plan: CreatePlan, _none: Sequence[Manifest]) -> None:
    names = ", ".join(safe(point.name) for point in plan.points)
    full = f", in full, because {safe(plan.read_in_full)}" if plan.read_in_full else ""
    output.emit_sentences([f"{names}: would be made; {size(plan.work)} to read{full}"])


def _loss(one: Manifest) -> str:
    held = losses(len(one.lost), one.lost_bytes)
    return f"warning: {one.name}: {held} of the disk are LOST: zeros where it is restored, with a map of them"


def _failure_lines(failed: Sequence[tuple[str, VhdxError]], count: int) -> Iterator[str]:
    yield from (f"error: {error}" for _, error in failed)
    if failed:
        names = ", ".join(leaf for leaf, _ in failed)
        yield f"error: {len(failed)} of {plural(count, 'disk')} were not backed up: {names}"


def _tell(plan: CreatePlan, manifests: Sequence[Manifest]) -> None:
    output.emit_sentences(f"{name}: is there already, of layer {layer}" for layer, name in plan.skipped)
    output.emit_lines(point_lines(manifests))
    effort = manifests[-1].effort
    full = [f"read in full, because {safe(effort.read_in_full)}"] if effort.read_in_full else []
    stored = f"{plural(effort.chunks_written, 'new chunk')} stored in {size(effort.bytes_written)}"
    output.emit_sentences([*full, f"{size(effort.read_bytes)} read, {stored}"])
