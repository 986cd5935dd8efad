"""A connection's bytes, for a client: sent whole, taken in the number that is wanted, and never waited for for ever."""

import socket

from analyzer.nbd.errors import NbdServerError, ProtocolError
from analyzer.nbd.uri import NbdAddress
from vhdx.source import Closing


class Wire(Closing):
    """A socket that is connected; all raise OSError, TimeoutError for silence, ProtocolError where it ends."""

    def __init__(self, address: NbdAddress, patience: float) -> None:
        """Connect, and wait for at most `patience` seconds at a time; raises NbdServerError."""
        try:
            self._socket = _connected(address, patience)
        except (OSError, OverflowError) as error:
            reason = f"nobody answers there ({getattr(error, 'strerror', None) or error})"
            raise NbdServerError(address, reason) from error

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def take(self, length: int) -> bytes:
        """So many bytes."""
        data = bytearray(length)
        self.fill(memoryview(data))
        return bytes(data)

    def fill(self, buffer: memoryview) -> None:
        """As many bytes as the buffer has."""
        while buffer:
            got = self._socket.recv_into(buffer)
            if not got:
                raise ProtocolError("it closed the connection in the middle of an answer")
            buffer = buffer[got:]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _connected(address: NbdAddress, patience: float) -> socket.socket:
    if address.socket is None:
        connection = socket.create_connection((address.host, address.port), patience)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no sockets in the file system")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(patience)
    try:
        connection.connect(str(address.socket))
    except BaseException:
        connection.close()
        raise
    return connection
