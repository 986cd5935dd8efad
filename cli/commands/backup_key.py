"""`vhdx backup key`: the passphrases of an encrypted repository."""

from typing import Any

import click

from analyzer.backup.lock_owner import Hold
from analyzer.backup.passphrases import add_passphrase, change_passphrase, remove_passphrase, slots_of
from analyzer.backup.repository.keys import KeySlot
from cli import output
from cli.commands.backup import RepositoryGroup
from cli.options.common import json_option
from cli.options.passphrase import Passphrase, passphrase_options
from cli.options.repository import (
    lock_of,
    repository_argument,
    repository_of,
    wait_option,
)
from cli.text import safe


@click.command("key", cls=RepositoryGroup)
def command() -> None:
    """List, add, change and remove the passphrases of an encrypted repository.

    All open the same key, so nothing is encrypted anew: whoever had a passphrase and a copy of repository.json can
    still read what is stored. To be safe from that, copy the restore points to a new repository.
    """


def _plain(slot: KeySlot, used: KeySlot | None) -> dict[str, Any]:
    return {"id": slot.id, "label": slot.label, "made": slot.made, "in_use": slot == used}


def _line(slot: KeySlot, used: KeySlot | None) -> str:
    facts = [slot.id, safe(slot.made) or "-", safe(slot.label), "in use" if slot == used else ""]
    return "  ".join(filter(None, facts))


@command.command("list")
@repository_argument
@json_option
def list_command(repository: str) -> None:
    """List the keys of a repository, one for each passphrase.

    \b
    Examples:
      vhdx backup key list /mnt/nas/backups
    """
    kept = repository_of(repository)
    slots = slots_of(kept)
    payload = {"repository": kept.place.url, "keys": [_plain(slot, kept.key) for slot in slots]}
    output.answer("backup key list", payload, [_line(slot, kept.key) for slot in slots])


@command.command("add")
@repository_argument
@passphrase_options("new", "the new passphrase")
@click.option("--label", default="", metavar="TEXT", help="Name of the key in lists.")
@wait_option
def add_command(repository: str, label: str) -> None:
    """Add a passphrase, which opens the repository like those that it has.

    \b
    Examples:
      vhdx backup key add /mnt/nas/backups --label anna
      vhdx backup key add /mnt/nas/backups --new-passphrase-file /run/new
    """
    kept = repository_of(repository)
    slots_of(kept)
    new = Passphrase(click.get_current_context(), "new").new()
    with lock_of(kept, Hold.EXCLUSIVE, "key add"):
        slot = add_passphrase(kept, new, label)
    click.echo(f"{slot.id}: added")


@command.command("remove")
@repository_argument
@click.argument("key_id", metavar="KEY")
@wait_option
def remove_command(repository: str, key_id: str) -> None:
    """Remove the passphrase of KEY, the beginning of an id of `key list`; never the one in use.

    \b
    Examples:
      vhdx backup key remove /mnt/nas/backups 1f3a
    """
    kept = repository_of(repository)
    with lock_of(kept, Hold.EXCLUSIVE, "key remove"):
        slot = remove_passphrase(kept, key_id)
    click.echo(f"{slot.id}: removed")


@command.command("passwd")
@repository_argument
@passphrase_options("new", "the new passphrase")
@wait_option
def passwd_command(repository: str) -> None:
    """Change the passphrase that the repository is opened with.

    \b
    Examples:
      vhdx backup key passwd /mnt/nas/backups
    """
    kept = repository_of(repository)
    slots_of(kept)
    new = Passphrase(click.get_current_context(), "new").new()
    with lock_of(kept, Hold.EXCLUSIVE, "key passwd"):
        slot = change_passphrase(kept, new)
    click.echo(f"{slot.id}: changed")
