"""The levels of a disk that is to be recovered: files as they are or were, and gaps where one is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from analyzer.linkage.mismatch import Verdict
from analyzer.recover.as_of.image import image_as_of
from analyzer.recover.as_of.tables import ranges_brought_back, with_anchored
from analyzer.recover.as_of.timeline import Moment
from analyzer.recover.rebuild.workspace import RebuiltImage
from vhdx.errors import ChainError
from vhdx.ranges import Range, Ranges


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


class Basis(Enum):
    """By what evidence a range of the disk has its status."""

    HELD = "held"
    """A file holds it, and every level above that file is there."""
    BELOW_GAP = "below gap"
    """A file holds it, below a level (`cause`) that is missing or lost the range."""
    MISSING = "missing"
    """A level that is missing (`cause`) may have held it, and nothing below does."""
    DAMAGED = "damaged"
    """The file of a level (`cause`) held it: past its end now, or by a table that cannot be believed.

    In a file that is taken as it was, also what was where something else is now.
    """
    UNREADABLE = "unreadable"
    """The medium failed where the file of a level (`cause`) holds it."""
    REBUILT = "rebuilt"
    """A file holds it by a structure of a level (`cause`) that was lost and made anew: likely so, not certain."""
    ORDER = "order"
    """A file holds it, and only names and times say that no other of the files (`cause` is uppermost) is newer."""
    CHOSEN = "chosen"
    """It is as the user chose (`--lost-bitmaps`), without evidence: a structure of a level (`cause`) was lost."""
    AS_OF = "as of"
    """A file (`cause`) is taken as it was: by its tables of then, with the data that is there now."""
    UNREACHED = "unreached"
    """As AS_OF, and the log does not say what the table of then had for it: the nearest copy is taken."""
    ANCHORED = "anchored"
    """An unmapped block of a file (`cause`): the data where its entry still points."""
    CONTRADICTED = "contradicted"
    """A file (`cause`) holds it, and what it is contradicts its place: encrypted, overwritten, or of another place."""
    RECOVERED = "recovered"
    """A file (`cause`) was written by an earlier recovery, and the map beside it has this as lost, or as stale."""
    LEFT_OUT = "left out"
    """It was not asked for: a later run with `--resume` reads it."""
    EARLIER = "earlier"
    """An earlier run read it; it is taken from that run's output."""


class Doubt(NamedTuple):
    """Ranges of the disk that are in doubt for one reason."""

    reason: Basis
    ranges: Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Which state of a file a level has, when it is not the present one."""

    number: int | None = None
    """The log entry after which the file was so; None: its tables are the present ones."""
    session: UUID | None = None
    """The log_guid of that entry."""
    goes_on: bool | None = None
    """Whether the log tells of all that was written to the tables since; None: nothing was asked of the log."""
    brought_back: int | None = None
    """Bytes of the disk of blocks that were let go, with their old data; None: they were not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level(RebuiltImage):
    """One level. A gap (no image) stands for one or more layers of which nothing can be read."""

    presence: Presence
    evidence: str
    """Why it has its place: a sentence without its full stop; for a gap, what is missing and how that is known."""
    path: Path | None = None
    """The file; for a gap, the one that cannot be read, else None."""
    identity: UUID | None = None
    """The data_write_guid that the level has, or that the level above asks for."""
    placed: Placed = Placed.BY_LINK
    doubts: tuple[Doubt, ...] = ()
    """Ranges of the disk that are likely, not certain; where several have one, the first counts."""
    past: Past | None = None
    """None: the file as it is."""
    verdict: Verdict | None = None
    """Of a gap in doubt: what its parent's content says of what became of it."""


class UnmappedBlocks(Enum):
    """What stands where a block was let go and its entry keeps the place of old data."""

    ABSENT = "absent"
    """What the block reads as: zeros, or the parent."""
    OLD_DATA = "old data"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which state of the uppermost file is wanted."""

    as_of: Moment | None = None
    """None: the present."""
    unmapped: UnmappedBlocks = UnmappedBlocks.ABSENT

    def __str__(self) -> str:
        """What tells a map of this view from one of another."""
        anchored = "anchored" if self.unmapped is UnmappedBlocks.OLD_DATA else ""
        return ", ".join(filter(None, ("" if self.as_of is None else f"as of {self.as_of}", anchored)))


PRESENT = View()


class NoUppermostError(ChainError):
    """The state of a file is wanted that cannot be read."""

    level: Level
    text = "no earlier state of the uppermost file can be told: {level.evidence}; leave it out"


def at_earlier_state(levels: Sequence[Level], view: View) -> tuple[Level, ...]:
    """Levels, base first, with the uppermost one as `view` has it.

    Raises NoUppermostError, NotLoggedError, TooMuchLoggedError, CorruptFileError.
    """
    if view == PRESENT:
        return tuple(levels)
    *lower, top = levels
    image, past, doubts = top.image, Past(), top.doubts
    if image is None:
        raise NoUppermostError(top)
    if view.as_of is not None:
        then = image_as_of(image, view.as_of)
        image = then.image
        past = Past(number=then.number, session=then.session, goes_on=then.is_last)
        # The log is the word of programs that use it; one that does not may have written in between.
        doubts = (Doubt(Basis.UNREACHED, then.doubts), *doubts, Doubt(Basis.AS_OF, Ranges.of([Range(0, image.size)])))
    if view.unmapped is UnmappedBlocks.OLD_DATA:
        image = with_anchored(image)
        back = ranges_brought_back(image)
        past = replace(past, brought_back=back.size)
        doubts = (Doubt(Basis.ANCHORED, back), *doubts)
    return (*lower, replace(top, image=image, past=past, doubts=doubts))
