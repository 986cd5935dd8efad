"""What becomes of the identities of a disk: how far to go, what was changed, what was kept and why."""

from dataclasses import dataclass
from enum import Enum


class Scope(Enum):
    """Which identities are made anew."""

    DISK = "disk"
    """Those of the disk and its partitions alone."""
    VOLUMES = "volumes"
    """Those of file systems too, where that is safe and asks for nothing new of who reads them."""
    ALL = "all"
    """Also those of ext4 volumes that then need Linux 4.4, GRUB 2.12 and e2fsprogs 1.43, or newer."""


@dataclass(frozen=True, slots=True)
class Change:
    """An identity that is new. `places` are the bytes of the disk at which it stands."""

    what: str
    places: tuple[int, ...]
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An identity, or a copy of one, that stays the original's: where, why, and what to do then, "" for nothing."""

    what: str
    start: int
    why: str
    then: str = ""


@dataclass(frozen=True, slots=True)
class Clone:
    """Everything that became of the identities of a disk, in the order of the disk."""

    changes: tuple[Change, ...]
    kept: tuple[Kept, ...]
