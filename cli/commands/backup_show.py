"""`vhdx backup show`."""

import click

from analyzer.backup.repository.manifest import Manifest
from cli import output
from cli.commands.backup_create import plain_point
from cli.options.common import json_option
from cli.options.repository import repository_argument, repository_of
from cli.text import exact_size, facts, line_width, plural, safe


@click.command("show")
@repository_argument
@click.argument("name")
@json_option
def command(repository: str, name: str, as_json: bool) -> None:
    """Show all that is known of the restore point NAME: its disk, its hashes, the chain it was made from.

    \b
    Examples:
      vhdx backup show /mnt/nas/backups leaf-20260101T000000Z
    """
    kept = repository_of(repository)
    manifest = kept.manifest(name)
    if as_json:
        output.emit("backup show", {"repository": kept.place.url, "point": plain_point(manifest)})
    else:
        click.echo(f"{manifest.name}\n{facts(_facts(manifest), line_width())}")


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    effort = manifest.effort
    return [
        ("made", f"{manifest.created:%Y-%m-%d %H:%M:%S}Z by {safe(manifest.tool)}"),
        ("disk", exact_size(manifest.size)),
        ("sectors", f"{manifest.logical_sector_size} logical, {manifest.physical_sector_size} physical"),
        ("disk id", safe(manifest.disk_id)),
        ("chunks", exact_size(manifest.chunk_size)),
        ("image", f"SHA-256 {manifest.image_sha256}" if manifest.image_sha256 else "not hashed as a whole"),
        ("index", f"SHA-256 {manifest.index_sha256}"),
        ("built upon", manifest.parent or "nothing"),
        ("read", f"in full: {safe(effort.read_in_full)}" if effort.read_in_full else "what changed"),
        ("chain", "\n".join(f"{number}: {safe(layer.path)}" for number, layer in enumerate(manifest.chain))),
        ("lost", _lost(manifest)),
        ("warnings", "\n".join(map(safe, manifest.warnings)) or "none"),
    ]


def _lost(manifest: Manifest) -> str:
    if not manifest.lost:
        return "nothing"
    ranges = "\n".join(f"{length} bytes at {start}" for start, length in manifest.lost[:20])
    return f"{plural(len(manifest.lost), 'range')}, read as zeros:\n{ranges}"
