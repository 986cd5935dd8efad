"""A server of NBD that answers as a test has it, right or wrong; it shares no code with the product."""

import contextlib
import socket
import struct
import threading

from analyzer.nbd.uri import NbdAddress

ACK, INFO, CONTEXT = 1, 3, 4
SIZE = 1 << 20


def chunk(cookie, kind, body=b"", *, flags=1, length=None):
    return struct.pack(">IHHQI", 0x668E33EF, flags, kind, cookie, len(body) if length is None else length) + body


def data(cookie, start, content, flags=1):
    return chunk(cookie, 1, struct.pack(">Q", start) + content, flags=flags)


def status(cookie, *extents, context=1):
    return chunk(cookie, 5, struct.pack(">I", context) + b"".join(struct.pack(">II", *one) for one in extents))


def answer(option, kind, body=b"", length=None):
    return struct.pack(">QIII", 0x3E889045565A9, option, kind, len(body) if length is None else length) + body


class Liar:
    """`reply` gives the bytes that answer a request (command, cookie, start, length); options are answered as usual.

    `options` replaces the answers to some of them; None closes the connection.
    """

    def __init__(self, reply=lambda *_: b"", *, size=SIZE, flags=1, options=None, greeting=None, contexts=True):
        self._reply, self._size, self._flags = reply, size, flags
        self._options = options or {}
        self._greeting = b"NBDMAGICIHAVEOPT\0\3" if greeting is None else greeting
        self._contexts = contexts
        self.asked = []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = NbdAddress(host="127.0.0.1", port=self._listener.getsockname()[1])
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for connection in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError, EOFError):
            connection.sendall(self._greeting)
            take(connection, 4)
            while self._agree(connection):
                pass
            while True:
                _, _, command, cookie, start, length = struct.unpack(">IHHQQI", take(connection, 28))
                if command == 2:
                    return
                self.asked.append((command, start, length))
                reply = self._reply(command, cookie, start, length)
                if reply is None:
                    return
                connection.sendall(reply)

    def _agree(self, connection):
        _, option, length = struct.unpack(">8sII", take(connection, 16))
        take(connection, length)
        usual = {
            8: answer(8, ACK),
            10: (answer(10, CONTEXT, b"\0\0\0\1base:allocation") if self._contexts else b"") + answer(10, ACK),
            7: answer(7, INFO, struct.pack(">HQH", 0, self._size, self._flags)) + answer(7, ACK),
        }
        connection.sendall((usual | self._options)[option])
        return option != 7


def take(connection, length):
    got = b""
    while len(got) < length:
        part = connection.recv(length - len(got))
        if not part:
            raise EOFError
        got += part
    return got
