"""The log as a whole: which entries are alive, and the file as it is once they are applied ([MS-VHDX] 2.3.2, 2.3.3).

Nothing is ever written: replay is an overlay over a source that stays as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import numpy as np

from vhdx.findings import Finding, Severity
from vhdx.patched import OverlaySource, Patch
from vhdx.ranges import Range
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import LOG_SECTOR_SIZE, MIB
from vhdx.structures.header import Header
from vhdx.structures.log import (
    HEAD_SIZE,
    SIGNATURE,
    LogEntry,
    LogHeader,
    check_entry,
    check_log_header,
    parse_entry,
    parse_log_header,
)

SECTION = "2.3.2"
# A log may be as large as its file; signatures are searched a window at a time.
_WINDOW = 16 * MIB


@dataclass(frozen=True)
class Log:
    """Every valid entry that the ring holds, of this session and of earlier ones, in the order of their places."""

    source: ByteSource
    log_offset: int
    log_length: int
    log_guid: UUID

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Where the valid entries begin, bytes of the log; the whole ring is looked at when this is first asked for."""
        candidates = candidates_of(self)
        return tuple(at for at in candidates if not any(flaws_of_entry(self, at, candidates)))

    def entry(self, at: int) -> LogEntry:
        """The entry at byte `at` of the log, read afresh: a large log is never held whole."""
        head = parse_log_header(self.ring(at, HEAD_SIZE))
        return parse_entry(self.ring(at, head.entry_length))

    @cached_property
    def headers(self) -> dict[int, LogHeader]:
        """The header of each valid entry, by its place."""
        return {at: parse_log_header(self.ring(at, HEAD_SIZE)) for at in self.places}

    @cached_property
    def session(self) -> dict[int, LogHeader]:
        """The valid entries of the session that left the log live."""
        return {at: head for at, head in self.headers.items() if head.log_guid == self.log_guid}

    @cached_property
    def active(self) -> tuple[int, ...]:
        """Places of the entries to apply, oldest first; empty when no sequence is whole.

        Valid entries that follow one another in place and in number are a run; it is a candidate when the tail of
        its last entry is the place of one of them; the candidate with the greatest last number wins.
        """
        # [MS-VHDX] 2.3.2. Several sequences can be whole in a ring that has gone round. Numbers order those of one
        # session, and entries of other sessions are not asked: test_entries_of_other_sessions_are_never_applied.
        return max(self.candidate_sequences, key=lambda run: self.session[run[-1]].sequence_number, default=())

    @cached_property
    def candidate_sequences(self) -> tuple[tuple[int, ...], ...]:
        """Places of the entries of each sequence that could be the active one, oldest first."""
        # The tail of the last entry says where the sequence begins that is still needed; what is before it was
        # applied already. A run that has lost its tail is no sequence, however many whole entries it has: what the
        # tail wrote would be missing.
        runs = ((run, self.session[run[-1]].tail) for run in self._runs())
        return tuple(run[run.index(tail) :] for run, tail in runs if tail in run)

    def _runs(self) -> Iterator[tuple[int, ...]]:
        following = dict[int, int | None]()
        for at, head in self.session.items():
            place = (at + head.entry_length) % self.log_length
            after = self.session.get(place)
            goes_on = after is not None and after.sequence_number == head.sequence_number + 1
            following[at] = place if goes_on else None
        starts = self.session.keys() - following.values()
        for start in sorted(starts):
            run: list[int] = []
            upto: int | None = start
            while upto is not None:
                run.append(upto)
                upto = following[upto]
            yield tuple(run)

    def ring(self, at: int, length: int) -> bytes:
        """`length` bytes from byte `at` of the log, going on at its start where it ends."""
        straight = min(length, self.log_length - at)
        front = read_at(self.source, self.log_offset + at, straight)
        return front + read_at(self.source, self.log_offset, length - straight) if straight < length else front


def open_log(source: ByteSource, header: Header) -> Log:
    """The log that `header` points at, to be looked into; that raises InputOutputError, ShortReadError."""
    place = header.log_offset, header.log_length
    # A log that cannot be is an empty one here, and a finding of the header elsewhere: nothing of it is ever read.
    inside = header.log_offset + header.log_length <= source.size and not any(edge % MIB for edge in place)
    length = header.log_length if inside else 0
    return Log(source, header.log_offset, length, header.log_guid)


def candidates_of(log: Log) -> tuple[int, ...]:
    """All places of the log, bytes from its start, that bear an entry's signature; each may or may not be whole."""
    found: list[int] = []
    for window in Range(log.log_offset, log.log_length).pieces(_WINDOW):
        marks = np.frombuffer(read_at(log.source, *window), "S4")[:: LOG_SECTOR_SIZE // 4]
        found += (window.start - log.log_offset + np.flatnonzero(marks == SIGNATURE) * LOG_SECTOR_SIZE).tolist()
    return tuple(found)


def flaws_of_entry(log: Log, at: int, candidates: Sequence[int]) -> Iterator[Finding]:
    """Why the entry at `at` is not valid. `candidates` are, sorted, all places with an entry's signature."""
    head = parse_log_header(log.ring(at, HEAD_SIZE))
    flaws = list(check_log_header(head, at, log.log_length))
    # No sector of a whole entry begins another one. To know this first bounds the work: no byte is summed twice.
    if not flaws and _holds_another(at, head.entry_length, candidates, log.log_length):
        text = f"log entry at byte {at} of the log: another entry begins inside it"
        flaws = [Finding("LOG-04", Severity.ERROR, text, None, None, SECTION)]
    if flaws:
        yield from flaws
        return
    yield from check_entry(log.entry(at), at, log.log_offset, log.log_length)


def _holds_another(at: int, length: int, candidates: Sequence[int], log_length: int) -> bool:
    index = int(np.searchsorted(candidates, at, side="right"))
    following = candidates[index] if index < len(candidates) else candidates[0] + log_length
    return at < following < at + length


def check_log(log: Log, file_size: int) -> Iterator[Finding]:
    """What a live log means for a file of `file_size` bytes; nothing for a log that is closed."""
    if not log.active:
        text = "the log is dirty and holds no complete sequence of entries, so the last writes cannot be applied"
        yield Finding("LOG-02", Severity.ERROR, text, log.log_offset, log.log_length, SECTION)
        return
    last = log.session[log.active[-1]]
    # The writer had flushed the file at that length before the entry: a shorter one was cut since (2.3.1.1).
    if last.flushed_file_offset > file_size:
        text = f"the log was written when the file had {last.flushed_file_offset} bytes; now it has {file_size}"
        yield Finding("LOG-03", Severity.ERROR, text, log.log_offset, log.log_length, "2.3.3")
    newest = max(head.sequence_number for head in log.session.values())
    if newest > last.sequence_number:
        text = (
            f"log entry {newest} is whole but the unbroken sequence ends at {last.sequence_number}: what came between "
            "was never flushed or is damaged, and the disk is read as of before it"
        )
        yield Finding("LOG-05", Severity.WARNING, text, log.log_offset, log.log_length, SECTION)
    replayed = "1 entry was" if len(log.active) == 1 else f"{len(log.active)} entries were"
    text = f"the log is dirty: {replayed} replayed in memory, the file itself is unchanged"
    yield Finding("LOG-01", Severity.WARNING, text, log.log_offset, log.log_length, "2.3.3")


def logged_patches(log: Log) -> Iterator[Patch]:
    """What the active entries write, in order; only once `check_log` is without errors."""
    for entry in map(log.entry, log.active):
        yield from (Patch(write.file_offset, write.length, write.data) for write in entry.writes())


def replayed(log: Log) -> OverlaySource:
    """The source with the active entries applied, in order; only once `check_log` is without errors."""
    # All structures fit into the length that the last entry names, and the file may not have grown to it yet.
    return OverlaySource(log.source, logged_patches(log), log.session[log.active[-1]].last_file_offset)
