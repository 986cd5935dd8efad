"""Bytes of a served disk, with what of them cannot be known and why, to the sector."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analyzer.serve.spans import Read, Span, spans_of
from vhdx.errors import VhdxError
from vhdx.lost import LostPolicy
from vhdx.plans import GRANULE, Plan, Plans, RunSource
from vhdx.ranges import Range
from vhdx.reader import Reader
from vhdx.runs import Kind, Run

# A chunk of a backup or a file of another machine fails as a whole; it is asked for in pieces of so many bytes.
_GRAIN = 64 << 10


class Missing(NamedTuple):
    """A range of the disk that cannot be known, and the sentence that says why."""

    range: Range
    reason: str


class _Note(LostPolicy):
    """Zeros for what cannot be known, which is noted with its reason: no client gets to see them."""

    def __init__(self, unit: int) -> None:
        self.unit, self._missing = unit, list[Missing]()

    def fill(self, start: int, part: memoryview, error: VhdxError) -> None:
        part[:] = bytes(len(part))
        self._missing.append(Missing(Range(start, len(part)), str(error)))

    def take(self) -> Sequence[Missing]:
        if not self._missing:
            return ()
        taken, self._missing = self._missing, []
        return taken


class CarefulReader:
    """Reads what can be known. Not to be shared between threads."""

    def __init__(self, disk: RunSource, sector_size: int, plans: Plans | None = None) -> None:
        """Read from `disk`, which loses whole sectors; `plans` as Reader has them."""
        self._note = _Note(sector_size)
        self._reader = Reader(disk, self._note, plans)
        self.holes_are_zeros = disk.error_for(Run(0, 1, Kind.HOLE, 0, 0)) is None
        """Whether what is in no layer is known."""

    def read_into(self, start: int, buffer: memoryview) -> Sequence[Missing]:
        """Fill the buffer from byte `start` of the disk; returns what of it is unknown, sorted and disjoint."""
        try:
            self._reader.read_into(start, buffer)
        except VhdxError as error:
            self._note.take()
            return list(self._in_pieces(start, buffer, error))
        return self._note.take()

    def is_plain(self, _start: int, _end: int) -> bool:
        """Whether a range is what the disk's plans say of it."""
        return True

    def spans(self, start: int, end: int, can_send: Sequence[bool]) -> Iterator[Span]:
        """How each part of a range reaches a client; `can_send` says of each layer whether its bytes can be sent."""
        position = start
        while position < end:
            upto = min(end, (position // GRANULE + 1) * GRANULE)
            plan = self._plan(position, upto - position)
            if plan is None:
                yield Read(position, upto)
            else:
                yield from spans_of(plan, position, upto, can_send, holes_are_zeros=self.holes_are_zeros)
            position = upto

    def _plan(self, start: int, length: int) -> Plan | None:
        try:
            return self._reader.plan_for(start, length)
        except VhdxError:  # reading says which part of it cannot be known
            return None

    def _in_pieces(self, start: int, buffer: memoryview, error: VhdxError) -> Iterator[Missing]:
        """Read again by halves; what is too short for that is unknown."""
        if len(buffer) <= _GRAIN:
            yield Missing(Range(start, len(buffer)), str(error))
            return
        middle = max(_GRAIN, len(buffer) // 2 // _GRAIN * _GRAIN)
        yield from self.read_into(start, buffer[:middle])
        yield from self.read_into(start + middle, buffer[middle:])
