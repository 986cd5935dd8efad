"""What the log remembers: the newest image of each page that any of its entries, of any session, has written."""

from collections.abc import Mapping
from dataclasses import dataclass

from vhdx.errors import VhdxError
from vhdx.replay import Log

# Pages that are held at once: 128 MiB.
_MOST_PAGES = 1 << 15
# A log is given up whose entries clear so much that to follow them would take minutes.
_MOST_STEPS = 1 << 24


@dataclass(frozen=True, slots=True)
class LoggedImage:
    """A page of 4 KiB as the log entry of this number wrote it."""

    content: bytes
    sequence_number: int


def newest_pages(log: Log, start: int = 0, end: int = 1 << 63) -> Mapping[int, LoggedImage]:
    """The newest logged image of each page from byte `start` to `end` of the file, by its place.

    Newest is the greatest sequence number, whichever session wrote it: sessions go on counting. A page that was
    cleared later is left out: an older copy says nothing. Raises what reading the log raises.
    """
    # Numbers order the entries of one session. Windows begins each session at a random number, so between sessions
    # the greatest number is only likely to be the newest. That is why nothing restored from here is called certain
    # unless all else of the page agrees with the copy; test_a_sound_table_is_left_alone and
    # test_the_whole_matrix_says_nothing_wrong.
    pages: dict[int, LoggedImage] = {}
    steps = 0
    for at in sorted(log.places, key=lambda place: log.headers[place].sequence_number):
        placed = log.entry(at)
        for write in placed.entry.writes():
            if write.data is None:
                steps += len(pages)
                for page in [page for page in pages if write.file_offset <= page < write.file_offset + write.length]:
                    del pages[page]
            elif start <= write.file_offset < end and (write.file_offset in pages or len(pages) < _MOST_PAGES):
                pages[write.file_offset] = LoggedImage(write.data, placed.header.sequence_number)
        if steps > _MOST_STEPS:
            return {}
    return pages


def readable_pages(log: Log, start: int = 0, end: int = 1 << 63) -> Mapping[int, LoggedImage]:
    """As `newest_pages`; none where the medium fails in the log."""
    try:
        return newest_pages(log, start, end)
    except VhdxError:
        return {}
