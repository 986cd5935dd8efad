"""`vhdx backup list`."""

from typing import Any

import click

from analyzer.backup.repository.manifest import Manifest
from cli import output
from cli.options.common import json_option
from cli.options.repository import point_lines, repository_argument, repository_of, warn_of_damaged


@click.command("list")
@repository_argument
@json_option
def command(repository: str, as_json: bool) -> int:
    """List the restore points of a repository, oldest first.

    Exit code 1 when the manifest of one cannot be read.

    \b
    Examples:
      vhdx backup list /mnt/nas/backups
      vhdx backup list /mnt/nas/backups --json | jq -r '.points[].name'
    """
    kept = repository_of(repository)
    manifests, found = kept.survey()
    damaged = list(found)
    warn_of_damaged(damaged)
    if as_json:
        payload = {"points": [_line(manifest) for manifest in manifests], "damaged": damaged}
        output.emit("backup list", {"repository": kept.place.url} | payload)
    elif manifests or not damaged:
        output.emit_lines(point_lines(manifests) if manifests else ["no restore points yet"])
    return int(bool(damaged))


def _line(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "created": manifest.created.isoformat(),
        "size": manifest.size,
        "layer": manifest.layer,
        "file": manifest.chain[-1].name,
        "disk_id": manifest.disk_id,
        "index_sha256": manifest.index_sha256,
        "image_sha256": manifest.image_sha256,
        "parent": manifest.parent,
        "lost": manifest.lost,
    }
