"""The socket of one client that reads: requests and what they bring along come in, replies go out."""

import socket
from collections.abc import Iterator

from analyzer.nbd.transmission import REQUEST_SIZE, Request, parse_request

PIECE = 1 << 20
"""What is read, sent or written at a time: all the memory that a request takes."""
# Requests that were sent together are taken together: a client with 64 of them under way saves as many system calls.
_AHEAD = 64 * REQUEST_SIZE


class ClientLeftError(ConnectionError):
    """The client closed the connection, between requests or within one."""


class Line:
    """A socket that blocks. One thread uses it."""

    def __init__(self, connection: socket.socket) -> None:
        """`connection` stays open."""
        self._socket, self._inbox = connection, bytearray()
        self.piece = memoryview(bytearray(PIECE))
        """Room for what is read from the disk and sent."""

    def next_request(self) -> Request:
        """The next one; raises ClientLeftError, ProtocolError, OSError."""
        while len(self._inbox) < REQUEST_SIZE:
            received = self._socket.recv(_AHEAD)
            if not received:
                raise ClientLeftError
            self._inbox += received
        request = parse_request(self._inbox[:REQUEST_SIZE])
        del self._inbox[:REQUEST_SIZE]
        return request

    def payload(self, length: int) -> Iterator[memoryview]:
        """What a request brings along, in pieces; each is good until the next one."""
        while length:
            part = self.piece[: min(PIECE, length)]
            taken = min(len(part), len(self._inbox))
            part[:taken] = self._inbox[:taken]
            del self._inbox[:taken]
            while taken < len(part):
                got = self._socket.recv_into(part[taken:])
                if not got:
                    raise ClientLeftError
                taken += got
            yield part
            length -= len(part)

    def send(self, head: bytes, data: memoryview | None = None) -> None:
        """Send both."""
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
