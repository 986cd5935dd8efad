"""The identifier and the headers: nothing else depends on them but the log and the file's identity."""

from dataclasses import replace

from analyzer.recover.rebuild.log_search import Ring, find_ring, newest_session, pages_changed_by, unknown_session
from analyzer.recover.rebuild.model import Certainty
from analyzer.recover.rebuild.workspace import RebuildWorkspace
from analyzer.repair.structures import fix_headers
from analyzer.text import plural
from vhdx.replay import Log
from vhdx.structures.constants import HEADER_OFFSETS, NIL
from vhdx.structures.header import SIGNATURE, Header, build_header
from vhdx.structures.identifier import SIGNATURE as IDENTIFIER
from vhdx.structures.identifier import Identifier, build_identifier

_BLANK = Header(SIGNATURE, 0, 1, NIL, NIL, NIL, 0, 1, 0, 0)


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
    if not work.structures.headers.is_sound:
        _make_header(work, _known(pair.copies, pair.flaws))


def _known(copies: tuple[Header, Header], flaws: tuple[tuple[object, ...], tuple[object, ...]]) -> Header:
    """What the valid copies agree on; the rest as if there was none."""
    valid = [copy for copy, flaw in zip(copies, flaws, strict=True) if not flaw]
    if not valid or any(copy.data_write_guid != valid[0].data_write_guid for copy in valid):
        return _BLANK
    return replace(_BLANK, file_write_guid=valid[0].file_write_guid, data_write_guid=valid[0].data_write_guid)


def _make_header(work: RebuildWorkspace, known: Header) -> None:
    ring = find_ring(work)
    place = replace(known, log_offset=ring.start, log_length=ring.length) if ring else known
    if ring:
        unknown_session(work, ring)
        where = f"the log is taken to stand at byte {ring.start}, {ring.length} bytes long: whole entries are there"
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


def settle_log(work: RebuildWorkspace) -> None:
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
        _apply_inside(work, log)
    else:
        work.view = work.structures.replay.get()
    if "LOG-05" in codes:
        work.lost.append("the last writes of the log: its sequence of entries is broken; the state before is shown")
        work.doubt_all()
    closed = build_header(replace(header, log_guid=NIL))
    work.patch(*((offset, closed) for offset in HEADER_OFFSETS))


def _apply_inside(work: RebuildWorkspace, log: Log) -> None:
    """Apply a log to a file that was cut: what it writes past the end is not there, and must not look like zeros."""
    size = work.view.size
    # A page that reaches past the end is left out as a whole: half of it would look like data followed by zeros.
    pages = {at: page for at, page in pages_changed_by(log, work.view) if at + len(page) <= size}
    work.patch(*pages.items())
    evidence = "its entries are whole; the file was longer when they were written"
    work.note("log", f"applied in memory: {plural(len(pages), 'page')}", Certainty.CERTAIN, evidence)


def question_lone_header(work: RebuildWorkspace) -> None:
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
        unknown_session(work, Ring(log.log_offset, log.log_length))
    elif newest_session(log) != header.log_guid:
        work.lost.append("which session of the log was live: a header copy is lost, and the other names an older one")
        work.doubt_all()
