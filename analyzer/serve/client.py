"""One client that reads, in a thread of its own: requests in, replies out, until either side has enough."""

from collections.abc import Callable, Iterator, Sequence

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import DONE, MOST_PAYLOAD, Command, Failure, Flag
from analyzer.nbd.transmission import Request, data_head, done_chunk, error_chunk, simple_reply, status_chunk
from analyzer.serve.contexts import MOST_EXTENTS, NUMBERS, BlockStatus
from analyzer.serve.handshake import Session
from analyzer.serve.line import PIECE, ClientLeftError, Line
from analyzer.serve.reading import Missing
from analyzer.serve.views import WritableView
from analyzer.serve.writing import FLAGS, Writes
from vhdx.errors import FileSystemFullError, VhdxError
from vhdx.ranges import Range

_READING = {Command.READ: Flag.DF, Command.BLOCK_STATUS: Flag.REQ_ONE}
_FLAGS = _READING | FLAGS
"""The commands, and the flags that each may have."""
_Work = Callable[[Request, Iterator[memoryview]], None]


class Refusal(Exception):  # noqa: N818 - an answer, no fault of this program
    """A request that is answered by an error; the connection goes on."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure, self.reason = failure, reason


class Client:
    """The connection of one client, agreed on as `session`. All of it runs in one thread."""

    def __init__(self, line: Line, session: Session) -> None:
        """Serve by a line that stays open."""
        self._line, self._session, self._export = line, session, session.export
        self._disk, self._view = session.export.disk, session.export.view()
        self._status = BlockStatus(session.export)
        self._numbers = [NUMBERS[context] for context in session.contexts]
        self._work: dict[Command, _Work] = {Command.READ: self._read, Command.BLOCK_STATUS: self._tell_status}
        if isinstance(self._view, WritableView):
            writes = Writes(self._view)
            self._work |= {
                Command.WRITE: self._answering(writes.write),
                Command.FLUSH: self._answering(writes.flush),
                Command.TRIM: self._answering(writes.zero),
                Command.WRITE_ZEROES: self._answering(writes.zero),
            }

    def serve(self) -> None:
        """Answer requests until the client leaves; raises ProtocolError for one that breaks the protocol, OSError."""
        try:
            while self._serve_one(self._line.next_request()):
                pass
        except ClientLeftError:
            pass

    def _serve_one(self, request: Request) -> bool:
        """Answer one request; False for the last one."""
        if request.command == Command.DISCONNECT:
            return False
        # Taken first, whatever becomes of the request: what follows is the next one.
        payload = self._payload_of(request)
        try:
            self._check(request)
            self._export.guard.require_unchanged()
            self._work[Command(request.command)](request, payload)
        except Refusal as refusal:
            self._fail(request, refusal.failure, refusal.reason)
        except FileSystemFullError as error:
            self._fail(request, Failure.ENOSPC, str(error))
        except VhdxError as error:
            self._fail(request, Failure.EIO, str(error))
        finally:
            for _ in payload:
                pass
        return True

    def _payload_of(self, request: Request) -> Iterator[memoryview]:
        if request.command != Command.WRITE:
            return iter(())
        if request.length > MOST_PAYLOAD:
            raise ProtocolError(f"{request.length} bytes are to be written by one request")
        return self._line.payload(request.length)

    def _check(self, request: Request) -> None:
        """Raise Refusal for what is not served."""
        if request.command not in _FLAGS:
            raise Refusal(Failure.EINVAL, f"command {request.command} is not served")
        command = Command(request.command)
        if command not in self._work:
            raise Refusal(Failure.EPERM, "the disk is served read-only")
        # of an IntFlag the complement knows its own flags alone
        if request.flags & ~int(_FLAGS[command]):
            raise Refusal(Failure.EINVAL, f"flags {request.flags:#x} do not belong to this command")
        if request.start + request.length > self._disk.size:
            reason = f"{request.length} bytes at {request.start} go past the end of the disk, {self._disk.size}"
            raise Refusal(Failure.EINVAL if command in _READING else Failure.ENOSPC, reason)

    def _answering(self, work: _Work) -> _Work:
        """The same work, and the answer that it is done."""

        def answer(request: Request, payload: Iterator[memoryview]) -> None:
            work(request, payload)
            self._line.send(done_chunk(request.cookie) if self._session.is_structured else simple_reply(request.cookie))

        return answer

    def _read(self, request: Request, _payload: Iterator[memoryview]) -> None:
        if request.length > MOST_PAYLOAD:
            raise Refusal(Failure.EOVERFLOW, f"at most {MOST_PAYLOAD} bytes are read by one request")
        if not self._session.is_structured:
            self._read_whole(request)
        elif request.flags & Flag.DF and request.length > PIECE:
            raise Refusal(Failure.EOVERFLOW, f"at most {PIECE} bytes are sent in one chunk")
        elif not request.length:
            self._line.send(done_chunk(request.cookie))
        else:
            self._read_in_chunks(request)

    def _read_in_chunks(self, request: Request) -> None:
        position, end = request.start, request.start + request.length
        while position < end:
            part = self._line.piece[: min(PIECE, end - position)]
            missing = self._view.read_into(position, part)
            done = DONE if position + len(part) == end else 0
            if not missing:
                self._line.send(data_head(request.cookie, position, len(part), done), part)
            elif request.flags & Flag.DF:
                raise Refusal(Failure.EIO, missing[0].reason)
            else:
                self._send_around(request.cookie, position, part, missing)
                if done:
                    self._line.send(done_chunk(request.cookie))
            position += len(part)

    def _send_around(self, cookie: int, start: int, part: memoryview, missing: Sequence[Missing]) -> None:
        """The known parts as data, the others as errors with their reasons."""
        for begin, end, reason in _in_turn(start, start + len(part), missing):
            if reason is None:
                self._line.send(data_head(cookie, begin, end - begin, 0), part[begin - start : end - start])
            else:
                self._line.send(error_chunk(cookie, Failure.EIO, reason, start=begin, flags=0))

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
        part = self._line.piece[: piece.length]
        missing = self._view.read_into(piece.start, part)
        if missing:
            raise Refusal(Failure.EIO, missing[0].reason)
        return part

    def _tell_status(self, request: Request, _payload: Iterator[memoryview]) -> None:
        if not self._numbers:
            raise Refusal(Failure.EINVAL, "no context was agreed on")
        if not request.length:
            raise Refusal(Failure.EINVAL, "no range is asked about")
        most = 1 if request.flags & Flag.REQ_ONE else MOST_EXTENTS
        for number in self._numbers:
            extents = self._status.extents(number, request.start, request.start + request.length, most)
            flags = DONE if number == self._numbers[-1] else 0
            self._line.send(status_chunk(request.cookie, number, extents, flags))

    def _fail(self, request: Request, failure: Failure, reason: str) -> None:
        if self._session.is_structured:
            self._line.send(error_chunk(request.cookie, failure, reason))
        else:
            self._line.send(simple_reply(request.cookie, failure))


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
