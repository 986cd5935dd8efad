"""What a reader puts where the bytes of a disk cannot be known: one policy for each way to go on, and RAISE for none.

A policy is handed to `vhdx.reader.Reader`. It hears of what the tables have as LOST, of what only a parent knows, and,
where it says so, of every sector that a file fails to give.
"""

from collections.abc import Callable

import numpy as np

from vhdx.errors import InputOutputError, LostDataError, NotRescuedError, ShortReadError, VhdxError
from vhdx.ranges import NO_RANGES, Range, Ranges

UNIT = 512
"""Bytes of a file below which reading is not tried in smaller pieces: a sector of the medium."""
ReadInto = Callable[[int, memoryview], None]
"""What fills a buffer from an offset, as `ByteSource.read_into` does."""


class LostPolicy:
    """What bytes that cannot be known read as. This one raises the error that says why they cannot."""

    unit: int | None = None
    """Bytes of the disk that are lost together where a read fails, and only they; None: the error of the read counts.

    Who only wants to know that it fails should not try a failing medium again and again: that costs minutes.
    """

    def fill(self, start: int, part: memoryview, error: VhdxError) -> None:  # noqa: ARG002 - what the others need
        """Fill `part`, the disk's bytes from `start`, which `error` keeps from being known; or raise `error`."""
        raise error


RAISE = LostPolicy()


class FillZeros(LostPolicy):
    """Zeros for what is LOST; any other error is raised: what fails to be read today may be read tomorrow."""

    def fill(self, start: int, part: memoryview, error: VhdxError) -> None:
        """See LostPolicy."""
        if not isinstance(error, LostDataError):
            super().fill(start, part, error)
        part[:] = bytes(len(part))


class NoteLost(LostPolicy):
    """Zeros for everything that cannot be read, which is noted."""

    def __init__(self, unit: int = UNIT) -> None:
        """Take `unit` bytes of the disk, its sector, as lost together."""
        self.unit, self._missed = unit, list[Range]()

    def fill(self, start: int, part: memoryview, error: VhdxError) -> None:  # noqa: ARG002 - whatever it is
        """See LostPolicy."""
        part[:] = bytes(len(part))
        self._missed.append(Range(start, len(part)))

    def take_missed(self) -> list[Range]:
        """The ranges that were filled since this was asked last."""
        missed, self._missed = self._missed, []
        return missed


def fill_around_failures(
    lost: LostPolicy,
    read: ReadInto,
    offset: int,
    start: int,
    part: memoryview,
    error: InputOutputError | ShortReadError,
) -> None:
    """Fill `part`, the disk's bytes from `start`, from `offset` as far as possible, and by the policy where that fails.

    `error` is what reading all of it at once raised; it is raised again where the policy does not go around failures.
    """
    if lost.unit is None:
        raise error
    failed = read_what_can_be(read, offset, part)
    shift, unit = start - offset, lost.unit
    lower = np.maximum((failed.start + shift) // unit * unit, start)
    upper = np.minimum(-(-(failed.end + shift) // unit) * unit, start + len(part))
    for one in Ranges.between(lower, upper):
        lost.fill(one.start, part[one.start - start : one.end - start], error)


def read_what_can_be(read: ReadInto, offset: int, buffer: memoryview) -> Ranges:
    """Fill the buffer as far as possible; returns the ranges of the source that could not be read.

    A read that fails is repeated in halves down to UNIT. One that comes back short shows where the source ends: what
    follows is not tried. What could not be read is left in the buffer as it was.
    """
    waiting = [Range(offset, len(buffer))]
    failed: list[Range] = []
    while waiting:
        part = waiting.pop()
        try:
            read(part.start, buffer[part.start - offset : part.end - offset])
        except (InputOutputError, ShortReadError) as error:
            again, given_up = _after(error, part)
            waiting += again
            failed += given_up
    return Ranges.of(failed) if failed else NO_RANGES


def is_one_sector(part: Range) -> bool:
    """Whether all of a range lies in one sector of the file."""
    return part.start // UNIT == (part.end - 1) // UNIT


def _after(error: InputOutputError | ShortReadError, part: Range) -> tuple[list[Range], list[Range]]:
    """What to try next of a range that failed, the first one last, and what to give up."""
    start, end = part.start, part.end
    # A short read is no failing medium: the file ends there, and halving would only find the same end again.
    if isinstance(error, ShortReadError):
        edge = start + max(0, min(end, error.offset + error.got) - start) // UNIT * UNIT
        if start < edge < end:
            return [Range.between(start, edge)], [Range.between(edge, end)]
        return [], [part]
    if isinstance(error, NotRescuedError):
        again = Ranges.of([part]) - Ranges.of([Range(error.start, error.length)])
        return list(again)[::-1], [Range.between(max(start, error.start), min(end, error.start + error.length))]
    if is_one_sector(part):
        return [], [part]
    # Halves find one bad sector of n with about 2 log2 n reads instead of n. Sectors are those of the file, not of
    # the buffer, since it is the medium that loses them whole.
    middle = (start + end) // 2 // UNIT * UNIT
    middle = middle if start < middle else min(end - 1, (start // UNIT + 1) * UNIT)
    return [Range.between(middle, end), Range.between(start, middle)], []
