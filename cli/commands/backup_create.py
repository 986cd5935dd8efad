"""`vhdx backup create`."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from analyzer.backup.create import run_create
from analyzer.backup.locks.locks import Lock, take
from analyzer.backup.locks.owners import Hold
from analyzer.backup.plan import CreatePlan, Hashing, Lost, Reading, Which, Wishes, plan_create
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.recovery_map.findings import map_note
from cli import output
from cli.errors import when_interrupted
from cli.options.common import FILE_PATH, chain_options, json_option, open_leaf, tell_errors
from cli.options.repository import point_lines, repository_argument, repository_of
from cli.progress import progress
from cli.text import plural, safe, size
from vhdx.findings import Finding


@click.command("create")
@repository_argument
@click.argument("leaves", nargs=-1, required=True, type=FILE_PATH, metavar="LEAF...")
@click.option("--name", help="Of the restore point; by default the leaf's name and the time.")
@click.option(
    "--host", default=platform.node, metavar="NAME", help="Name of this machine in restore points; by default its own."
)
@click.option("--checkpoints", is_flag=True, help="A restore point for every layer of the chain, in one pass.")
@click.option("--full", is_flag=True, help="Read all of the disk, whatever is proved to be unchanged.")
@click.option("--allow-lost", is_flag=True, help="Store zeros where the disk cannot be known, and list the ranges.")
@click.option(
    "--image-hash", is_flag=True, help="Hash the whole image, however long that takes, also as `casync digest` does."
)
@chain_options
@json_option
@when_interrupted(
    "no restore point was half made; the next run uses the chunks that are stored, so run the command again"
)
def command(repository: str, leaves: Sequence[Path], as_json: bool, **choices: Any) -> int:
    """Make a restore point of each LEAF's disk.

    Layers that are proved to be those of an earlier restore point, unwritten since, are not read: neither is what
    reads as zeros. Where nothing is proved, all data is read and hashed, and it is said why; what the repository has
    already is not stored again in either case. An interrupted run leaves no restore point; the next one goes on.
    Exit code 1: it was made, and `vhdx check` has errors to tell of a source.

    \b
    Examples:
      vhdx backup create /mnt/nas/backups leaf.avhdx
      vhdx backup create /mnt/nas/backups leaf.avhdx --checkpoints
      vhdx backup create /mnt/nas/backups *.vhdx
      vhdx backup create /mnt/nas/backups leaf.avhdx --name before-upgrade
    """
    if choices["name"] and len(leaves) > 1:
        raise click.UsageError("--name is for one LEAF.")
    kept, errors, told = repository_of(repository), list[Finding](), list[Manifest]()
    with take(kept.place, Hold.SHARED, "create") as lock:
        for leaf in leaves:
            with open_leaf(leaf, choices) as chain:
                output.warn(chain.findings)
                errors += tell_errors(chain)
                plan = plan_create(kept, chain, _wishes(choices, map_note(chain.path, chain.size)), lock.claim)
                manifests = _run(plan, lock)
            told += manifests
            if not as_json:
                _tell(plan, manifests)
    if as_json:
        _emit(kept, told, errors)
    return int(bool(errors))


def _wishes(choices: dict[str, Any], note: str) -> Wishes:
    return Wishes(
        name=choices["name"],
        which=Which.CHECKPOINTS if choices["checkpoints"] else Which.LEAF,
        lost=Lost.ALLOW if choices["allow_lost"] else Lost.REFUSE,
        reading=Reading.ALL if choices["full"] else Reading.CHANGED,
        hashing=Hashing.ALWAYS if choices["image_hash"] else Hashing.CHEAP,
        tool=f"vhdx {output.version()}",
        host=choices["host"],
        notes=(note,) if note else (),
    )


def _run(plan: CreatePlan, lock: Lock) -> tuple[Manifest, ...]:
    with progress("backing up", plan.work) as update:
        return run_create(plan, update, lock.confirm)


def _emit(repository: Repository, manifests: Sequence[Manifest], errors: Sequence[Finding]) -> None:
    points = [plain_point(manifest) for manifest in manifests]
    output.emit("backup create", {"repository": repository.place.url, "points": points, "errors": errors})


def plain_point(manifest: Manifest) -> dict[str, Any]:
    """A manifest as JSON has it."""
    plain: dict[str, Any] = output.plain(manifest) | {"created": manifest.created.isoformat()}
    return plain


def _tell(plan: CreatePlan, manifests: Sequence[Manifest]) -> None:
    output.emit_sentences(f"{name}: is there already, of layer {layer}" for layer, name in plan.skipped)
    output.emit_lines(point_lines(manifests))
    effort = manifests[-1].effort
    if effort.read_in_full:
        output.emit_sentences([f"read in full, because {safe(effort.read_in_full)}"])
    stored = f"{plural(effort.chunks_written, 'new chunk')} stored in {size(effort.bytes_written)}"
    output.emit_sentences([f"{size(effort.read_bytes)} read, {stored}"])
