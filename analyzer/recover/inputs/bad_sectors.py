"""Reading from a medium that fails: in smaller and smaller pieces, and never twice what has failed."""

from collections.abc import Callable, Iterator
from threading import Lock

from vhdx.errors import InputOutputError, ShortReadError, VhdxError
from vhdx.ranges import NO_RANGES, GrowingRanges, Range, Ranges
from vhdx.source import ByteSource, close_source, extents_of

UNIT = 512
"""Bytes of a file below which reading is not tried in smaller pieces: a sector of the medium."""
ReadInto = Callable[[int, memoryview], None]
"""What fills a buffer from an offset, as `ByteSource.read_into` does."""


class CarefulSource:
    """A source that remembers, sector by sector, what could not be read, and does not ask for it again.

    Ranges in `judged` hold what is believed only after it was judged (headers, region tables, block table): a sector
    of them that cannot be read counts as 0xFF, which is valid nowhere. Everywhere else the error is raised.
    """

    def __init__(self, below: ByteSource) -> None:
        """Read from `below`."""
        self.below, self.path, self.size = below, below.path, below.size
        self.end = self.size
        """Where the file was found to end; less than `size` when it was cut since it was opened."""
        self.judged = NO_RANGES
        self.bad = GrowingRanges()
        self._lock = Lock()

    def extents(self) -> Iterator[Range]:
        """See `extents_of`: as the file system below tells; where that fails, all of it."""
        try:
            yield from extents_of(self.below)
        except (VhdxError, OSError):
            yield Range(0, self.size)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        if not self.judged.touches(Range(offset, len(buffer))):
            self._read(offset, buffer)
            return
        for lost in read_what_can_be(self._read, offset, buffer):
            if not self.judged.covers(lost):
                raise InputOutputError(self.path, "read", "it could not be read before", lost.start)
            buffer[lost.start - offset : lost.end - offset] = b"\xff" * lost.length

    def close(self) -> None:
        """Close the file."""
        close_source(self.below)

    def _read(self, offset: int, buffer: memoryview) -> None:
        end = offset + len(buffer)
        if end > self.end:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.end - offset))
        if self.bad.touches(Range.between(offset, end)):
            raise InputOutputError(self.path, "read", "it could not be read before", offset)
        try:
            self.below.read_into(offset, buffer)
        except ShortReadError as error:
            self.end = min(self.end, max(offset, error.offset + error.got))
            raise
        except InputOutputError:
            if _is_one_sector(offset, end):
                self._note(Range.between(offset, end))
            raise

    def _note(self, part: Range) -> None:
        with self._lock:
            self.bad.add(part)


def read_what_can_be(read: ReadInto, offset: int, buffer: memoryview) -> Ranges:
    """Fill the buffer as far as possible; returns the ranges of the source that could not be read.

    A read that fails is repeated in halves down to UNIT. One that comes back short tells where the source ends: what
    follows is not tried. What could not be read is left in the buffer as it was.
    """
    waiting = [Range(offset, len(buffer))]
    lost: list[Range] = []
    while waiting:
        part = waiting.pop()
        try:
            read(part.start, buffer[part.start - offset : part.end - offset])
        except (InputOutputError, ShortReadError) as error:
            again, given_up = _after(error, part)
            waiting += again
            lost += given_up
    return Ranges.of(lost) if lost else NO_RANGES


def _after(error: InputOutputError | ShortReadError, part: Range) -> tuple[list[Range], list[Range]]:
    """What to try next of a range that failed, the first one last, and what to give up."""
    start, end = part.start, part.end
    if isinstance(error, ShortReadError):
        edge = start + max(0, min(end, error.offset + error.got) - start) // UNIT * UNIT
        return [Range.between(start, edge)] if start < edge < end else [], [
            Range.between(edge if edge < end else start, end)
        ]
    if _is_one_sector(start, end):
        return [], [part]
    middle = _middle(start, end)
    return [Range.between(middle, end), Range.between(start, middle)], []


def _is_one_sector(start: int, end: int) -> bool:
    """Whether all of a range lies in one sector of the file."""
    return start // UNIT == (end - 1) // UNIT


def _middle(start: int, end: int) -> int:
    """Half-way, at the edge of a sector of the file."""
    middle = (start + end) // 2 // UNIT * UNIT
    return middle if start < middle < end else min(end - 1, (start // UNIT + 1) * UNIT)
