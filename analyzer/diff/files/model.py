"""What is told of a file that differs."""

from dataclasses import dataclass
from enum import Enum

from analyzer.guest.filesystems.record import FileRecord
from vhdx.ranges import Range


class What(Enum):
    """What became of a file; where several hold, the first."""

    CREATED = "created"
    DELETED = "deleted"
    REPLACED = "replaced"
    """Another file has its name now."""
    RENAMED = "renamed"
    """It has another name, or is in another folder."""
    CHANGED = "changed"
    """It holds something else."""
    UNKNOWN = "unknown"
    """Whether it holds something else, or whether it is there, is not known in one of the states."""
    METADATA = "metadata"
    """What it holds is the same: its times, its mode or the like are not."""


class Data(Enum):
    """Whether a file holds the same."""

    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    """It cannot be known: it is lost in one of the states, or stored in a way that is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file that differs. `old` is None for one that was created, `new` for one that was deleted, or not found.

    `ranges` are (offset, length) in bytes of the file, in units of 512 that differ: of its data where both states have
    some, and as far as it is known in both. `fields` are the names of what else is not the same.
    """

    what: What
    old: FileRecord | None
    new: FileRecord | None
    data: Data | None = None
    """None where there are no two files to compare: one of them is not there, or a folder or a link that is known."""
    ranges: tuple[Range, ...] = ()
    range_count: int = 0
    """How many ranges there are: at most 1000 are listed."""
    changed_bytes: int = 0
    streams: tuple[str, ...] = ()
    """Names of the alternate streams that differ, that are new, or gone; `ranges` say nothing of them."""
    fields: tuple[str, ...] = ()

    @property
    def record(self) -> FileRecord:
        """The file, as it is now; as it was where it is gone."""
        found = self.new or self.old
        if found is None:
            raise ValueError("a change of no file")
        return found
