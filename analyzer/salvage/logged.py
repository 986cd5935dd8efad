"""What the log remembers: the newest image of each page that any of its entries, of any session, has written."""

from collections.abc import Mapping
from dataclasses import dataclass

from vhdx.errors import VhdxError
from vhdx.replay import Log

_MOST_PAGES = 1 << 15
"""Pages that are held at once: 128 MiB."""


@dataclass(frozen=True, slots=True)
class LoggedImage:
    """A page of 4 KiB as the log entry of this number wrote it."""

    content: bytes
    sequence_number: int


def newest_pages(log: Log, start: int = 0, end: int = 1 << 63) -> Mapping[int, LoggedImage]:
    """The newest logged image of each page from byte `start` to `end` of the file, by its place.

    Newest is the greatest sequence number, whichever session wrote it: sessions go on counting. A page that was
    cleared later is left out.
    """
    pages: dict[int, LoggedImage] = {}
    try:
        for at in sorted(log.places, key=lambda place: log.headers[place].sequence_number):
            _take(log, at, (start, end), pages)
    except VhdxError:
        return {}
    return pages


def _take(log: Log, at: int, span: tuple[int, int], pages: dict[int, LoggedImage]) -> None:
    placed = log.entry(at)
    for write in placed.entry.writes():
        offset, end = write.file_offset, write.file_offset + write.length
        if write.data is None:
            for page in [page for page in pages if offset <= page < end]:
                del pages[page]
        elif span[0] <= offset < span[1] and (offset in pages or len(pages) < _MOST_PAGES):
            pages[offset] = LoggedImage(write.data, placed.header.sequence_number)
