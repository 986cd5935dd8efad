"""New entries of a file's log ([MS-VHDX] 2.3.1): what makes several pages change together, or not at all."""

from collections.abc import Sequence
from uuid import UUID

from vhdx.edit.medium import Medium
from vhdx.ranges import Range
from vhdx.structures.constants import LOG_SECTOR_SIZE
from vhdx.structures.log import SIGNATURE, LogHeader, build_entry

Pages = Sequence[tuple[int, bytes]]
"""Places of 4 KiB pages of the file, and what they become."""

MOST_IN_ENTRY = 62
"""Pages of one entry, which is valid as a whole or not at all. With its front it takes 63 sectors of the log."""
# The last group must stay whole while the next one is written, in the least log there is: 4 x 63 of its 256 sectors.
MOST_AT_ONCE = 2 * MOST_IN_ENTRY
"""Pages that are logged before they are applied."""


class LogWriter:
    """Writes the entries of one session into the ring, from its start."""

    def __init__(self, medium: Medium, place: Range, log_guid: UUID) -> None:
        """Nothing is written yet; `place` is the log's, 1 MiB or more."""
        self._medium, self._place, self._guid = medium, place, log_guid
        self._next, self._sequence = 0, 1

    def begin(self) -> None:
        """Write an entry that changes nothing, durably: a header may name the session from now on.

        A live log without a valid entry is a damaged one. vhdmp takes an entry without descriptors.
        """
        self._put((), tail=0)
        self._medium.flush()

    def cut(self, size: int) -> None:
        """Write an entry that changes nothing, durably: the file may be cut to `size` bytes from then on.

        The entries before it name the size that the file had, and are not replayed any more. As for `write`.
        """
        self._put((), self._next, size)
        self._medium.flush()

    def write(self, pages: Pages) -> None:
        """Log at most MOST_AT_ONCE pages, durably. All that was logged before must be applied, durably.

        Those of an entry are replayed together or not at all, and those of a later entry only with the earlier ones.
        """
        tail = self._next  # what came before is in its place: replay begins with this
        for first in range(0, len(pages), MOST_IN_ENTRY):
            self._put(pages[first : first + MOST_IN_ENTRY], tail)
        self._medium.flush()

    def _put(self, pages: Pages, tail: int, most: int | None = None) -> None:
        size = self._medium.size if most is None else most
        # Never longer than what a crash leaves: what is new of the file was flushed before its pages are logged.
        header = LogHeader(SIGNATURE, 0, 0, tail, self._sequence, 0, 0, self._guid, size, size)
        entry = build_entry(header, pages)
        straight = min(len(entry), self._place.length - self._next)
        self._medium.write_at(self._place.start + self._next, entry[:straight])
        if straight < len(entry):
            self._medium.write_at(self._place.start, entry[straight:])
        self._next = (self._next + len(entry)) % self._place.length
        self._sequence += 1


def page_of(offset: int) -> int:
    """The place of the page that a byte of the file is in."""
    return offset // LOG_SECTOR_SIZE * LOG_SECTOR_SIZE
