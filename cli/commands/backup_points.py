"""`vhdx backup init`, `list`, `show` and `stats`: an empty repository, and what one holds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import click

from analyzer.backup.prune import Stats, stats_of
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Settings, init_encrypted, init_repository
from cli import output
from cli.options.common import BYTE_SIZE, grouped, json_option
from cli.options.passphrase import VARIABLE, Passphrase
from cli.options.repository import (
    place_of,
    point_lines,
    point_named,
    repository_argument,
    repository_of,
    tag_option,
    warn_of_damaged,
)
from cli.output import members
from cli.text import exact_size, facts, line_width, moment, plural, safe, size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which restore points are listed."""

    tags: tuple[str, ...] = tag_option("List only those that have this tag.")


@click.command("list")
@repository_argument
@grouped("wanted", _Wanted)
@json_option
def list_command(repository: str, wanted: _Wanted) -> int:
    """List the restore points of a repository, oldest first.

    Exit code 1 when the manifest of one cannot be read.

    \b
    Examples:
      vhdx backup list /mnt/nas/backups
      vhdx backup list /mnt/nas/backups --json | jq -r '.points[].name'
    """
    kept = repository_of(repository)
    manifests, found = kept.survey()
    manifests = [one for one in manifests if {*wanted.tags} <= {*one.tags}]
    damaged = list(found)
    warn_of_damaged(damaged)
    known = "name", "created", "size", "layer", "disk_id", "index_sha256", "image_sha256", "parent", "lost", "tags"
    listed = [members(one, *known) | {"file": one.chain[-1].name} for one in manifests]
    payload = {"repository": kept.place.url, "points": listed, "damaged": damaged}
    lines = point_lines(manifests) if manifests or damaged else ["no restore points yet"]
    output.answer("backup list", payload, lines)
    return int(bool(damaged))


@click.command("show")
@repository_argument
@click.argument("name")
@json_option
def show_command(repository: str, name: str) -> None:
    """Show all that is known of the restore point NAME: its disk, its hashes, the chain it was made from.

    \b
    Examples:
      vhdx backup show /mnt/nas/backups leaf-20260101T000000Z
    """
    kept = repository_of(repository)
    manifest = kept.manifest(point_named(kept, name))
    payload = {"repository": kept.place.url, "point": manifest}
    lines = [manifest.name, facts(_facts(manifest), line_width())]
    output.answer("backup show", payload, lines, emitted=output.emit_lines)


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    effort = manifest.effort
    lost = "\n".join(f"{length} bytes at {start}" for start, length in manifest.lost[:20])
    return [
        ("made", f"{moment(manifest.created)} by {safe(manifest.tool)}"),
        ("disk", exact_size(manifest.size)),
        ("sectors", f"{manifest.logical_sector_size} logical, {manifest.physical_sector_size} physical"),
        ("tags", ", ".join(map(safe, manifest.tags)) or "none"),
        ("disk id", safe(manifest.disk_id)),
        ("chunks", exact_size(manifest.chunk_size)),
        ("image", f"SHA-256 {manifest.image_sha256}" if manifest.image_sha256 else "not hashed as a whole"),
        ("index", f"SHA-256 {manifest.index_sha256}"),
        ("built upon", manifest.parent or "nothing"),
        ("read", f"in full: {safe(effort.read_in_full)}" if effort.read_in_full else "what changed"),
        ("chain", "\n".join(f"{number}: {safe(layer.path)}" for number, layer in enumerate(manifest.chain))),
        ("lost", f"{plural(len(manifest.lost), 'range')}, read as zeros:\n{lost}" if lost else "nothing"),
        ("warnings", "\n".join(map(safe, manifest.warnings)) or "none"),
    ]


@click.command("stats")
@repository_argument
@json_option
def stats_command(repository: str) -> int:
    """Show how much a repository stores, and how much of it each restore point holds alone.

    Exit code 1 when the manifest of a restore point cannot be read.

    \b
    Examples:
      vhdx backup stats /mnt/nas/backups
    """
    kept = repository_of(repository)
    stats = stats_of(kept)
    warn_of_damaged(stats.damaged)
    payload = {"repository": kept.place.url, "stats": stats}
    output.answer("backup stats", payload, _lines(stats))
    return int(bool(stats.damaged))


def _lines(stats: Stats) -> Iterator[str]:
    for point in stats.points:
        chunks = f"{plural(point.chunks, 'chunk')} in {size(point.bytes)}"
        yield f"{point.name}: disk of {size(point.size)}, {chunks}, alone {point.own_chunks} in {size(point.own_bytes)}"
    disks = f"{plural(len(stats.points), 'restore point')} of {size(stats.disk_bytes)} of disks"
    of_none = "needed by none of these; the damaged may" if stats.damaged else "needed by none (`vhdx backup prune`)"
    unused = f"{stats.unused_chunks} of them in {size(stats.unused_bytes)} {of_none}"
    yield f"{disks} in {plural(stats.chunks, 'chunk')} of {size(stats.bytes)}; {unused}"


_CHUNK_SIZE = "Chunk size, 64K to 16M. Default: 256K in a folder, 1M on a server; larger for large disks."


@click.command("init")
@repository_argument
@click.option("--chunk-size", type=BYTE_SIZE, help=_CHUNK_SIZE)
@click.option("--encrypt", is_flag=True, help="Encrypt with AES-256-GCM; casync cannot read such a repository.")
@json_option
def init_command(repository: str, chunk_size: int | None, encrypt: bool) -> None:
    """Create an empty repository in REPOSITORY, a folder (created if missing) or a URL (docs/backup-places.md).

    Smaller chunks keep small changes small, but make more objects, each of which costs a server a round trip, and
    larger indexes: 40 bytes per chunk of a disk. With --encrypt nobody can read anything without the passphrase; casync
    and restore.py cannot read such a repository at all.

    \b
    Examples:
      vhdx backup init /mnt/nas/backups
      vhdx backup init /mnt/nas/backups --chunk-size 256K
      vhdx backup init sftp://user@host/backups
      vhdx backup init s3://bucket/backups --encrypt --passphrase-file ~/.vhdx-passphrase
    """
    passphrase = Passphrase(click.get_current_context())
    if encrypt:
        made = init_encrypted(place_of(repository), chunk_size, passphrase.new())
    elif passphrase.is_given:
        raise click.UsageError(f"A passphrase is given ({VARIABLE} counts): add --encrypt, or leave it out.")
    else:
        made = init_repository(place_of(repository), Settings(chunk_size=chunk_size), Codec())
    payload = {"repository": made.place.url, "settings": replace(made.settings, codec=None)}
    output.answer("backup init", payload, [f"{safe(made.place.url)}: an empty repository"])
