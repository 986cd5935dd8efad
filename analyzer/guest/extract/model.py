"""What is asked for, and what became of it."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from analyzer.guest.filesystems.record import FileRecord, Include, Stream, Trouble
from analyzer.guest.filesystems.volume import Volume
from vhdx.errors import FileSystemFullError
from vhdx.ranges import Ranges
from vhdx.sink import Existing

# Of a volume that is lost in large part every file has a line; more than these nobody reads.
_MOST_TOLD = 10_000
DELETED = ".deleted"
"""Behind the name of what the disk has as deleted: its name alone may be a present file's, too."""


class Lost(Enum):
    """What becomes of a file of which bytes cannot be known."""

    LEAVE_OUT = "leave out"
    PARTIAL = "partial"
    """It is written under its name and `.partial`, with zeros where it is lost."""


@dataclass(frozen=True, slots=True)
class Named:
    """What was asked for: a file or folder, and the alternate stream of it that is meant, if one is."""

    record: FileRecord
    stream: Stream | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extraction:
    """What is going to be taken out of a volume; nothing was written yet."""

    volume: Volume
    named: tuple[Named, ...]
    target: Path
    include: Include
    existing: Existing
    sources: tuple[Path, ...]
    """Files of the disk: none of them is ever replaced."""
    lost: Lost
    stale: Ranges
    """Bytes of the disk that are of an older or unproved state: files that have any are written, and reported."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be said of one file; `file` is where it was written to, below the target."""

    path: str
    text: str
    file: str | None = None
    lost_bytes: int = 0


@dataclass(slots=True)
class Outcome:
    """What was written, and all that is not as it was in the disk. Long lists end after 10,000 entries."""

    files: int = 0
    folders: int = 0
    bytes: int = 0
    streams_left: int = 0
    """Alternate streams that were not asked for by name."""
    renamed: list[Told] = field(default_factory=list)
    deleted: list[Told] = field(default_factory=list)
    """Written with DELETED behind their names: what a deleted one held may be another's by now."""
    left_out: list[Told] = field(default_factory=list)
    refused: list[Told] = field(default_factory=list)
    """Left out because something in the target has the name."""
    partial: list[Told] = field(default_factory=list)
    stale: list[Told] = field(default_factory=list)
    """Written, but what they hold is older than the disk, or unproved."""
    links: list[Told] = field(default_factory=list)
    """Links, which are never made."""
    ended: FileSystemFullError | None = None
    """What ended it before everything was taken; what was written until then is whole."""
    unlisted: int = 0
    troubles: tuple[Trouble, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Everything but links was written, as it was."""
        return self.ended is None and not (self.left_out or self.refused or self.partial or self.stale or self.troubles)

    def tell(self, into: list[Told], told: Told) -> None:
        """Add to a list, as long as it is not too long."""
        if len(into) < _MOST_TOLD:
            into.append(told)
        else:
            self.unlisted += 1
