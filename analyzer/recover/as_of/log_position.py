"""Which entry of a log is meant: by its number, or by its session, as `vhdx history` lists them."""

from pathlib import Path
from uuid import UUID

from analyzer.recover.as_of.timeline import Stretch, Timeline
from vhdx.errors import VhdxError
from vhdx.image import Image

Moment = int | UUID
"""The number of a log entry, or a log_guid: the last entry of that session."""
# A sentence that lists what there is; `vhdx history` has the rest.
_MOST_NAMED = 8


class NotLoggedError(VhdxError):
    """The log does not have the entry that was asked for, or has it twice."""

    exit_code = 2
    path: Path
    moment: Moment
    timeline: Timeline

    def __str__(self) -> str:
        reaches = [f"{one.first} to {one.last}" for one in self.timeline.stretches[:_MOST_NAMED]]
        has = f"its entries are {', '.join(reaches)}" if reaches else "it has no entries"
        return f"{self.path}: the log does not tell one state as of {self.moment}; {has} (`vhdx history` lists them)"


def find_moment(image: Image, timeline: Timeline, moment: Moment) -> tuple[Stretch, int]:
    """The one stretch that a moment belongs to, and the number of its entry; raises NotLoggedError."""
    if isinstance(moment, int):
        found = [(one, moment) for one in timeline.stretches if one.holds(moment)]
    else:
        found = [(one, _last_of(image, one, moment)) for one in timeline.stretches if moment in one.sessions]
    if len(found) != 1:
        raise NotLoggedError(image.path, moment, timeline)
    return found[0]


def _last_of(image: Image, stretch: Stretch, session: UUID) -> int:
    heads = (image.log.headers[at] for at in stretch.places)
    return max(head.sequence_number for head in heads if head.log_guid == session)
