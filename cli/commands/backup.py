"""`vhdx backup`: a group, whose commands are in modules of their own."""

from pathlib import Path

import click

from cli.help import LazyGroup
from cli.settings import repository


def with_repository(command: click.Command, ctx: click.Context, arguments: list[str]) -> list[str]:
    """The arguments of a command on a repository, with that of the environment in front where they name none.

    They name one where as many are given as the command takes; of a command that takes any number, where the first one
    is a URL or a folder, which neither a LEAF nor a NAME is.
    """
    named = repository()
    taken = [one for one in command.params if isinstance(one, click.Argument)]
    if not named or not taken or taken[0].name != "repository":
        return arguments
    try:
        given = command.make_parser(ctx).parse_args(list(arguments))[0]
    except click.UsageError:  # the command itself will say so
        return arguments
    first = given.get("repository")
    if any(one.nargs < 0 for one in taken):
        is_url = isinstance(first, str) and "://" in first and not first.lower().startswith("nbd")
        names_one = is_url or (isinstance(first, str) and Path(first).is_dir())
    else:
        names_one = all(isinstance(given.get(str(one.name)), str) for one in taken)
    return arguments if names_one else [named, *arguments]


class RepositoryGroup(click.Group):
    """A group of commands on repositories."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command and its arguments, with the repository of the environment where they name none."""
        name, command, arguments = super().resolve_command(ctx, args)
        return name, command, with_repository(command, ctx, arguments) if command else arguments


class _BackupCommands(RepositoryGroup, LazyGroup):
    """The commands on repositories."""

    prefix = "backup_"
    homes = dict.fromkeys(("init", "list", "show", "stats"), "points") | dict.fromkeys(("verify", "unlock"), "prune")
    homes |= dict.fromkeys(("copy", "diff"), "copy")
    lines = {  # noqa: RUF012 - a table, never changed
        "init": "Create a repository.",
        "create": "Make restore points of disks: changes are read, the rest is proved unchanged.",
        "list": "List the restore points of a repository.",
        "show": "Show all that is known of a restore point.",
        "verify": "Verify what is stored: all of it, a share, or for a limited time.",
        "restore": "Restore a restore point as an image of any format.",
        "forget": "Delete restore points, by rules (so many days, weeks, months) or by name.",
        "prune": "Delete the chunks that no restore point needs.",
        "key": "List, add, change and remove passphrases.",
        "copy": "Copy restore points to another repository.",
        "diff": "Show which ranges of a disk differ between two restore points.",
        "unlock": "Remove the locks of runs that are dead.",
        "stats": "Show how much is stored, and how much of it each restore point holds alone.",
    }


@click.command("backup", cls=_BackupCommands)
def command() -> None:
    """Keep restore points of disks in a repository: full, portable copies that share equal data.

    A repository is a casync chunk store with an index and a JSON manifest for each restore point. Debian's casync, or
    the small restore.py stored in it, restores any of them without this program (docs/backup.md). Sources are
    opened read-only.

    REPOSITORY is a folder, or a URL: sftp://user@host/path, ftp://, ftps://, smb://host/share/path, s3://bucket/path.
    No URL takes a password. SFTP uses ssh-agent, ~/.ssh and VHDX_SFTP_PASSWORD; FTP and SMB use VHDX_FTP_PASSWORD and
    VHDX_SMB_PASSWORD (and _USER), or ~/.netrc; S3 what Amazon's own tools use (AWS_PROFILE, AWS_ACCESS_KEY_ID, ...).
    Where VHDX_REPOSITORY names it, it may be left out. The passphrase of an encrypted repository comes from
    --passphrase-file, --passphrase-command, VHDX_PASSPHRASE_FILE, VHDX_PASSPHRASE_COMMAND or VHDX_PASSPHRASE.

    NAME of a restore point may be the beginning of it, where no other begins so; `latest`, the newest; or
    latest:FILE, the newest of the disk whose file is called so.

    \b
    Examples:
      vhdx backup init /mnt/nas/backups
      vhdx backup create /mnt/nas/backups leaf.avhdx
      vhdx backup list /mnt/nas/backups
      vhdx backup restore /mnt/nas/backups latest disk.vhdx
    """
