"""Requests to read: what is known of a range goes out as it is stored, what is not as errors with their reasons."""

from collections.abc import Iterator, Sequence

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import DONE, MOST_PAYLOAD, Failure, Flag
from analyzer.nbd.transmission import Request, data_head, done_chunk, error_chunk, hole_chunk, simple_reply
from analyzer.serve.answering import SHORT
from analyzer.serve.handshake import Session
from analyzer.serve.line import PIECE, Line
from analyzer.serve.reading import Missing
from analyzer.serve.refusal import Refusal
from analyzer.serve.spans import Sent, Told
from analyzer.serve.views import View
from vhdx.errors import VhdxError
from vhdx.ranges import Range
from vhdx.sending import RunSender

_DF = int(Flag.DF)


class Reads:
    """Answers one client's requests to read. All of it runs in one thread."""

    def __init__(self, line: Line, session: Session, view: View) -> None:
        """Answer by `line` with what `view` shows."""
        self._line, self._view, self._is_structured = line, view, session.is_structured
        self._sender = RunSender(session.export.disk, line.socket)
        self.descriptors = self._sender.descriptors
        """By layer; -1 where bytes have to be read."""
        self.can_send = any(self._sender.can_send)
        """Whether bytes of any layer can be sent without being read."""

    def read(self, request: Request, _payload: Iterator[memoryview]) -> None:
        """Answer a request; raises Refusal, VhdxError before an answer, ProtocolError in the middle, OSError."""
        cookie, start, length = request.cookie, request.start, request.length
        if length > MOST_PAYLOAD:
            raise Refusal(Failure.EOVERFLOW, f"at most {MOST_PAYLOAD} bytes are read by one request")
        if not self._is_structured:
            self._read_whole(request)
        elif request.flags & _DF:
            self._read_undivided(request)
        elif not length:
            self._line.send(done_chunk(cookie))
        elif length > SHORT and self.can_send:
            self._answer_by_spans(cookie, start, start + length)
        else:
            self._read_in_chunks(cookie, start, start + length, DONE)

    # --- sent from the files ---

    def go_on(self, request: Request, place: int, stop: int) -> None:
        """Answer the rest of a request, of which a chunk up to `stop` was sent as far as `place`. Raises OSError."""
        missing = self._read_on(place, stop)
        self._answer_by_spans(request.cookie, stop, request.start + request.length, missing[:1])

    def _answer_by_spans(self, cookie: int, start: int, end: int, failed: Sequence[Missing] = ()) -> None:
        missing = list(failed)
        for span in self._view.spans(start, end, self._sender.can_send):
            if isinstance(span, Sent):
                missing += self._send(cookie, span)[:1]
            elif isinstance(span, Told):
                self._line.put(hole_chunk(cookie, span.start, span.end - span.start))
            else:
                self._read_in_chunks(cookie, span.start, span.end, 0)
        # Behind the bytes: that some of them could not be read turned out while they were sent.
        for part, reason in missing:
            self._line.put(error_chunk(cookie, Failure.EIO, reason, start=part.start, flags=0))
        self._line.put(done_chunk(cookie))

    def _send(self, cookie: int, span: Sent) -> Sequence[Missing]:
        """Send a span as one chunk; returns what of it could not be read, in whose place zeros were sent."""
        head = self._line.take_put() + data_head(cookie, span.start, span.end - span.start, 0)
        upto = self._sender.send(head, span.plan, span.start, span.end)
        return self._read_on(upto, span.end)

    def _read_on(self, start: int, end: int) -> Sequence[Missing]:
        """Read and send the rest of a chunk; returns as `_send` does."""
        missing = list[Missing]()
        while start < end:
            part = self._line.piece[: min(PIECE, end - start)]
            missing += self._view.read_into(start, part)
            self._line.send(b"", part)
            start += len(part)
        return missing

    # --- read and sent ---

    def _read_in_chunks(self, cookie: int, start: int, end: int, last: int) -> None:
        """Read a range and send it in pieces; `last` are the flags of the last chunk."""
        self._line.flush()
        position = start
        while position < end:
            part = self._line.piece[: min(PIECE, end - position)]
            missing = self._view.read_into(position, part)
            flags = last if position + len(part) == end else 0
            if not missing:
                self._line.send(data_head(cookie, position, len(part), flags), part)
            else:
                self._send_around(cookie, position, part, missing)
                if flags:
                    self._line.send(done_chunk(cookie))
            position += len(part)

    def _send_around(self, cookie: int, start: int, part: memoryview, missing: Sequence[Missing]) -> None:
        """The known parts as data, the others as errors with their reasons."""
        for begin, end, reason in _in_turn(start, start + len(part), missing):
            if reason is None:
                self._line.send(data_head(cookie, begin, end - begin, 0), part[begin - start : end - start])
            else:
                self._line.send(error_chunk(cookie, Failure.EIO, reason, start=begin, flags=0))

    def _read_undivided(self, request: Request) -> None:
        """The reply to a client that wants one chunk."""
        if request.length > PIECE:
            raise Refusal(Failure.EOVERFLOW, f"at most {PIECE} bytes are sent in one chunk")
        if not request.length:
            self._line.send(done_chunk(request.cookie))
            return
        known = self._known(Range(request.start, request.length))
        self._line.send(data_head(request.cookie, request.start, request.length), known)

    def _read_whole(self, request: Request) -> None:
        """The reply to a client of the simple kind, which hears of an error in front of the data or never.

        What takes several pieces is read twice, once to know that it can be: 32 clients with all of it in memory would
        take 1 GiB.
        """
        pieces = list(Range(request.start, request.length).pieces(PIECE))
        if len(pieces) > 1:
            for piece in pieces:
                self._known(piece)
        head = simple_reply(request.cookie)
        for piece in pieces:
            try:
                known = self._known(piece)
            except (Refusal, VhdxError) as error:
                if head:
                    raise
                raise ProtocolError("the disk failed in the middle of a reply") from error
            self._line.send(head, known)
            head = b""
        if head:
            self._line.send(head)

    def _known(self, piece: Range) -> memoryview:
        """A piece of the disk; raises Refusal where any of it cannot be known."""
        self._line.flush()
        part = self._line.piece[: piece.length]
        missing = self._view.read_into(piece.start, part)
        if missing:
            raise Refusal(Failure.EIO, missing[0].reason)
        return part


def _in_turn(start: int, end: int, missing: Sequence[Missing]) -> Iterator[tuple[int, int, str | None]]:
    """The parts of a range with the reason why one is missing, None for one that is there."""
    position = start
    for part, reason in missing:
        if position < part.start:
            yield position, part.start, None
        yield part.start, part.end, reason
        position = part.end
    if position < end:
        yield position, end, None
