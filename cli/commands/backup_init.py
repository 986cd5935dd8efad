"""`vhdx backup init`."""

import click

from analyzer.backup.codec import PlainCodec
from analyzer.backup.repository import Settings, init_repository
from cli import output
from cli.options import ByteSize, json_option
from cli.repositories import place_of
from cli.text import safe


@click.command("init")
@click.argument("repository")
@click.option("--chunk-size", type=ByteSize(), help="64K to 16M; where not given, 1M, and more for disks over 1 TiB.")
@json_option
def command(repository: str, chunk_size: int | None, as_json: bool) -> None:
    """Make an empty repository in the folder REPOSITORY, which need not be there.

    Smaller chunks keep small changes small and make for larger indexes: 40 bytes for each chunk of a disk.

    \b
    Examples:
      vhdx backup init /mnt/nas/backups
      vhdx backup init /mnt/nas/backups --chunk-size 256K
    """
    made = init_repository(place_of(repository), Settings(chunk_size=chunk_size), PlainCodec())
    if as_json:
        output.emit("backup init", {"repository": made.place.url, "settings": made.settings})
    else:
        click.echo(f"{safe(made.place.url)}: an empty repository")
