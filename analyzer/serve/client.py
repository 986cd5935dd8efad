"""One client that reads, in a thread of its own: requests in, replies out, until either side has enough."""

import socket
from collections.abc import Iterator, Sequence

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import DONE, MOST_PAYLOAD, Command, Failure, Flag
from analyzer.nbd.transmission import (
    REQUEST_SIZE,
    Request,
    data_head,
    done_chunk,
    error_chunk,
    parse_request,
    simple_reply,
    status_chunk,
)
from analyzer.serve.contexts import MOST_EXTENTS, NUMBERS, BlockStatus
from analyzer.serve.handshake import Session
from analyzer.serve.reading import CarefulReader, Missing
from vhdx.errors import VhdxError

# A reply is read and sent in pieces of so many bytes: that is all the memory that a request takes.
PIECE = 1 << 20
# Requests that were sent together are taken together: a client with 64 of them under way saves as many system calls.
_AHEAD = 64 * REQUEST_SIZE
_ALLOWED = {
    Command.READ: Flag.DF,
    Command.BLOCK_STATUS: Flag.REQ_ONE,
}


class ClientLeftError(ConnectionError):
    """The client closed the connection, between requests or within one."""


class Refusal(Exception):  # noqa: N818 - an answer, no fault of this program
    """A request that is answered by an error; the connection goes on."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure, self.reason = failure, reason


class Client:
    """The connection of one client, agreed on as `session`. All of it runs in one thread."""

    def __init__(self, connection: socket.socket, session: Session) -> None:
        """Serve by a socket that blocks, which stays open."""
        self._socket, self._session, self._export = connection, session, session.export
        self._disk = session.export.disk
        self._reader = CarefulReader(self._disk, self._disk.sector_size)
        self._status = BlockStatus(session.export)
        self._inbox, self._numbers = bytearray(), [NUMBERS[context] for context in session.contexts]
        self._piece = memoryview(bytearray(PIECE))

    def serve(self) -> None:
        """Answer requests until the client leaves; raises ProtocolError for one that breaks the protocol, OSError."""
        try:
            while self._serve_one(self._next_request()):
                pass
        except ClientLeftError:
            pass

    def _next_request(self) -> Request:
        while len(self._inbox) < REQUEST_SIZE:
            received = self._socket.recv(_AHEAD)
            if not received:
                raise ClientLeftError
            self._inbox += received
        request = parse_request(self._inbox[:REQUEST_SIZE])
        del self._inbox[:REQUEST_SIZE]
        return request

    def _serve_one(self, request: Request) -> bool:
        """Answer one request; False for the last one."""
        if request.command == Command.DISCONNECT:
            return False
        try:
            self._check(request)
            self._export.guard.require_unchanged()
            if request.command == Command.READ:
                self._read(request)
            else:
                self._tell_status(request)
        except Refusal as refusal:
            self._fail(request, refusal.failure, refusal.reason)
        except VhdxError as error:
            self._fail(request, Failure.EIO, str(error))
        return True

    def _check(self, request: Request) -> None:
        """Refuse what is not served; raises Refusal, and ProtocolError where nobody knows what follows."""
        if request.command == Command.WRITE:
            if request.length > MOST_PAYLOAD:
                raise ProtocolError(f"{request.length} bytes are to be written by one request")
            self._skip(request.length)
        if request.command in {Command.WRITE, Command.TRIM, Command.WRITE_ZEROES}:
            raise Refusal(Failure.EPERM, "the disk is served read-only")
        allowed = _ALLOWED.get(Command(request.command)) if request.command in _ALLOWED else None
        if allowed is None:
            raise Refusal(Failure.EINVAL, f"command {request.command} is not served")
        # of an IntFlag the complement knows its own flags alone
        if request.flags & ~int(allowed):
            raise Refusal(Failure.EINVAL, f"flags {request.flags:#x} do not belong to this command")
        if request.start + request.length > self._disk.size:
            reason = f"{request.length} bytes at {request.start} go past the end of the disk, {self._disk.size}"
            raise Refusal(Failure.EINVAL, reason)

    def _skip(self, length: int) -> None:
        """Take what a request brings along, and forget it."""
        taken = min(length, len(self._inbox))
        del self._inbox[:taken]
        while taken < length:
            got = self._socket.recv_into(self._piece[: min(PIECE, length - taken)])
            if not got:
                raise ClientLeftError
            taken += got

    def _read(self, request: Request) -> None:
        if request.length > MOST_PAYLOAD:
            raise Refusal(Failure.EOVERFLOW, f"at most {MOST_PAYLOAD} bytes are read by one request")
        if not self._session.is_structured:
            self._read_whole(request)
        elif request.flags & Flag.DF and request.length > PIECE:
            raise Refusal(Failure.EOVERFLOW, f"at most {PIECE} bytes are sent in one chunk")
        elif not request.length:
            self._send(done_chunk(request.cookie))
        else:
            self._read_in_chunks(request)

    def _read_in_chunks(self, request: Request) -> None:
        position, end = request.start, request.start + request.length
        while position < end:
            part = self._piece[: min(PIECE, end - position)]
            missing = self._reader.read_into(position, part)
            done = DONE if position + len(part) == end else 0
            if not missing:
                self._send(data_head(request.cookie, position, len(part), done), part)
            elif request.flags & Flag.DF:
                raise Refusal(Failure.EIO, missing[0].reason)
            else:
                self._send_around(request.cookie, position, part, missing)
                if done:
                    self._send(done_chunk(request.cookie))
            position += len(part)

    def _send_around(self, cookie: int, start: int, part: memoryview, missing: Sequence[Missing]) -> None:
        """The known parts as data, the others as errors with their reasons."""
        for begin, end, reason in _in_turn(start, start + len(part), missing):
            if reason is None:
                self._send(data_head(cookie, begin, end - begin, 0), part[begin - start : end - start])
            else:
                self._send(error_chunk(cookie, Failure.EIO, reason, start=begin, flags=0))

    def _read_whole(self, request: Request) -> None:
        """The reply to a client of the simple kind, which hears of an error in front of the data or never."""
        data = bytearray(request.length)
        with memoryview(data) as buffer:
            for at in range(0, request.length, PIECE):
                missing = self._reader.read_into(request.start + at, buffer[at : at + PIECE])
                if missing:
                    raise Refusal(Failure.EIO, missing[0].reason)
            self._send(simple_reply(request.cookie), buffer)

    def _tell_status(self, request: Request) -> None:
        if not self._numbers:
            raise Refusal(Failure.EINVAL, "no context was agreed on")
        if not request.length:
            raise Refusal(Failure.EINVAL, "no range is asked about")
        most = 1 if request.flags & Flag.REQ_ONE else MOST_EXTENTS
        for number in self._numbers:
            extents = self._status.extents(number, request.start, request.start + request.length, most)
            flags = DONE if number == self._numbers[-1] else 0
            self._send(status_chunk(request.cookie, number, extents, flags))

    def _fail(self, request: Request, failure: Failure, reason: str) -> None:
        if self._session.is_structured:
            self._send(error_chunk(request.cookie, failure, reason))
        else:
            self._send(simple_reply(request.cookie, failure))

    def _send(self, head: bytes, data: memoryview | None = None) -> None:
        if data is None:
            self._socket.sendall(head)
        elif hasattr(self._socket, "sendmsg"):
            sent = self._socket.sendmsg((head, data))
            if sent < len(head):
                self._socket.sendall(head[sent:])
            if sent < len(head) + len(data):
                self._socket.sendall(data[max(0, sent - len(head)) :])
        else:  # Windows
            self._socket.sendall(head)
            self._socket.sendall(data)


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
