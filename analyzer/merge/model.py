"""What a merge in place is to do, and what it did."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import UUID

DRAINED_AT_ONCE = 16 << 20
"""Bytes that are merged before the merged files let go of them: what a host without room must have for a moment."""


class Retire(Enum):
    """What becomes of the merged files."""

    RENAME = "rename"
    """They stay, as NAME.merged."""
    DELETE = "delete"


class Siblings(Enum):
    """What to do about other files made upon a layer that will change, or upon one merged."""

    REFUSE = "refuse"
    ACCEPT = "accept"


class Letting(Enum):
    """Whether the merged files keep what they hold until all is done."""

    KEEP = "keep"
    DRAIN = "drain"
    """They let go of each block once it is durable in the parent, and the host has its room back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntoOptions:
    """Choices for a merge in place."""

    retire: Retire = Retire.RENAME
    siblings: Siblings = Siblings.REFUSE
    letting: Letting = Letting.KEEP
    keep_old: Path | None = None
    """Where the parent's old state is kept, as a differencing file upon it."""
    undo: Path | None = None
    """Where what is written over is kept, so that the parent can be brought back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The other files of a chain's folders that a merge concerns."""

    siblings: tuple[Path, ...] = ()
    """Made upon the parent or upon a merged file but the leaf: what they show will be wrong."""
    grandchildren: tuple[Path, ...] = ()
    """Made upon the leaf: they are linked to the parent."""
    leftovers: tuple[Path, ...] = ()
    """Merged earlier and kept as NAME.merged: they no longer open afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntoPlan:
    """What is going to be changed; all sizes are bytes. Nothing was touched to make it."""

    parent: Path
    layer: int
    """The parent's layer of the chain."""
    sources: tuple[Path, ...]
    """The files that are merged, the parent's child first, the leaf last."""
    size: int
    """Of the disk afterwards."""
    size_before: int
    identity: UUID
    """The parent's data_write_guid from now on."""
    is_resumed: bool
    """A merge of them was begun already: what is there is compared, and not written again."""
    held_bytes: int
    """What the merged files hold of the disk, zeros aside."""
    claimed_bytes: int
    """What they hold of it, zeros too."""
    old_bytes: int
    """What --keep-old copies at most."""
    new_blocks: int
    """Blocks that the parent's file gets."""
    grows_by: int
    """By how much the parent's file grows at most."""
    needed_bytes: int
    """What its file system must have free."""
    family: Family
    options: IntoOptions

    @property
    def work(self) -> int:
        """What progress counts to: bytes of the disk that the merged files hold, zeros too, and of the old state."""
        return self.claimed_bytes + self.old_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IntoOutcome:
    """What was done; all sizes are bytes."""

    parent: Path
    size: int
    written_bytes: int
    file_size: int
    relinked: tuple[Path, ...]
    retired: tuple[Path, ...]
    """The merged files as they are called now; empty where they were deleted."""
