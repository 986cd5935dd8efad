"""What is served under one name: a disk, what is known of it, and that it still is what it was."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from analyzer.nbd.numbers import MOST_PAYLOAD, Transmission
from analyzer.nbd.options import BlockSizes
from analyzer.serve.reading import CarefulReader
from analyzer.serve.scratch import Scratch
from analyzer.serve.views import View, WritableView
from analyzer.text import size
from vhdx.disk import DiskSource
from vhdx.errors import VhdxError
from vhdx.plans import Plans
from vhdx.ranges import NO_RANGES, Ranges

# Seconds for which a look at the files counts: at 4 KiB a request it would cost as much as reading.
_PERIOD = 0.2
_PREFERRED = 4096
# Views that wait for clients, as many as one program has connections: each can hold 16 MiB of tables.
_MOST_WAITING = 4
_WRITABLE = Transmission.SEND_FLUSH | Transmission.SEND_FUA | Transmission.SEND_TRIM | Transmission.SEND_WRITE_ZEROES


class Guard:
    """Whether a disk's files are as they were; once they are not, that stays so. From any thread."""

    def __init__(self, disk: DiskSource, period: float = _PERIOD, now: Callable[[], float] = time.monotonic) -> None:
        """Look at the files of `disk`, at most every `period` seconds by the clock `now`."""
        self._disk, self._period, self._now = disk, period, now
        self._next = now()
        self.error: VhdxError | None = None

    def require_unchanged(self) -> None:
        """Raise what the last look found, SourceChangedError or InputOutputError."""
        if self.error is None and self._now() >= self._next:
            self._look()
        if self.error is not None:
            raise self.error

    def _look(self) -> None:
        try:
            self._disk.require_unchanged()
        except VhdxError as error:
            self.error = error
        self._next = self._now() + self._period


@dataclass(frozen=True, eq=False)
class Export:
    """A disk under a name; `stale` are ranges of an older or unproved state, as the map of a recovery has them."""

    name: str
    disk: DiskSource
    title: str
    """What it is a disk of: the path of a leaf, or REPO::POINT."""
    stale: Ranges = NO_RANGES
    scratch: Scratch | None = None
    """What takes in what clients write; None for a disk that is read alone."""
    guard: Guard = field(init=False)
    plans: Plans = field(init=False)
    """What the disk is made of where it was read: made once, for all clients."""
    asked: Iterator[int] = field(init=False, default_factory=count)
    """How often clients were looked after, for what repays itself only when there is enough of that."""
    _waiting: deque[View] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        """Begin to watch the disk."""
        object.__setattr__(self, "guard", Guard(self.disk))
        object.__setattr__(self, "plans", Plans(self.disk))

    @property
    def description(self) -> str:
        """What it is, for people."""
        return f"{self.title}, {size(self.disk.size)}"

    @property
    def flags(self) -> Transmission:
        """What a client may do with it."""
        # Several clients at a time: they write to one scratch, and a flush is one of all that was written.
        both = Transmission.HAS_FLAGS | Transmission.SEND_DF | Transmission.CAN_MULTI_CONN
        return both | (_WRITABLE if self.scratch else Transmission.READ_ONLY)

    @contextmanager
    def viewed(self) -> Iterator[View]:
        """The disk as one client reads it, and writes where it may.

        Views wait for the next client on a stack, the warmest on top: it knows where single places were looked up.
        """
        try:
            view = self._waiting.pop()
        except IndexError:
            view = self._new_view()
        try:
            yield view
        finally:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(view)

    def _new_view(self) -> View:
        if self.scratch is None:
            return CarefulReader(self.disk, self.disk.sector_size, self.plans)
        return WritableView(self.disk, self.scratch, self.plans)

    @property
    def sizes(self) -> BlockSizes:
        """What requests are multiples of: the disk's sectors, so that a system that takes them over sees a 4Kn disk."""
        sector = self.disk.sector_size
        # A raw image may end within a sector; its last bytes could not be asked for then.
        least = sector if self.disk.size % sector == 0 else 1
        return BlockSizes(least, max(least, _PREFERRED), MOST_PAYLOAD)
