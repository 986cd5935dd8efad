"""The log without a header that names it: found by its entries, and judged by whether it would change anything."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from analyzer.recover.rebuild.workspace import RebuildWorkspace
from analyzer.text import plural
from vhdx.errors import VhdxError
from vhdx.patched import visible
from vhdx.replay import Log, logged_patches, replayed
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB, NIL
from vhdx.structures.log import DATA_SECTOR, SIGNATURE

# Every known writer puts the log at 1 MiB; 4 leaves room for one that does not. Further on it is more likely the log
# of a disk that the guest stores; test_the_log_of_a_disk_that_the_guest_keeps_is_not_taken_for_the_files_own has one.
# MiB in which the log begins: every writer known puts it first, and a guest may keep disks with logs of their own.
_MOST_MIB = 4
# MiB of a log that are looked at.
_MOST_LENGTH = 64
# 256 MiB of pages. A log that would change more is not one that was merely left open.
_MOST_PAGES = 1 << 16


@dataclass(frozen=True, slots=True)
class Ring:
    """A stretch of whole MiB that holds log entries; bytes of the file."""

    start: int
    length: int

    def log(self, source: ByteSource) -> Log:
        """Its entries, of no session in particular."""
        return Log(source, self.start, self.length, NIL)


def find_ring(work: RebuildWorkspace) -> Ring | None:
    """The first stretch of MiB from 1 MiB up that holds a whole entry."""
    mib, end = 1, min(_MOST_MIB, work.view.size // MIB)
    while mib < end:
        length = _marked(work.view, mib, end)
        ring = Ring(mib * MIB, length * MIB)
        if length and ring.log(work.view).places:
            return ring
        mib += max(1, length)
    return None


def _marked(source: ByteSource, first: int, end: int) -> int:
    """How many MiB from `first` on hold the signatures of log sectors."""
    for mib in range(first, min(end, first + _MOST_LENGTH)):
        marks = np.frombuffer(read_at(source, mib * MIB, MIB), "S4")[:: LOG_SECTOR_SIZE // 4]
        if not ((marks == SIGNATURE) | (marks == DATA_SECTOR)).any():
            return mib - first
    return min(end, first + _MOST_LENGTH) - first


def unknown_session(work: RebuildWorkspace, ring: Ring) -> None:
    """Say what is known of a log whose header is lost: whether its newest session would change the file.

    A log that was closed has been applied, so that to apply it again changes nothing. One that would change something
    was live, or the file was damaged since: pages that differ are suspects.
    """
    work.log_was_live = True  # perhaps
    # Replaying is idempotent: a session that was closed is in the file already, and applying it changes nothing. So
    # pages that would change are the ones that are uncertain, and only these. What a later session wrote over them
    # cannot be told from damage.
    log = ring.log(work.view)
    session = replace(log, log_guid=newest_session(log))
    pages = dict(pages_changed_by(session, work.view)) if session.active else {}
    if pages:
        work.suspects |= pages
        what = plural(len(pages), "page")
        text = f"whether the log was live is unknown: its newest session would change {what} of 4 KiB"
        work.lost.append(f"{text}; the state without it is shown, and what the two disagree on is not known")
    else:
        work.lost.append("whether the log was live is unknown; its newest session is in the file already")


def newest_session(log: Log) -> UUID:
    """The log_guid of the entry with the greatest number; there must be an entry."""
    return max(log.headers.values(), key=lambda head: head.sequence_number).log_guid


def pages_changed_by(session: Log, source: ByteSource) -> Iterator[tuple[int, bytes]]:
    """Pages, by byte of the file, that replaying the session would change, as they would be then."""
    after, count = replayed(session), 0
    for piece in visible(tuple(logged_patches(session))):
        for at in range(piece.start, min(piece.end, source.size + MIB), LOG_SECTOR_SIZE):
            wanted = _page(after, at)
            if _page(source, at) != wanted and count < _MOST_PAGES:
                count += 1
                yield at, wanted


def _page(source: ByteSource, at: int) -> bytes:
    try:
        return read_at(source, at, LOG_SECTOR_SIZE)
    except VhdxError:
        return b""
