"""Where something can be mounted, and how it is unmounted: by the programs of FUSE, which need no root."""

import shutil
import subprocess
from pathlib import Path

from vhdx.errors import OutputError
from vhdx.system import files

# Programs of the system, with the folder that was named as their last argument.
_PROGRAMS = (("fusermount3", "-u"), ("fusermount", "-u"), ("umount",))


def require_mountable(folder: Path) -> None:
    """Raise OutputError for what is no empty folder; on Windows, where FUSE makes it, for one that is there."""
    if not files.MOUNTS_OVER_FOLDERS:
        if folder.exists():
            raise OutputError(folder, "it is there already", "name a folder that is not there, or a free drive letter")
        return
    if not folder.is_dir():
        raise OutputError(folder, "it is no folder", f"make one with `mkdir {folder}`")
    try:
        is_empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise OutputError(folder, error.strerror or str(error), "name an empty folder that you may read") from error
    if not is_empty:
        raise OutputError(folder, "something is in it", "name an empty folder")


def unmount(folder: Path) -> None:
    """Unmount what is mounted at a folder; raises OutputError."""
    if not files.MOUNTS_OVER_FOLDERS:
        raise OutputError(folder, "Windows unmounts when the program ends", "press Ctrl-C where `vhdx mount` runs")
    if not _is_mounted(folder):
        raise OutputError(folder, "nothing is mounted there", "name the folder that `vhdx mount` was given")
    reason = "no program that unmounts is installed"
    for words in _PROGRAMS:
        if shutil.which(words[0]) is None:
            continue
        done = subprocess.run([*words, str(folder)], capture_output=True, text=True, check=False)  # noqa: S603 - see above
        if done.returncode == 0:
            return
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{words[0]} refuses"
    raise OutputError(folder, f"it cannot be unmounted ({reason})", "close what is open in it, and run again")


def _is_mounted(folder: Path) -> bool:
    try:
        return folder.is_mount()
    except OSError:  # what was mounted there was killed, and the folder answers nothing
        return True
