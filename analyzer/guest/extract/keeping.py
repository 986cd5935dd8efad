"""A folder in which files keep what a file system of Unix has of them: for root, on such a system.

Links are made and never followed: whatever a disk's links lead to, nothing is written through them.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from analyzer.guest.extract.model import Kept
from analyzer.guest.extract.names import FaithfulNames, Names
from analyzer.guest.extract.target import KeepingDestination, Parts, Target, set_times


def why_not_here() -> str | None:
    """Why nobody can write such a folder here, in words; None where it can be done."""
    if not hasattr(os, "geteuid") or not hasattr(os, "setxattr"):
        return "this system does not have what Linux keeps of files"
    return None if os.geteuid() == 0 else "only root may give files their owners"


class KeepingTarget(Target):
    """A folder, as Target, with links, hard links, modes, owners, extended attributes and names as they are.

    Devices are not made: a file of the disk would open a device of this machine.
    """

    names: type[Names] = FaithfulNames

    @property
    def keeping(self) -> KeepingDestination:
        """See Destination."""
        return self

    def make_link(self, parts: Parts, kept: Kept) -> bool:
        """See Destination."""
        with self._new_name(parts) as (folder, name):
            os.symlink(kept.record.target or "", name, dir_fd=folder)
            self._dress_by_name(folder, name, kept)
        return True

    def make_special(self, parts: Parts, kept: Kept) -> bool:
        """Make a pipe; a device or a socket is not made."""
        if kept.type != stat.S_IFIFO:
            return False
        with self._new_name(parts) as (folder, name):
            os.mkfifo(name, 0o600, dir_fd=folder)
            self._dress_by_name(folder, name, kept)
            Path(f"/proc/self/fd/{folder}/{name}").chmod(kept.mode)
        return True

    def make_hard_link(self, parts: Parts, earlier: Parts, kept: Kept) -> None:  # noqa: ARG002 - see Destination
        """See Destination."""
        with self._new_name(parts) as (folder, name):
            source = self._descend(earlier[:-1])
            try:
                os.link(earlier[-1], name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
            finally:
                os.close(source)

    def _dress(self, descriptor: int, kept: Kept) -> None:
        # A change of owner takes capabilities and set-user-id away: these come after it.
        os.fchown(descriptor, *kept.owner)
        self._set_attributes(descriptor, kept)
        os.fchmod(descriptor, kept.mode)

    def _dress_by_name(self, folder: int, name: str, kept: Kept) -> None:
        """Give something that cannot be opened its owner, attributes and times."""
        os.chown(name, *kept.owner, dir_fd=folder, follow_symlinks=False)
        # There is no call for attributes of a name in an open folder.
        self._set_attributes(f"/proc/self/fd/{folder}/{name}", kept, follow_symlinks=False)
        set_times(name, kept.record.times, dir_fd=folder, follow_symlinks=False)

    def _set_attributes(self, place: int | str, kept: Kept, **how: bool) -> None:
        for name, value in kept.attributes:
            try:
                os.setxattr(place, name, value, **how)
            except OSError as error:  # of a file system without them, or without this kind
                self.attributes_refused.append(f"{name}: {error.strerror}")

    @contextlib.contextmanager
    def _new_name(self, parts: Parts) -> Iterator[tuple[int, str]]:
        """The folder and the name for something that is made at once; what has the name goes where it may."""
        folder, name = self._enter(parts[:-1]), parts[-1]
        self._refuse(folder, parts)
        with self._complaining(parts, "make"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            yield folder, name
