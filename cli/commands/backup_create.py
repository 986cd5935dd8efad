"""`vhdx backup create`."""

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import click

from analyzer.address.parse import Kind
from analyzer.backup.create import run_create
from analyzer.backup.errors import BackupError, PointRefusedError
from analyzer.backup.lock_owner import Hold
from analyzer.backup.locks import Lock
from analyzer.backup.plan import CreateOptions, Hashing, Lost, Reading, Which, plan_create
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.recovery_map.note import map_note
from analyzer.tasks.engine import Engine, Here
from analyzer.text import version
from cli import output
from cli.errors import when_interrupted
from cli.options.address import DiskOptions, expand_disks, kept_disk_options, opened, warn_of_state
from cli.options.common import choice, grouped, json_option, option
from cli.options.each import Answer, Work, for_each
from cli.options.jobs import JobOptions, job_options
from cli.options.repository import (
    has_rate,
    lock_of,
    loss,
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
@job_options
@json_option
@when_interrupted(
    "no restore point was half made; the next run uses the chunks that are stored, so run the command again"
)
def command(
    repository: str,
    leaves: Sequence[str],
    asked: _RunOptions,
    dry_run: bool,
    where: DiskOptions,
    how: JobOptions,
) -> int:
    """Make a restore point of each DISK.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of layer N of its chain (0 is the base); a VHD
    (version 1); a raw image; a block device, which others may write to meanwhile; or nbd://, an export of an NBD
    server. Layers that are proved to be those of an earlier restore point, unchanged since, are not read, and neither
    is what reads as zeros. Where nothing is proved, all data is read and hashed, and the reason is given. Chunks that
    the repository already has are not stored again in either case. An interrupted run leaves no restore point; the next
    one reuses its chunks.

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
    kept, made, failed = repository_of(repository), list[_Made](), list[tuple[str, Answer]]()
    asked = replace(asked, tool=f"vhdx {version()}")
    engine = Here() if has_rate() else how.engine_to_read(leaves)
    # the other disks may still be backed up, unless the repository itself answers
    on_error = _ends_all if len(leaves) == 1 else _not_made
    with _work(engine, repository, kept, asked, where, dry_run=dry_run) as work:
        for leaf, answer in zip(leaves, for_each(work, leaves, engine, "backing up", on_error), strict=True):
            if answer.plain is None:
                failed.append((leaf, answer))
                continue
            made.append(answer.plain["made"])
            if not output.is_json():
                (_tell if made[-1].manifests else _tell_plan)(made[-1])
    points = [manifest for one in made for manifest in one.manifests]
    errors = [error for one in made for error in one.errors]
    if output.is_json():
        not_made = [{"path": leaf, "error": _why(answer), "exit_code": answer.code} for leaf, answer in failed]
        planned = [output.members(one, "names", "read_in_full", read_bytes="work") for one in made]
        payload = {"repository": kept.place.url, "points": points, "errors": errors, "failed": not_made}
        output.emit("backup create", payload | ({"planned": planned} if dry_run else {}))
    lossy = [manifest for manifest in points if manifest.lost]
    lost = (f"warning: {loss(one.name, len(one.lost), one.lost_bytes)}" for one in lossy)
    for line in (*lost, *_failure_lines(failed, len(leaves))):  # at the end, where it is seen
        say(safe(line))
    # the worst, so that one disk of many that failed is noticed
    return max([int(bool(errors or lossy)), *(answer.code for _, answer in failed)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What became of one disk, and what was planned."""

    names: Sequence[str]
    work: int
    read_in_full: str | None
    skipped: Sequence[tuple[int, str]]
    manifests: Sequence[Manifest]
    errors: Sequence[Finding]


def _ends_all(error: VhdxError) -> Answer:
    raise error


def _not_made(error: VhdxError) -> Answer:
    if isinstance(error, BackupError) and not isinstance(error, PointRefusedError):
        raise error
    return Answer(plain=None, code=error.exit_code, error={"message": str(error)})


@contextmanager
def _work(
    engine: Engine, repository: str, kept: Repository, asked: CreateOptions, where: DiskOptions, *, dry_run: bool
) -> Iterator[Work[str]]:
    """What is done for one disk. Other processes open the repository by themselves, and each has a lock of its own."""
    if not isinstance(engine, Here):
        yield partial(_back_up_apart, repository, asked, where, dry_run)
        return
    # creates may run together, but not beside a prune, which deletes chunks
    with nullcontext() if dry_run else lock_of(kept, Hold.SHARED, "create") as lock:
        yield partial(_back_up, kept, lock, asked, where)


def _back_up_apart(repository: str, asked: CreateOptions, where: DiskOptions, dry_run: bool, leaf: str) -> Answer:
    kept = repository_of(repository)
    with nullcontext() if dry_run else lock_of(kept, Hold.SHARED, "create") as lock:
        return _back_up(kept, lock, asked, where, leaf)


def _back_up(kept: Repository, lock: Lock | None, asked: CreateOptions, where: DiskOptions, leaf: str) -> Answer:
    """What is planned for a disk, and the points that were made; none without a lock."""
    with opened(leaf, where) as state:
        disk, errors = state.disk, warn_of_state(state.disk)
        noted = tuple(filter(None, [map_note(disk.path, disk.size), _CHANGING if state.kind is Kind.DEVICE else ""]))
        plan = plan_create(kept, disk, replace(asked, notes=noted), lock.claim if lock else lambda _: True)
        manifests: Sequence[Manifest] = ()
        if lock is not None:
            with progress("backing up", plan.work) as update:
                manifests = run_create(plan, update, lock.confirm)
    names = [point.name for point in plan.points]
    made = _Made(names=names, work=plan.work, read_in_full=plan.read_in_full, skipped=plan.skipped,
                 manifests=manifests, errors=errors)  # fmt: skip
    return Answer(plain={"made": made})


def _tell_plan(plan: _Made) -> None:
    names = ", ".join(map(safe, plan.names))
    full = f", in full, because {safe(plan.read_in_full)}" if plan.read_in_full else ""
    output.emit_sentences([f"{names}: would be made; {size(plan.work)} to read{full}"])


def _why(answer: Answer) -> str:
    return str((answer.error or {})["message"])


def _failure_lines(failed: Sequence[tuple[str, Answer]], count: int) -> Iterator[str]:
    yield from (f"error: {_why(answer)}" for _, answer in failed)
    if failed:
        names = ", ".join(leaf for leaf, _ in failed)
        yield f"error: {len(failed)} of {plural(count, 'disk')} were not backed up: {names}"


def _tell(made: _Made) -> None:
    output.emit_sentences(f"{name}: is there already, of layer {layer}" for layer, name in made.skipped)
    output.emit_lines(point_lines(made.manifests))
    effort = made.manifests[-1].effort
    full = [f"read in full, because {safe(effort.read_in_full)}"] if effort.read_in_full else []
    stored = f"{plural(effort.chunks_written, 'new chunk')} stored in {size(effort.bytes_written)}"
    output.emit_sentences([*full, f"{size(effort.read_bytes)} read, {stored}"])
