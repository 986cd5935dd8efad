"""`vhdx backup init`."""

from dataclasses import replace

import click

from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.open import init_encrypted, init_repository
from analyzer.backup.repository.repository import Repository, Settings
from cli import output
from cli.options.common import ByteSize, json_option
from cli.options.passphrase import VARIABLE, Passphrase
from cli.options.repository import place_of, repository_argument
from cli.text import safe


@click.command("init")
@repository_argument
@click.option("--chunk-size", type=ByteSize(), help="Chunk size, 64K to 16M. Default: 1M, larger for disks over 1 TiB.")
@click.option("--encrypt", is_flag=True, help="Encrypt with AES-256-GCM; casync cannot read such a repository.")
@json_option
def command(repository: str, chunk_size: int | None, encrypt: bool, as_json: bool) -> None:
    """Create an empty repository in REPOSITORY, a folder (created if missing) or a URL (docs/backup-places.md).

    Smaller chunks keep small changes small but make indexes larger: 40 bytes per chunk of a disk. With --encrypt nobody
    can read anything without the passphrase; casync and restore.py cannot read such a repository at all.

    \b
    Examples:
      vhdx backup init /mnt/nas/backups
      vhdx backup init /mnt/nas/backups --chunk-size 256K
      vhdx backup init sftp://user@host/backups
      vhdx backup init s3://bucket/backups --encrypt --passphrase-file ~/.vhdx-passphrase
    """
    made = _encrypted(repository, chunk_size) if encrypt else _plain(repository, chunk_size)
    if as_json:
        output.emit("backup init", {"repository": made.place.url, "settings": replace(made.settings, codec=None)})
    else:
        click.echo(f"{safe(made.place.url)}: an empty repository")


def _plain(repository: str, chunk_size: int | None) -> Repository:
    if Passphrase(click.get_current_context()).is_given:
        raise click.UsageError(f"A passphrase is given ({VARIABLE} counts): add --encrypt, or leave it out.")
    return init_repository(place_of(repository), Settings(chunk_size=chunk_size), Codec())


def _encrypted(repository: str, chunk_size: int | None) -> Repository:
    passphrase = Passphrase(click.get_current_context())
    return init_encrypted(place_of(repository), chunk_size, passphrase.new())
