"""Reading from a medium that fails: in smaller and smaller pieces, and never twice what has failed."""

from collections.abc import Iterator
from threading import Lock

from vhdx.errors import InputOutputError, ShortReadError, VhdxError
from vhdx.lost import is_one_sector, read_what_can_be
from vhdx.ranges import NO_RANGES, GrowingRanges, Range, Ranges
from vhdx.source import ByteSource, Unread, close_source, extents_of, unread_of


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
        self.judged, self._judged_end = NO_RANGES, 0
        self.bad = GrowingRanges()
        self._lock, self._reading = Lock(), Lock()

    @property
    def unread(self) -> Unread | None:
        """See `unread_of`."""
        return unread_of(self.below)

    def extents(self) -> Iterator[Range]:
        """See `extents_of`: as the file system below tells; where that fails, all of it."""
        try:
            yield from extents_of(self.below)
        except (VhdxError, OSError):
            yield Range(0, self.size)

    def judge(self, part: Range) -> None:
        """Take this range into `judged`."""
        self.judged |= Ranges.of([part])
        self._judged_end = int(self.judged.end[-1])

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        # Blocks are mostly behind all tables, and are read in as many pieces as they have runs.
        if offset >= self._judged_end or not self.judged.touches(Range(offset, len(buffer))):
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
            with self._reading:  # one thread at a time: two on a failing medium only make it slower
                self.below.read_into(offset, buffer)
        except ShortReadError as error:
            self.end = min(self.end, max(offset, error.offset + error.got))
            raise
        except InputOutputError:
            if is_one_sector(Range.between(offset, end)):
                with self._lock:
                    self.bad.add(Range.between(offset, end))
            raise
