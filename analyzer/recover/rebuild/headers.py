"""The identifier and the headers: nothing else depends on them but the log and the file's identity."""

from dataclasses import replace

from analyzer.recover.rebuild.log_search import Ring, find_ring, newest_session, pages_changed_by, unknown_session
from analyzer.recover.rebuild.model import Certainty
from analyzer.recover.rebuild.regions import regions_serve
from analyzer.recover.rebuild.workspace import Bench
from analyzer.repair.draft import Draft
from analyzer.repair.headers import headers_of, mend_headers
from analyzer.text import plural
from vhdx.findings import Severity
from vhdx.replay import Log, check_log, open_log, replayed
from vhdx.structures.constants import HEADER_OFFSETS, NIL
from vhdx.structures.header import SIGNATURE, Header, build_header, check_headers
from vhdx.structures.identifier import SIGNATURE as IDENTIFIER
from vhdx.structures.identifier import SIZE, Identifier, build_identifier, parse_identifier

_BLANK = Header(SIGNATURE, 0, 1, NIL, NIL, NIL, 0, 1, 0, 0)


def rebuild_identifier(bench: Bench) -> None:
    """Write the signature anew where it is lost; the creator is kept as far as it stands there.

    Only once regions are known: what is no VHDX file must not look like one.
    """
    found = parse_identifier(bench.read(0, SIZE))
    if found.signature == IDENTIFIER or not regions_serve(bench):
        return
    bench.lay((0, build_identifier(Identifier(IDENTIFIER, found.creator_raw))[: len(IDENTIFIER)]))
    evidence = f"byte 0 holds {found.signature!r}, and structures of a VHDX file stand behind it"
    bench.note("identifier", "the signature is the same in every file", Certainty.CERTAIN, evidence)


def rebuild_headers(bench: Bench) -> None:
    """A header that serves: mended by a flip, else made anew with the log where its entries are found, closed."""
    if headers_of(Draft(bench.view)).current_copy is None:
        draft = Draft(bench.view)
        mend_headers(draft)
        bench.take("headers", draft)
    pair = headers_of(Draft(bench.view))
    if any(finding.severity is Severity.ERROR for finding in check_headers(pair, bench.view.size)):
        _make_header(bench, _known(pair.copies, pair.flaws))


def _known(copies: tuple[Header, Header], flaws: tuple[tuple[object, ...], tuple[object, ...]]) -> Header:
    """What the valid copies agree on; the rest as if there was none."""
    valid = [copy for copy, flaw in zip(copies, flaws, strict=True) if not flaw]
    if not valid or any(copy.data_write_guid != valid[0].data_write_guid for copy in valid):
        return _BLANK
    return replace(_BLANK, file_write_guid=valid[0].file_write_guid, data_write_guid=valid[0].data_write_guid)


def _make_header(bench: Bench, known: Header) -> None:
    ring = find_ring(bench)
    place = replace(known, log_offset=ring.start, log_length=ring.length) if ring else known
    if ring:
        unknown_session(bench, ring)
        where = f"the log is taken to stand at byte {ring.start}, {ring.length} bytes long: whole entries are there"
    else:
        where = "no log entry was found, so that no log is claimed"
        bench.lost.append("the log: no whole entry was found; whether it was live is unknown")
        bench.log_is_open = True
        bench.doubt_all()
    page = build_header(place)
    bench.lay(*((offset, page) for offset in HEADER_OFFSETS))
    bench.note("headers", "both are made anew, with a closed log", Certainty.LIKELY, where)
    if known.data_write_guid == NIL:
        bench.lost.append("the identity of the file (file_write_guid, data_write_guid), by which children know it")


def settle_log(bench: Bench) -> None:
    """A live log is applied in memory, so that every later step looks at the file as it was left.

    In a file that was cut since, it is applied as far as the file goes. One that cannot be applied is closed: the state
    without it is offered, and said to be that.
    """
    header = headers_of(Draft(bench.view)).current
    if not header.log_is_live:
        return
    log = open_log(bench.view, header)
    bench.log_was_live = True
    codes = {finding.code for finding in check_log(log, bench.view.size)}
    if not log.active:
        bench.lost.append("the last writes, which only the log had: nothing of it is whole; the state without is shown")
        bench.log_is_open = True
        bench.doubt_all()
    elif "LOG-03" in codes:
        _apply_inside(bench, log)
    else:
        bench.view = replayed(log)
    if "LOG-05" in codes:
        bench.lost.append("the last writes of the log: its sequence of entries is broken; the state before is shown")
        bench.doubt_all()
    closed = build_header(replace(header, log_guid=NIL))
    bench.lay(*((offset, closed) for offset in HEADER_OFFSETS))


def _apply_inside(bench: Bench, log: Log) -> None:
    """Apply a log to a file that was cut: what it writes past the end is not there, and must not look like zeros."""
    size = bench.view.size
    pages = {at: page for at, page in pages_changed_by(log, bench.view) if at + len(page) <= size}
    bench.lay(*pages.items())
    evidence = "its entries are whole; the file was longer when they were written"
    bench.note("log", f"applied in memory: {plural(len(pages), 'page')}", Certainty.CERTAIN, evidence)


def question_lone_header(bench: Bench) -> None:
    """Where one header copy is lost, it may have been the newer one: a log that the other does not name counts.

    Only the number of the last entry tells which session was the last.
    """
    pair = headers_of(Draft(bench.view))
    if all(not flaws for flaws in pair.flaws):
        return
    header = pair.current
    log = open_log(bench.view, header)
    if not log.places:
        bench.log_is_open = not header.log_is_live
    elif not header.log_is_live:
        unknown_session(bench, Ring(log.log_offset, log.log_length))
    elif newest_session(log) != header.log_guid:
        bench.lost.append("which session of the log was live: a header copy is lost, and the other names an older one")
        bench.doubt_all()
