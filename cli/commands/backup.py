"""`vhdx backup`: a group, whose commands stand in modules of their own."""

import importlib

import click

from cli.help import with_help

SUBCOMMANDS = {
    "init": "Make a repository.",
    "create": "Restore points of disks: what changed is read, the rest is proved to be the same.",
    "list": "The restore points of a repository.",
    "show": "All that is known of a restore point.",
    "verify": "Whether what is stored is what was put there: all, a share, or as far as time goes.",
    "restore": "A restore point as an image of any format.",
    "forget": "Give up restore points: by rules (so many days, weeks, months) or by name.",
    "prune": "Delete the chunks that no restore point needs.",
    "stats": "How much is stored, and how much of it each restore point holds alone.",
}
"""Every command and its line in the help; the module backup_NAME holds it."""


class BackupGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order in which people need them."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cli.commands.backup_{cmd_name}").command
        return with_help(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.command("backup", cls=BackupGroup)
def command() -> None:
    """Keep restore points of disks in a repository: full, portable copies, which share what they have in common.

    A repository is a casync chunk store with an index and a JSON manifest for each restore point. Debian's casync, or
    the small restore.py that lies in it, bring back any of them without this program (docs/backup.md). Sources are
    opened read-only.

    REPOSITORY is a folder, or a URL: sftp://user@host/path, ftp://, ftps://, smb://host/share/path, s3://bucket/path.
    No URL takes a password. SFTP uses ssh-agent, ~/.ssh and VHDX_SFTP_PASSWORD; FTP and SMB use VHDX_FTP_PASSWORD and
    VHDX_SMB_PASSWORD (and _USER), or ~/.netrc; S3 what Amazon's own tools use (AWS_PROFILE, AWS_ACCESS_KEY_ID, ...).
    The passphrase of an encrypted repository comes from --passphrase-file, --passphrase-command or VHDX_PASSPHRASE.

    \b
    Examples:
      vhdx backup init /mnt/nas/backups
      vhdx backup create /mnt/nas/backups leaf.avhdx
      vhdx backup list /mnt/nas/backups
      vhdx backup restore /mnt/nas/backups NAME disk.vhdx
    """
