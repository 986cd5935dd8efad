"""`vhdx backup list`."""

import click

from cli import output
from cli.options import json_option
from cli.repositories import point_line, repository_argument, repository_of


@click.command("list")
@repository_argument
@json_option
def command(repository: str, as_json: bool) -> None:
    """List the restore points of a repository, oldest first.

    \b
    Examples:
      vhdx backup list /mnt/nas/backups
      vhdx backup list /mnt/nas/backups --json | jq -r '.points[].name'
    """
    kept = repository_of(repository)
    manifests = list(kept.manifests())
    if not as_json:
        output.emit_lines([point_line(manifest) for manifest in manifests] or ["no restore points yet"])
        return
    points = [
        {
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
        for manifest in manifests
    ]
    output.emit("backup list", {"repository": kept.place.url, "points": points})
