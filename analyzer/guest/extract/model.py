"""What is asked for, and what became of it."""

import stat
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from analyzer.guest.filesystems.record import FileKind, FileRecord, Include, Stream, Trouble, UnixDetails
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


class Form(Enum):
    """What files are written as."""

    FOLDER = "folder"
    """A folder: no links, no owners, names that are safe on every system."""
    KEEPING = "keeping"
    """A folder, with links, modes, owners, extended attributes and names as they are in the disk."""
    TAR = "tar"
    """A tar archive in the PAX format, with all of that."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file, and what else is kept of it where that is wanted: see UnixDetails."""

    record: FileRecord
    details: UnixDetails | None = None

    @property
    def mode(self) -> int:
        """Its permissions; those of everyday where its file system has none."""
        if self.details is None:
            return 0o755 if self.record.kind is FileKind.DIRECTORY else 0o644
        return self.details.mode & 0o7777

    @property
    def owner(self) -> tuple[int, int]:
        """User and group; root where its file system has none."""
        return (self.record.owner, self.record.group) if self.details else (0, 0)

    @property
    def attributes(self) -> tuple[tuple[str, bytes], ...]:
        """Its extended attributes."""
        return self.details.attributes if self.details else ()

    @property
    def type(self) -> int:
        """The kind of file in the bits of its mode; 0 where that is not known."""
        return stat.S_IFMT(self.details.mode) if self.details else 0


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
    form: Form = Form.FOLDER
    stream: BinaryIO | None = None
    """Where an archive goes that has no name: a pipe."""
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
    """Links that are not made."""
    links_made: int = 0
    hard_links: int = 0
    """Further names of files that have several."""
    special_files: int = 0
    """Devices and pipes."""
    attributes_left: list[Told] = field(default_factory=list)
    """Extended attributes that were to be kept and are not."""
    ended: FileSystemFullError | None = None
    """What ended it before everything was taken; what was written until then is whole."""
    unlisted: int = 0
    troubles: tuple[Trouble, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Everything but links was written, as it was."""
        lists = (self.left_out, self.refused, self.partial, self.stale, self.troubles, self.attributes_left)
        return self.ended is None and not any(lists)

    def tell(self, into: list[Told], told: Told) -> None:
        """Add to a list, as long as it is not too long."""
        if len(into) < _MOST_TOLD:
            into.append(told)
        else:
            self.unlisted += 1
