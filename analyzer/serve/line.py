"""The socket of one client that reads: requests and what they bring along come in, replies go out."""

import socket
from collections.abc import Iterator

from analyzer.nbd.transmission import REQUEST_SIZE, Request, parse_request

PIECE = 1 << 20
"""What is read, sent or written at a time: all the memory that a request takes."""
# Requests that were sent together are taken together: a client with 64 of them under way saves as many system calls.
_AHEAD = 64 * REQUEST_SIZE
_MOST_PUT = 64 << 10


class ClientLeftError(ConnectionError):
    """The client closed the connection, between requests or within one."""


class Line:
    """A socket that blocks. One thread uses it."""

    def __init__(self, connection: socket.socket) -> None:
        """`connection` stays open."""
        self.socket, self._outbox = connection, bytearray()
        self.inbox, self.taken, self.received = bytearray(_AHEAD), 0, 0
        """What came in, up to which byte it was taken, and up to which it is there."""
        self._sends_both = hasattr(connection, "sendmsg")  # Windows' does not
        self.piece = memoryview(bytearray(PIECE))
        """Room for what is read from the disk and sent."""

    def require(self, length: int) -> None:
        """Wait for so many bytes that were not taken yet; raises ClientLeftError, OSError."""
        while self.received - self.taken < length:
            self.flush()
            rest = self.inbox[self.taken : self.received]
            self.inbox[: len(rest)] = rest
            self.taken, self.received = 0, len(rest)
            received = self.socket.recv_into(memoryview(self.inbox)[len(rest) :])
            if not received:
                raise ClientLeftError
            self.received += received

    def next_request(self) -> Request:
        """The next one; raises ClientLeftError, ProtocolError, OSError."""
        self.require(REQUEST_SIZE)
        request = parse_request(self.inbox, self.taken)
        self.taken += REQUEST_SIZE
        return request

    def payload(self, length: int) -> Iterator[memoryview]:
        """What a request brings along, in pieces; each is good until the next one."""
        self.flush()
        while length:
            part = self.piece[: min(PIECE, length)]
            ahead = self.inbox[self.taken : min(self.received, self.taken + len(part))]
            self.taken += len(ahead)
            part[: len(ahead)] = ahead
            taken = len(ahead)
            while taken < len(part):
                got = self.socket.recv_into(part[taken:])
                if not got:
                    raise ClientLeftError
                taken += got
            yield part
            length -= len(part)

    def put(self, data: bytes) -> None:
        """Send these bytes together with what follows them, which takes nothing but this process's own time."""
        self._outbox += data
        if len(self._outbox) > _MOST_PUT:
            self.flush()

    def flush(self) -> None:
        """Send all that was put."""
        if self._outbox:
            self.send(b"")

    def take_put(self) -> bytes:
        """All that was put, to be sent in front of bytes of files."""
        taken, self._outbox = bytes(self._outbox), bytearray()
        return taken

    def send(self, head: bytes | bytearray, data: memoryview | None = None) -> None:
        """Send both, behind all that was put."""
        if self._outbox:
            head = self.take_put() + head
        if data is None:
            self.socket.sendall(head)
        elif self._sends_both:
            sent = self.socket.sendmsg((head, data))
            if sent < len(head):
                self.socket.sendall(head[sent:])
            if sent < len(head) + len(data):
                self.socket.sendall(data[max(0, sent - len(head)) :])
        else:
            self.socket.sendall(head)
            self.socket.sendall(data)
