"""In which order the entries of a log were written, as far as that can be known.

Numbers order the entries of one session, and sessions whose numbers go on. They do not order sessions at large: Windows
begins each with a number drawn at random. What tells that a session is the last one: the file is as it left it, and
every other one is contradicted by the file, or was written over by this one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from analyzer.text import listed
from vhdx.errors import VhdxError
from vhdx.image import Image
from vhdx.ranges import GrowingRanges, Range, Ranges
from vhdx.replay import Log, candidates_of
from vhdx.source import read_if_possible
from vhdx.structures.log import HEAD_SIZE, parse_log_header

Moment = int | UUID
"""The number of a log entry, or a log_guid: the last entry of that session."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries whose numbers follow one another without a gap, oldest first, by their places in the log."""

    places: tuple[int, ...]
    first: int
    sessions: tuple[UUID, ...]
    """The log_guids of its entries, oldest first."""

    @property
    def last(self) -> int:
        """The number of the last entry."""
        return self.first + len(self.places) - 1

    def holds(self, number: int) -> bool:
        """Whether it has the entry with this number."""
        return self.first <= number <= self.last


@dataclass(frozen=True, slots=True)
class Timeline:
    """The stretches of a log, by number; `last`: after which no entry was written, None where nobody knows."""

    stretches: tuple[Stretch, ...]
    last: Stretch | None


def timeline_of(image: Image) -> Timeline:
    """The order of an image's log; raises InputOutputError, ShortReadError."""
    log = image.log
    places: Sequence[int] = log.places
    if image.header.log_is_live and log.active:  # what is behind its sequence never made the file what it is
        live, newest = log.session, log.session[log.active[-1]].sequence_number
        places = [at for at in places if at not in live or live[at].sequence_number <= newest]
    stretches = tuple(_stretches(log, places))
    return Timeline(stretches, _last(image, stretches))


def _stretches(log: Log, places: Sequence[int]) -> Iterator[Stretch]:
    """Entries joined while exactly one has the next number: where two have it, nobody knows which comes first."""
    by_number: dict[int, list[int]] = {}
    for at in places:
        by_number.setdefault(log.headers[at].sequence_number, []).append(at)
    chains: list[list[int]] = []
    previous: int | None = None
    for number in sorted(by_number):
        # Two entries of one number belong to two sessions; each continues some sequence, and nobody knows which.
        alone = len(by_number[number]) == 1
        if alone and number - 1 == previous:
            chains[-1] += by_number[number]
        else:
            chains += [[at] for at in by_number[number]]
        previous = number if alone else None
    for chain in chains:
        heads = [log.headers[at] for at in chain]
        yield Stretch(tuple(chain), heads[0].sequence_number, tuple(dict.fromkeys(head.log_guid for head in heads)))


def _last(image: Image, stretches: Sequence[Stretch]) -> Stretch | None:
    if image.header.log_is_live:
        if not image.log.active:  # it could not be replayed: the file is as nobody left it
            return None
        active = image.log.active[-1]
        return next(stretch for stretch in stretches if active in stretch.places)
    # Derivation: after the last session nothing was written, so the file has what its entries wrote last (it agrees).
    # An earlier session that agrees as well wrote pages that nobody has changed since; then one of the two must have
    # been written over in the ring by the other, which is the later. Where that is not so for one alone, or where a
    # damaged entry follows, nobody knows which was last, and nothing of the present may be concluded.
    # Limit: a program that writes tables without logging them is noticed only where it changed a page that the last
    # session wrote. test_a_session_that_the_file_contradicts_is_not_taken_for_the_last_one and
    # test_the_last_session_of_a_file_of_hyper_v_is_the_present hold both sides.
    log = image.log
    writing = (one for one in stretches if any(log.headers[at].descriptor_count for at in one.places))
    agreeing = [one for one in writing if _agrees(image, one)]
    winners = [one for one in agreeing if all(_wrote_over(log, one, two) for two in agreeing if two is not one)]
    return winners[0] if len(winners) == 1 and not _goes_on(log, winners[0]) else None


def _agrees(image: Image, stretch: Stretch) -> bool:
    """Whether the file has, of every page that the stretch wrote, the copy that it wrote last."""
    seen: set[int] = set()
    cleared = GrowingRanges()
    for placed in map(image.log.entry, reversed(stretch.places)):
        for write in reversed(list(placed.writes())):
            if write.data is None:
                cleared.add(Range(write.file_offset, write.length))
            elif write.file_offset not in seen and not cleared.touches(Range(write.file_offset, 1)):
                seen.add(write.file_offset)
                if read_if_possible(image.source, write.file_offset, len(write.data)) != write.data:
                    return False
    return True


def _wrote_over(log: Log, later: Stretch, earlier: Stretch) -> bool:
    """Whether an entry of one stretch stands where an entry of the other says that its session's tail stood."""
    # Every entry names the tail of its session: the oldest entry that was still needed. If another session's entry is
    # there now, it was written later. The tail is taken, not the entry itself, since those that are overwritten
    # cannot be read.
    held = Ranges.of(Range(at, log.headers[at].entry_length) for at in later.places)
    return held.touches_any(Range(tail, 1) for tail in {log.headers[at].tail for at in earlier.places})


def _goes_on(log: Log, stretch: Stretch) -> bool:
    """Whether the log has the remains of an entry of the same session that followed and cannot be read."""
    valid = set(log.places)
    broken = (parse_log_header(log.ring(at, HEAD_SIZE)) for at in candidates_of(log) if at not in valid)
    return any(head.log_guid in stretch.sessions and head.sequence_number > stretch.last for head in broken)


class NotLoggedError(VhdxError):
    """The log does not have the entry that was asked for, or has it twice."""

    exit_code = 2
    path: Path
    moment: Moment
    timeline: Timeline

    def __str__(self) -> str:
        reaches = listed(f"{one.first} to {one.last}" for one in self.timeline.stretches)
        has = f"its entries are {reaches}" if reaches else "it has no entries"
        return f"{self.path}: the log does not tell one state as of {self.moment}; {has} (`vhdx history` lists them)"


def find_moment(image: Image, timeline: Timeline, moment: Moment) -> tuple[Stretch, int]:
    """The one stretch that a moment belongs to, and the number of its entry; raises NotLoggedError."""
    if isinstance(moment, int):
        found = [(one, moment) for one in timeline.stretches if one.holds(moment)]
    else:
        heads = ((one, image.log.headers[at]) for one in timeline.stretches for at in one.places)
        last = {one: head.sequence_number for one, head in heads if head.log_guid == moment}
        found = list(last.items())
    if len(found) != 1:
        raise NotLoggedError(image.path, moment, timeline)
    return found[0]
