"""The whole log ring: what is alive, what is damaged, what is old ([MS-VHDX] 2.3)."""

from collections.abc import Iterator

from analyzer.text import plural
from vhdx.contents import Structures
from vhdx.findings import Finding, Severity
from vhdx.replay import Log, candidates_of, flaws_of_entry
from vhdx.structures.constants import NIL
from vhdx.structures.log import HEAD_SIZE, LogHeader, parse_log_header

SECTION = "2.3"


def check_whole_log(structures: Structures) -> Iterator[Finding]:
    """What the log's own rules leave out: damaged entries of a live log, and what is old."""
    log = structures.log.value
    if log is None or structures.header is None:
        return
    live = log.log_guid != NIL
    if live:
        yield from _check_damaged(log)
        yield from _check_candidates(log)
        yield from _check_reserved(log)
    yield from _check_old(log, live=live)


def _check_damaged(log: Log) -> Iterator[Finding]:
    """Entries of the session that are not whole: inside the sequence an error, behind it what a crash leaves."""
    places = candidates_of(log)
    last = log.session[log.active[-1]].sequence_number if log.active else 0
    newest = max((head.sequence_number for head in log.session.values()), default=0)
    for at in (at for at in places if at not in log.headers):
        head = parse_log_header(log.ring(at, HEAD_SIZE))
        if head.log_guid != log.log_guid or head.sequence_number < last:
            continue
        inside = head.sequence_number < newest or not log.active
        for flaw in flaws_of_entry(log, at, places):
            yield _graded(log, head, flaw, at, inside=inside)


def _graded(log: Log, head: LogHeader, flaw: Finding, at: int, *, inside: bool) -> Finding:
    where = log.log_offset + at, min(head.entry_length, log.log_length)
    if flaw.code == "LOG-06":
        return Finding("LOG-06", Severity.ERROR, flaw.message, *where, flaw.section)
    if inside:
        places = plural(head.descriptor_count, "place")
        text = f"{flaw.message}; what it and those behind it change, {places} at least, is lost"
        return Finding("LOG-04", Severity.ERROR, text, *where, flaw.section)
    text = f"{flaw.message}; it stands behind the sequence's end and is taken as never written"
    return Finding("LOG-05", Severity.WARNING, text, *where, flaw.section)


def _check_candidates(log: Log) -> Iterator[Finding]:
    count = len(log.candidate_sequences)
    if count > 1:
        text = f"{count} whole sequences of this session stand in the log; the one with the greatest number is taken"
        yield Finding("LOG-07", Severity.WARNING, text, log.log_offset, log.log_length, "2.3.2")


def _check_reserved(log: Log) -> Iterator[Finding]:
    for at in log.active:
        if log.session[at].reserved:
            text = f"a reserved field of log entry {log.session[at].sequence_number} is not zero"
            yield Finding("LOG-08", Severity.NOTE, text, log.log_offset + at + 28, 4, "2.3.1.1")


def _check_old(log: Log, *, live: bool) -> Iterator[Finding]:
    old = [head for head in log.headers.values() if not live or head.log_guid != log.log_guid]
    if old:
        sessions = len({head.log_guid for head in old})
        first, last = min(head.sequence_number for head in old), max(head.sequence_number for head in old)
        numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
        text = f"the log still has {plural(len(old), 'old entry')} of {plural(sessions, 'session')}, {numbers}"
        yield Finding("LOG-09", Severity.NOTE, text, log.log_offset, log.log_length, SECTION)
