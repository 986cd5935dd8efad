"""One client that reads, in a thread of its own: requests in, replies out, until either side has enough."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import DONE, MOST_PAYLOAD, Command, Failure, Flag
from analyzer.nbd.transmission import Request, done_chunk, error_chunk, simple_reply, status_chunk
from analyzer.serve.contexts import MOST_EXTENTS, NUMBERS, BlockStatus
from analyzer.serve.handshake import Session
from analyzer.serve.line import ClientLeftError, Line
from analyzer.serve.reads import Reads
from analyzer.serve.refusal import Refusal
from analyzer.serve.straight import StraightReads
from analyzer.serve.views import View, WritableView
from analyzer.serve.writing import FLAGS, Writes
from vhdx.errors import FileSystemFullError, VhdxError

_READING = {Command.READ: Flag.DF, Command.BLOCK_STATUS: Flag.REQ_ONE}
# Plain numbers: of each small read these are looked at, and an enum's operators cost as much as the read itself.
_FLAGS = {int(command): int(flags) for command, flags in (_READING | FLAGS).items()}
"""The commands, and the flags that each may have."""
_WRITE, _LAST = int(Command.WRITE), int(Command.DISCONNECT)
_Work = Callable[[Request, Iterator[memoryview]], None]


class Client:
    """The connection of one client, agreed on as `session`. All of it runs in one thread."""

    def __init__(self, line: Line, session: Session) -> None:
        """Serve by a line that stays open."""
        self._line, self._session, self._size = line, session, session.export.disk.size
        self._require_unchanged = session.export.guard.require_unchanged
        self._status = BlockStatus(session.export)
        self._numbers = [NUMBERS[context] for context in session.contexts]

    def serve(self) -> None:
        """Answer requests until the client leaves; raises ProtocolError for one that breaks the protocol, OSError."""
        with self._session.export.viewed() as view:
            reads = Reads(self._line, self._session, view)
            straight = StraightReads(self._line, self._session, view, reads)
            self._work = self._work_with(view, reads)
            with suppress(ClientLeftError):
                straight.answer()
                while self._serve_one(self._line.next_request()):
                    straight.answer()

    def _work_with(self, view: View, reads: Reads) -> dict[int, _Work]:
        work: dict[int, _Work] = {
            Command.READ: reads.read,
            Command.BLOCK_STATUS: self._tell_status,
        }
        if isinstance(view, WritableView):
            writes = Writes(view)
            work |= {
                Command.WRITE: self._answering(writes.write),
                Command.FLUSH: self._answering(writes.flush),
                Command.TRIM: self._answering(writes.zero),
                Command.WRITE_ZEROES: self._answering(writes.zero),
            }
        return work

    def _serve_one(self, request: Request) -> bool:
        """Answer one request; False for the last one."""
        if request.command == _LAST:
            return False
        # Taken first, whatever becomes of the request: what follows is the next one.
        payload = self._payload_of(request) if request.command == _WRITE else iter(())
        try:
            self._check(request)
            self._require_unchanged()
            self._work[request.command](request, payload)
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
        if request.length > MOST_PAYLOAD:
            raise ProtocolError(f"{request.length} bytes are to be written by one request")
        return self._line.payload(request.length)

    def _check(self, request: Request) -> None:
        """Raise Refusal for what is not served."""
        command, flags, _, start, length = request
        if command not in _FLAGS:
            raise Refusal(Failure.EINVAL, f"command {command} is not served")
        if command not in self._work:
            raise Refusal(Failure.EPERM, "the disk is served read-only")
        if flags & ~_FLAGS[command]:
            raise Refusal(Failure.EINVAL, f"flags {flags:#x} do not belong to this command")
        if start + length > self._size:
            reason = f"{length} bytes at {start} go past the end of the disk, {self._size}"
            raise Refusal(Failure.EINVAL if command in _READING else Failure.ENOSPC, reason)

    def _answering(self, work: _Work) -> _Work:
        """The same work, and the answer that it is done."""

        def answer(request: Request, payload: Iterator[memoryview]) -> None:
            work(request, payload)
            self._line.send(done_chunk(request.cookie) if self._session.is_structured else simple_reply(request.cookie))

        return answer

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
