"""`vhdx backup create`."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.backup.create import run_create
from analyzer.backup.errors import BackupError, PointRefusedError
from analyzer.backup.locks import Hold, Lock, take
from analyzer.backup.plan import CreateOptions, CreatePlan, Hashing, Lost, Reading, Which, plan_create
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.recovery_map.disk import map_note
from cli import output
from cli.errors import when_interrupted
from cli.options.chain import ChainOptions, chain_options, open_leaf, warn_of_errors
from cli.options.common import FILE_PATH, choice, grouped, json_option, option
from cli.options.repository import point_lines, repository_argument, repository_of
from cli.progress import progress
from cli.text import plural, safe, say, size
from vhdx.errors import VhdxError
from vhdx.findings import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunOptions:
    """How restore points are made."""

    # fmt: off
    name: str | None = option("--name", help="Name of the restore point. Default: the leaf's name and the time.")
    host: str = option("--host", default=platform.node, metavar="NAME",
                       help="Name of this machine in restore points. Default: its own.")
    which: Which = choice("--checkpoints", on=Which.CHECKPOINTS, off=Which.LEAF,
                          help="Make a restore point for every layer of the chain, in one pass.")
    reading: Reading = choice("--full", on=Reading.ALL, off=Reading.CHANGED,
                              help="Read the whole disk, also what is proved unchanged.")
    lost: Lost = choice("--allow-lost", on=Lost.ALLOW, off=Lost.REFUSE,
                        help="Store zeros for lost ranges, and list these in the restore point.")
    hashing: Hashing = choice("--image-hash", on=Hashing.ALWAYS, off=Hashing.CHEAP,
                              help="Hash the whole image, however long that takes, also as `casync digest` does.")
    # fmt: on


@click.command("create")
@repository_argument
@click.argument("leaves", nargs=-1, required=True, type=FILE_PATH, metavar="LEAF...")
@grouped("asked", _RunOptions)
@chain_options
@json_option
@when_interrupted(
    "no restore point was half made; the next run uses the chunks that are stored, so run the command again"
)
def command(repository: str, leaves: Sequence[Path], asked: _RunOptions, where: ChainOptions, as_json: bool) -> int:
    """Make a restore point of each LEAF's disk.

    Layers that are proved to be those of an earlier restore point, unchanged since, are not read, and neither is what
    reads as zeros. Where nothing is proved, all data is read and hashed, and the reason is given. Chunks that the
    repository already has are not stored again in either case. An interrupted run leaves no restore point; the next one
    reuses its chunks.

    Exit code 1: it was made, and `vhdx check` reports errors in a source. Of several disks the others are backed up
    when one cannot be; those that were not are listed at the end, and the exit code is the worst of theirs.

    \b
    Examples:
      vhdx backup create /mnt/nas/backups leaf.avhdx
      vhdx backup create /mnt/nas/backups leaf.avhdx --checkpoints
      vhdx backup create /mnt/nas/backups *.vhdx
      vhdx backup create /mnt/nas/backups leaf.avhdx --name before-upgrade
    """
    if asked.name and len(leaves) > 1:
        raise click.UsageError("--name is for one LEAF.")
    kept, errors, told = repository_of(repository), list[Finding](), list[Manifest]()
    failed = list[tuple[Path, VhdxError]]()
    # creates may run together, but not beside a prune, which deletes chunks
    with take(kept.place, Hold.SHARED, "create") as lock:
        for leaf in leaves:
            try:
                with open_leaf(leaf, where) as chain:
                    output.warn(chain.findings)
                    errors += warn_of_errors(chain)
                    plan = plan_create(
                        kept, chain, _create_options(asked, map_note(chain.path, chain.size)), lock.claim
                    )
                    manifests = _run(plan, lock)
            except VhdxError as error:
                if len(leaves) == 1 or not _is_of_one_disk(error):
                    raise
                failed.append((leaf, error))
                continue
            told += manifests
            if not as_json:
                _tell(plan, manifests)
    if as_json:
        _emit(kept, told, errors, failed)
    _tell_failed(failed, len(leaves))
    # the worst, so that one disk of many that failed is noticed
    return max([int(bool(errors)), *(error.exit_code for _, error in failed)])


def _is_of_one_disk(error: VhdxError) -> bool:
    """Whether the other disks may still be backed up: the repository itself answers."""
    return isinstance(error, PointRefusedError) or not isinstance(error, BackupError)


def _tell_failed(failed: Sequence[tuple[Path, VhdxError]], count: int) -> None:
    """At the end, where it is seen: the disks of which there is no restore point."""
    for _, error in failed:
        say(f"error: {safe(str(error))}")
    if failed:
        names = ", ".join(safe(str(leaf)) for leaf, _ in failed)
        say(f"error: {len(failed)} of {plural(count, 'disk')} were not backed up: {names}")


def _create_options(asked: _RunOptions, note: str) -> CreateOptions:
    return CreateOptions(
        name=asked.name,
        which=asked.which,
        lost=asked.lost,
        reading=asked.reading,
        hashing=asked.hashing,
        tool=f"vhdx {output.version()}",
        host=asked.host,
        notes=(note,) if note else (),
    )


def _run(plan: CreatePlan, lock: Lock) -> tuple[Manifest, ...]:
    with progress("backing up", plan.work) as update:
        return run_create(plan, update, lock.confirm)


def _emit(
    repository: Repository,
    manifests: Sequence[Manifest],
    errors: Sequence[Finding],
    failed: Sequence[tuple[Path, VhdxError]],
) -> None:
    not_made = [{"path": leaf, "error": str(error), "exit_code": error.exit_code} for leaf, error in failed]
    payload = {"repository": repository.place.url, "points": manifests, "errors": errors, "failed": not_made}
    output.emit("backup create", payload)


def _tell(plan: CreatePlan, manifests: Sequence[Manifest]) -> None:
    output.emit_sentences(f"{name}: is there already, of layer {layer}" for layer, name in plan.skipped)
    output.emit_lines(point_lines(manifests))
    effort = manifests[-1].effort
    if effort.read_in_full:
        output.emit_sentences([f"read in full, because {safe(effort.read_in_full)}"])
    stored = f"{plural(effort.chunks_written, 'new chunk')} stored in {size(effort.bytes_written)}"
    output.emit_sentences([f"{size(effort.read_bytes)} read, {stored}"])
