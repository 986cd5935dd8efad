"""The levels of a disk that is to be recovered: files that are there, and gaps where one is missing."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import UUID

from analyzer.recover.ranges import Range
from analyzer.salvage import Rebuilt
from vhdx.image import Image


class Presence(Enum):
    """Whether a level can be read."""

    PRESENT = "present"
    MISSING = "missing"
    """No file is there for it."""
    UNREADABLE = "unreadable"
    """Its file is there and does not open."""
    DOUBT = "doubt"
    """No file is known to be missing, but what is below is not, or no longer, what the level above was made on."""


class Placed(Enum):
    """What gives a level its place."""

    BY_LINK = "by link"
    """Identities that name one another, or that nothing else is left."""
    BY_TIME = "by time"
    """When its file was modified, or its name: weak evidence, which a copy may have lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level. A gap (no image) stands for one or more layers of which nothing can be read."""

    presence: Presence
    evidence: str
    """Why it has its place: a sentence without its full stop; for a gap, what is missing and how that is known."""
    image: Image | None = None
    path: Path | None = None
    """The file; for a gap, the one that cannot be read, else None."""
    identity: UUID | None = None
    """The data_write_guid that the level has, or that the level above asks for."""
    placed: Placed = Placed.BY_LINK
    rebuilt: tuple[Rebuilt, ...] = ()
    """What of the file's structures had to be made anew, by what evidence."""
    lost: tuple[str, ...] = ()
    """What of them nothing brings back, one sentence each."""
    doubted: tuple[Range, ...] = ()
    """Ranges of the disk that rest on what is likely, not certain."""
    guessed: tuple[Range, ...] = ()
    """Those that are as the caller chose, without evidence."""
