"""`vhdx backup`: a group, whose commands are in modules of their own."""

import click

from cli.help import LazyGroup


class _BackupCommands(LazyGroup):
    """The commands on repositories."""

    prefix = "backup_"
    homes = dict.fromkeys(("init", "list", "show", "stats"), "points") | {"verify": "prune"}
    lines = {  # noqa: RUF012 - a table, never changed
        "init": "Create a repository.",
        "create": "Make restore points of disks: changes are read, the rest is proved unchanged.",
        "list": "List the restore points of a repository.",
        "show": "Show all that is known of a restore point.",
        "verify": "Verify what is stored: all of it, a share, or for a limited time.",
        "restore": "Restore a restore point as an image of any format.",
        "forget": "Delete restore points, by rules (so many days, weeks, months) or by name.",
        "prune": "Delete the chunks that no restore point needs.",
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
    The passphrase of an encrypted repository comes from --passphrase-file, --passphrase-command or VHDX_PASSPHRASE.

    \b
    Examples:
      vhdx backup init /mnt/nas/backups
      vhdx backup create /mnt/nas/backups leaf.avhdx
      vhdx backup list /mnt/nas/backups
      vhdx backup restore /mnt/nas/backups NAME disk.vhdx
    """
