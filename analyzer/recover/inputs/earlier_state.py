"""The uppermost file of a recovery as it was: by its log, and with the old data of the blocks that it let go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from analyzer.recover.as_of.anchored import ranges_brought_back, with_anchored
from analyzer.recover.as_of.image import image_as_of
from analyzer.recover.as_of.log_position import Moment
from analyzer.recover.inputs.layers import Basis, Doubt, Level, Past
from vhdx.errors import ChainError
from vhdx.image import Image
from vhdx.ranges import Range, Ranges


class LetGo(Enum):
    """What stands where a block was let go and its entry keeps the place of old data."""

    ABSENT = "absent"
    """What the block reads as: zeros, or the parent."""
    OLD_DATA = "old data"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which state of the uppermost file is wanted."""

    as_of: Moment | None = None
    """None: the present."""
    let_go: LetGo = LetGo.ABSENT

    @property
    def is_present(self) -> bool:
        """The file is read as it is."""
        return self.as_of is None and self.let_go is LetGo.ABSENT

    def __str__(self) -> str:
        """What tells a map of this view from one of another."""
        parts = [] if self.as_of is None else [f"as of {self.as_of}"]
        return ", ".join([*parts, *(["anchored"] if self.let_go is LetGo.OLD_DATA else [])])


PRESENT = View()


class NoUppermostError(ChainError):
    """The state of a file is wanted that cannot be read."""

    level: Level
    text = "no earlier state of the uppermost file can be told: {level.evidence}; leave it out"


def aged(levels: Sequence[Level], view: View) -> tuple[Level, ...]:
    """Levels, base first, with the uppermost one as `view` has it.

    Raises NoUppermostError, NotLoggedError, TooMuchLoggedError, CorruptFileError.
    """
    if view.is_present:
        return tuple(levels)
    *lower, top = levels
    if top.image is None:
        raise NoUppermostError(top)
    return (*lower, _aged(top, top.image, view))


def _aged(level: Level, image: Image, view: View) -> Level:
    past, doubts = Past(), level.doubts
    if view.as_of is not None:
        then = image_as_of(image, view.as_of)
        image = then.image
        past = Past(number=then.number, session=then.session, goes_on=then.is_last)
        # The log is the word of programs that use it; one that does not may have written in between.
        doubts = (Doubt(Basis.UNREACHED, then.doubts), *doubts, Doubt(Basis.AS_OF, Ranges.of([Range(0, image.size)])))
    if view.let_go is LetGo.OLD_DATA:
        image = with_anchored(image)
        back = ranges_brought_back(image)
        past = replace(past, brought_back=back.size)
        doubts = (Doubt(Basis.ANCHORED, back), *doubts)
    return replace(level, image=image, past=past, doubts=doubts)
