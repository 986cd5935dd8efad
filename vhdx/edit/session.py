"""One session of changes to a file ([MS-VHDX] 2.2.2, 2.3): begun, committed step by step, and ended.

Payload is written at once, where nothing shows it yet or where what it writes over does not matter. Structures are
staged as pages, and a commit makes them durable: first the payload, then the log, then the pages in their places. So a
crash at any moment leaves a file that is the last commit's to everybody who replays logs.
"""

from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from uuid import UUID

from vhdx.edit.headers import Headers
from vhdx.edit.log_writer import MOST_AT_ONCE, LogWriter, page_of
from vhdx.edit.medium import Medium
from vhdx.errors import OutputError, VhdxError
from vhdx.identities import Identities, random_identities
from vhdx.ranges import Range
from vhdx.source import Closing, read_at
from vhdx.structures.constants import LOG_SECTOR_SIZE, NIL
from vhdx.structures.header import Header


class Order(IntEnum):
    """In which order staged pages are logged: a crash may leave the first ones of a commit alone."""

    BITMAP = 0
    """Before the entry that has the bits looked at."""
    TABLE = 1
    METADATA = 2
    """Regions too: what says where tables are, and how large the disk is."""


class Session(Closing):
    """A file that is being changed, and what it reads as with what is staged. A `with` statement abandons the rest."""

    def __init__(
        self, medium: Medium, *, data_write_guid: UUID | None = None, identities: Identities = random_identities
    ) -> None:
        """Begin: the file gets a new file_write_guid, the data_write_guid that is given, and a live log.

        Raises CorruptFileError for a file without a valid header, OutputError for one with a live log or none.
        """
        self.medium = medium
        self._headers = Headers(medium)
        header = self._headers.current
        _require_closed_log(header, medium.path)
        self._staged: dict[int, tuple[Order, bytearray]] = {}
        self._flushed_size = medium.size
        self._is_torn = False
        log_guid = identities("log_guid")
        self._log = LogWriter(medium, Range(header.log_offset, header.log_length), log_guid)
        self._log.begin()
        changes = {"data_write_guid": data_write_guid} if data_write_guid else {}
        self._headers.update(log_guid=log_guid, file_write_guid=identities("file_write_guid"), **changes)

    @property
    def path(self) -> Path:
        """See ByteSource."""
        return self.medium.path

    @property
    def size(self) -> int:
        """See ByteSource."""
        return self.medium.size

    @property
    def staged(self) -> int:
        """Pages that the next commit makes durable."""
        return len(self._staged)

    def staged_orders(self) -> set[Order]:
        """Which kinds of structures the next commit changes."""
        return {order for order, _ in self._staged.values()}

    @property
    def header(self) -> Header:
        """The current header."""
        return self._headers.current

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource: the file as it will be after the next commit."""
        self.medium.read_into(offset, buffer)
        end = offset + len(buffer)
        for place in self._staged_within(offset, end):
            page = self._staged[place][1]
            start, stop = max(place, offset), min(place + LOG_SECTOR_SIZE, end)
            buffer[start - offset : stop - offset] = page[start - place : stop - place]

    def _staged_within(self, start: int, end: int) -> Iterator[int]:
        first, last = page_of(start), page_of(end - 1) + LOG_SECTOR_SIZE
        if (last - first) // LOG_SECTOR_SIZE > len(self._staged):
            yield from (place for place in self._staged if first <= place < last)
        else:
            yield from (place for place in range(first, last, LOG_SECTOR_SIZE) if place in self._staged)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write payload, or a structure that nothing leads to yet; durable with the next commit."""
        self.medium.write_at(offset, data)

    def stage(self, offset: int, data: bytes, order: Order) -> None:
        """Change a structure with the next commit; `data` may be of any length and place."""
        at, end = offset, offset + len(data)
        while at < end:
            place = page_of(at)
            stop = min(end, place + LOG_SECTOR_SIZE)
            self._stage_within(place, at - place, data[at - offset : stop - offset], order)
            at = stop

    def _stage_within(self, place: int, inside: int, data: bytes, order: Order) -> None:
        if place not in self._staged:
            page = read_at(self.medium, place, LOG_SECTOR_SIZE)
            if page[inside : inside + len(data)] == data:
                return
            self._staged[place] = order, bytearray(page)
        self._staged[place][1][inside : inside + len(data)] = data

    def grow(self, size: int) -> None:
        """Make the file at least so long, what is new as zeros."""
        if self.medium.size < size:
            self.medium.set_size(size)

    def commit(self) -> None:
        """Make payload and what is staged durable. Of more pages than one entry takes a crash may leave the first ones.

        Raises what the medium raises; then the file is as it was after the commit before, and the session is over.
        """
        self.medium.flush()  # payload, before anything leads to it; and what the commit before put in its place
        pages = sorted((order, place, bytes(page)) for place, (order, page) in self._staged.items())
        for first in range(0, len(pages), MOST_AT_ONCE):
            self._is_torn = True
            some = [(place, page) for _, place, page in pages[first : first + MOST_AT_ONCE]]
            self._log.write(some)
            for place, page in some:
                self.medium.write_at(place, page)
            if first + MOST_AT_ONCE < len(pages):
                self.medium.flush()
            self._is_torn = False
        self._staged.clear()
        self._flushed_size = self.medium.size

    def end(self, size: int | None = None) -> None:
        """Commit what is staged, cut the file to `size` bytes where it is longer, and close the log.

        It is cut first: what is behind would be taken for data without an owner as soon as the log is closed.
        """
        self.commit()
        self.medium.flush()
        if size is not None and size < self.medium.size:
            self._log.cut(size)
            self.medium.set_size(size)
            self.medium.flush()
        self._close_log()

    def forget(self) -> bool:
        """Forget what is staged; False in the midst of a commit, where only replay knows how far it came."""
        self._staged.clear()
        return not self._is_torn

    def abandon(self) -> None:
        """Forget what is staged, and close the log where that can be.

        Else it stays live: whoever opens the file next replays it.
        """
        if not self.forget():
            return
        with suppress(VhdxError):
            self.medium.flush()
            self._close_log()
            if self.medium.size > self._flushed_size:  # room for blocks that nothing leads to
                self.medium.set_size(self._flushed_size)
                self.medium.flush()

    def _close_log(self) -> None:
        if self._headers.current.log_is_live:
            self._headers.update(log_guid=NIL)

    def close(self) -> None:
        """See `abandon`; nothing happens to a session that has ended. The medium stays open."""
        if self._headers.current.log_is_live:
            self.abandon()


def _require_closed_log(header: Header, path: Path) -> None:
    if header.log_is_live:
        advice = f"apply it first with `vhdx repair {path} --in-place`"
        raise OutputError(path, "its log holds changes that were not applied", advice)
    if not header.log_length:
        raise OutputError(path, "it has no log", "write a new file instead (`vhdx convert`)")
