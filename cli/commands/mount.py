"""`vhdx mount` and `vhdx unmount`."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import click

from analyzer.address.state import State, form_of, layers_of, state_of_layer
from analyzer.mount.fuse import run_mount
from analyzer.mount.states import points_folder, states_folder
from analyzer.mount.tree import FixedFolder
from analyzer.mount.unmount import require_mountable, unmount
from analyzer.recovery_map.disk import without_map
from analyzer.text import listed
from cli import output
from cli.options.address import DiskOptions, disk_options, repository_at
from cli.options.common import FILE_PATH, choice, grouped, json_option, option
from cli.options.states import opened_by_map
from cli.text import plural, safe, say
from vhdx.disk import Disk
from vhdx.system import console


class Shown(Enum):
    """What of a disk is shown."""

    DISKS = "disks"
    FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is shown, and to whom."""

    shown: Shown = choice(Shown.FILES, "Show the file systems inside the disk, instead of the disk.", "--files")
    allow_other: bool = option("Let other users of this machine in, too; FUSE's configuration must allow that.")


@click.command("mount")
@click.argument("disk")
@click.argument("folder", type=FILE_PATH, metavar="DIR")
@grouped("asked", _Asked)
@disk_options
@json_option
def command(disk: str, folder: Path, asked: _Asked, where: DiskOptions) -> int:
    """Mount a disk at the empty folder DIR, read-only, without root: every state of it is a sparse file.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of its layer N (0 is the base); a raw image; a block
    device; REPO::POINT, a restore point; nbd://, an export; or REPO alone, a repository. leaf.raw is the state that is
    named, @0.raw and so on are its layers' states; of a repository each restore point is POINT.raw. With --files there
    are folders instead, one for each volume that `vhdx files` reads.

    What is lost is an input/output error, exactly there. It goes on until `vhdx unmount DIR`, or Ctrl-C. This needs the
    package mfusepy (the extra `mount`) and FUSE (on Windows WinFsp). Without them: `vhdx serve` and `nbdfuse`.

    \b
    Examples:
      vhdx mount leaf.avhdx /mnt/disk &
      vhdx mount /mnt/nas/backups /mnt/points &
      vhdx mount /mnt/nas/backups::latest /mnt/files --files &
      vhdx unmount /mnt/disk
    """
    require_mountable(folder)
    options: dict[str, Any] = {"allow_other": True} if asked.allow_other else {}
    with ExitStack() as stack:
        root, disks = _tree(disk, where, asked.shown, stack)
        for number in console.end_signals():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)  # FUSE ends by them, and unmounts
        context = click.get_current_context()

        def announce() -> None:
            with context.scope(cleanup=False):  # FUSE calls from a thread of its own
                _announce(folder, root)

        run_mount(root, folder, announce, lambda text: say(safe(text)), options=options)
        for one in disks:
            one.require_unchanged()
    return 0


def _tree(text: str, where: DiskOptions, shown: Shown, stack: ExitStack) -> tuple[FixedFolder, list[Disk]]:
    """What is mounted, and the disks that are opened for it."""
    repository = repository_at(text)
    if repository is not None:
        if shown is Shown.FILES:
            raise click.UsageError("--files shows one disk: name a restore point, as REPO::POINT.")
        return points_folder(repository), []
    state = stack.enter_context(opened_by_map(text, where))
    if shown is Shown.FILES:
        from analyzer.mount.volumes import volumes_folder

        return volumes_folder(state.disk), [state.whole]
    return states_folder(_states(state)), [state.whole]


def _states(state: State) -> Iterator[tuple[str, Disk]]:
    """The state that is named, and those of the layers of its chain."""
    yield "leaf", state.disk
    disk = without_map(state.disk)
    if form_of(disk) in {"vhdx", "vhd"}:
        yield from ((f"@{layer}", state_of_layer(disk, layer)) for layer in range(len(layers_of(disk))))


def _announce(folder: Path, root: FixedFolder) -> None:
    """Say what is there now."""
    names = [*root.names()]
    payload = {"folder": folder, "entries": [{"name": name, "path": folder / name} for name in names]}
    what = f"{safe(folder)}: {safe(listed(names))} ({plural(len(names), 'entry')}), read-only"
    lines = [what, f"`vhdx unmount {safe(folder)}` or Ctrl-C ends this"]
    output.answer("mount", payload, lines, emitted=output.emit_lines)
    sys.stdout.flush()  # whoever waits for it is not kept waiting by a buffer


@click.command("unmount")
@click.argument("folder", type=FILE_PATH, metavar="DIR")
def unmount_command(folder: Path) -> None:
    """Unmount what `vhdx mount` mounted at DIR.

    \b
    Examples:
      vhdx unmount /mnt/points-of-the-nightly-backups
    """
    unmount(folder)
    click.echo(f"{safe(folder)}: unmounted")
