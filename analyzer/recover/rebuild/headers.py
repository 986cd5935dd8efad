"""The identifier, the headers and the log: found, applied or closed, so that all later steps see the file as it was."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import numpy as np

from analyzer.recover.rebuild.workspace import Certainty, RebuildWorkspace
from analyzer.repair.structures import fix_headers
from analyzer.text import plural
from vhdx.patched import visible
from vhdx.replay import Log, logged_patches, replayed
from vhdx.source import ByteSource, read_at, read_if_possible
from vhdx.structures.constants import HEADER_OFFSETS, LOG_SECTOR_SIZE, MIB, NIL
from vhdx.structures.header import SIGNATURE as HEADER
from vhdx.structures.header import Header, build_header
from vhdx.structures.identifier import SIGNATURE as IDENTIFIER
from vhdx.structures.identifier import Identifier, build_identifier
from vhdx.structures.log import DATA_SECTOR, SIGNATURE

# Every known writer puts the log at 1 MiB; 4 leaves room for one that does not. Further on it is more likely the log
# of a disk that the guest stores; test_the_log_of_a_disk_that_the_guest_keeps_is_not_taken_for_the_files_own has one.
# MiB in which the log begins: every writer known puts it first, and a guest may keep disks with logs of their own.
_MOST_MIB = 4
# MiB of a log that are looked at.
_MOST_LENGTH = 64
_BLANK = Header(HEADER, 0, 1, NIL, NIL, NIL, 0, 1, 0, 0)
# 256 MiB of pages. A log that would change more is not one that was merely left open.
_MOST_PAGES = 1 << 16


def find_log(work: RebuildWorkspace) -> Log | None:
    """The first stretch of MiB from 1 MiB up that holds a whole entry, as a log of no session in particular."""
    mib, end = 1, min(_MOST_MIB, work.view.size // MIB)
    while mib < end:
        length = _marked(work.view, mib, end)
        log = Log(work.view, mib * MIB, length * MIB, NIL)
        if length and log.places:
            return log
        mib += max(1, length)
    return None


def _marked(source: ByteSource, first: int, end: int) -> int:
    """How many MiB from `first` on hold the signatures of log sectors."""
    for mib in range(first, min(end, first + _MOST_LENGTH)):
        marks = np.frombuffer(read_at(source, mib * MIB, MIB), "S4")[:: LOG_SECTOR_SIZE // 4]
        if not ((marks == SIGNATURE) | (marks == DATA_SECTOR)).any():
            return mib - first
    return min(end, first + _MOST_LENGTH) - first


def unknown_session(work: RebuildWorkspace, log: Log) -> None:
    """Say what is known of a log whose header is lost: whether its newest session would change the file.

    A log that was closed has been applied, so that to apply it again changes nothing. One that would change something
    was live, or the file was damaged since: pages that differ are suspects.
    """
    work.log_was_live = True  # perhaps
    # Replaying is idempotent: a session that was closed is in the file already, and applying it changes nothing. So
    # pages that would change are the ones that are uncertain, and only these. What a later session wrote over them
    # cannot be told from damage.
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
            wanted = read_if_possible(after, at, LOG_SECTOR_SIZE)
            if read_if_possible(source, at, LOG_SECTOR_SIZE) != wanted and count < _MOST_PAGES:
                count += 1
                yield at, wanted


def rebuild_identifier(work: RebuildWorkspace) -> None:
    """Write the signature anew where it is lost; the creator is kept as far as it stands there.

    Only once regions are known: what is no VHDX file must not look like one.
    """
    found = work.structures.identifier.get()
    if found.signature == IDENTIFIER or not work.structures.regions.is_sound:
        return
    work.patch((0, build_identifier(Identifier(IDENTIFIER, found.creator_raw))[: len(IDENTIFIER)]))
    evidence = f"byte 0 holds {found.signature!r}, and structures of a VHDX file stand behind it"
    work.note("identifier", "the signature is the same in every file", Certainty.CERTAIN, evidence)


def rebuild_headers(work: RebuildWorkspace) -> None:
    """A header that serves: fixed by a flip, else made anew with the log where its entries are found, closed."""
    if work.structures.headers.get().current_copy is None:
        fix_headers(work)
    pair = work.structures.headers.get()
    if work.structures.headers.is_sound:
        return
    # What the valid copies agree on; the rest as if there was none.
    valid, known = [copy for copy, flaws in zip(pair.copies, pair.flaws, strict=True) if not flaws], _BLANK
    if len({copy.data_write_guid for copy in valid}) == 1:
        known = replace(_BLANK, file_write_guid=valid[0].file_write_guid, data_write_guid=valid[0].data_write_guid)
    _make_header(work, known)


def _make_header(work: RebuildWorkspace, known: Header) -> None:
    place = known
    if log := find_log(work):
        unknown_session(work, log)
        place = replace(known, log_offset=log.log_offset, log_length=log.log_length)
        where = (
            f"the log is taken to stand at byte {log.log_offset}, {log.log_length} bytes long: whole entries are there"
        )
    else:
        where = "no log entry was found, so that no log is claimed"
        work.lost.append("the log: no whole entry was found; whether it was live is unknown")
        work.log_is_open = True
        work.doubt_all()
    # Closed, although nobody knows: a header that claims a live log would have it replayed by whoever reads the
    # result. What the log would change has become unknown by now.
    page = build_header(place)
    work.patch(*((offset, page) for offset in HEADER_OFFSETS))
    work.note("headers", "both are made anew, with a closed log", Certainty.LIKELY, where)
    if known.data_write_guid == NIL:
        work.lost.append("the identity of the file (file_write_guid, data_write_guid), by which children know it")


def replay_log(work: RebuildWorkspace) -> None:
    """A live log is applied in memory, so that every later step looks at the file as it was left.

    In a file that was cut since, it is applied as far as the file goes. One that cannot be applied is closed: the state
    without it is offered, and said to be that.
    """
    header = work.structures.headers.get().current
    if not header.log_is_live:
        return
    log = work.structures.log.get()
    work.log_was_live = True
    codes = {finding.code for finding in work.structures.log.findings}
    if not log.active:
        work.lost.append("the last writes, which only the log had: nothing of it is whole; the state without is shown")
        work.log_is_open = True
        work.doubt_all()
    elif "LOG-03" in codes:
        # Of a file that was cut: what the log writes past the end is not there, and must not look like zeros. A page
        # that reaches past the end is left out as a whole, for half of it would look like data followed by zeros.
        pages = {at: page for at, page in pages_changed_by(log, work.view) if at + len(page) <= work.view.size}
        work.patch(*pages.items())
        evidence = "its entries are whole; the file was longer when they were written"
        work.note("log", f"applied in memory: {plural(len(pages), 'page')}", Certainty.CERTAIN, evidence)
    else:
        work.view = work.structures.replay.get()
    if "LOG-05" in codes:
        work.lost.append("the last writes of the log: its sequence of entries is broken; the state before is shown")
        work.doubt_all()
    closed = build_header(replace(header, log_guid=NIL))
    work.patch(*((offset, closed) for offset in HEADER_OFFSETS))


def check_single_header(work: RebuildWorkspace) -> None:
    """Where one header copy is lost, it may have been the newer one: a log that the other does not name counts.

    Only the number of the last entry tells which session was the last.
    """
    pair = work.structures.headers.get()
    if all(not flaws for flaws in pair.flaws):
        return
    header = pair.current
    log = work.structures.log.get()
    if not log.places:
        work.log_is_open = not header.log_is_live
    elif not header.log_is_live:
        unknown_session(work, log)
    elif newest_session(log) != header.log_guid:
        work.lost.append("which session of the log was live: a header copy is lost, and the other names an older one")
        work.doubt_all()
