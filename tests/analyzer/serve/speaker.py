"""A client of NBD that shares no code with the product: it says what it is told to, right or wrong."""

import socket
import struct
from typing import NamedTuple

HELLO = b"NBDMAGICIHAVEOPT"
ACK, SERVER, INFO, CONTEXT = 1, 2, 3, 4
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, STATUS = range(8)
FUA, NO_HOLE, DF, ONE = 1, 2, 4, 8


class Reply(NamedTuple):
    error: int
    reasons: list
    """(offset or None, number, sentence) of each error."""
    data: dict
    """The bytes that came, by their place."""
    extents: dict
    """(length, status) pairs by context number."""
    holes: dict
    """The lengths of zeros that were told, by their place."""

    def bytes(self, start, length):
        disk, upto = bytearray(length), start
        for at, piece in sorted(self.data.items()):
            assert upto <= at
            upto = at + len(piece)
            disk[at - start : at - start + len(piece)] = piece
        return bytes(disk)


class Speaker:
    def __init__(self, address, timeout=60):
        if address.socket is not None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            try:
                self.socket.connect(str(address.socket))
            except OSError:
                self.socket.close()
                raise
        else:
            self.socket = socket.create_connection((address.host, address.port), timeout)
        self.cookie, self.structured = 0, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self, length):
        data, got = bytearray(length), 0
        while got < length:
            part = self.socket.recv_into(memoryview(data)[got:])
            if not part:
                raise EOFError(f"{got} of {length} bytes")
            got += part
        return bytes(data)

    def is_closed(self):
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def hello(self, flags=3):
        assert self.take(18) == HELLO + b"\0\x03"
        self.socket.sendall(struct.pack(">I", flags))
        return self

    def option(self, number, data=b""):
        """The answers, (kind, data) each, up to the one that ends them."""
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)
        answers = []
        while not answers or answers[-1][0] in {SERVER, INFO, CONTEXT}:
            magic, option, kind, length = struct.unpack(">QIII", self.take(20))
            assert (magic, option) == (0x3E889045565A9, number)
            answers.append((kind, self.take(length)))
        return answers

    def begin(self, name="", contexts=(), *, structured=True):
        """A whole handshake; returns size and flags."""
        self.hello()
        if structured:
            assert self.option(8) == [(ACK, b"")]
            self.structured = True
        if contexts:
            answers = self.option(10, text(name) + struct.pack(">I", len(contexts)) + b"".join(map(text, contexts)))
            self.numbers = {data[4:].decode(): data[:4] for kind, data in answers if kind == CONTEXT}
        *infos, (last, why) = self.option(7, text(name) + struct.pack(">H", 0))
        assert last == ACK, why
        return next(struct.unpack(">QH", info[2:]) for _, info in infos if info[:2] == b"\0\0")

    def send(self, command, start, length, flags=0, payload=b""):
        self.cookie += 1
        head = struct.pack(">IHHQQI", 0x25609513, flags, command, self.cookie, start, length)
        self.socket.sendall(head + payload)
        return self.cookie

    def ask(self, command, start, length, flags=0, payload=b""):
        cookie = self.send(command, start, length, flags, payload)
        return self.reply(cookie, length if command == READ else 0, start)

    def reply(self, cookie, length=0, start=0):
        if not self.structured:
            magic, error, got = struct.unpack(">IIQ", self.take(16))
            assert (magic, got) == (0x67446698, cookie)
            return Reply(error, [], {} if error else {start: self.take(length)}, {}, {})
        reply, done = Reply(0, [], {}, {}, {}), False
        while not done:
            magic, flags, kind, got, size = struct.unpack(">IHHQI", self.take(20))
            assert (magic, got) == (0x668E33EF, cookie)
            body, done = self.take(size), flags & 1
            if kind == 1:
                reply.data[struct.unpack(">Q", body[:8])[0]] = body[8:]
            elif kind == 2:
                place, length = struct.unpack(">QI", body)
                reply.data[place], reply.holes[place] = bytes(length), length
            elif kind == 5:
                reply.extents[body[:4]] = list(struct.iter_unpack(">II", body[4:]))
            elif kind & 0x8000:
                number, text_length = struct.unpack(">IH", body[:6])
                place = struct.unpack(">Q", body[6 + text_length :])[0] if kind == 0x8002 else None
                reply.reasons.append((place, number, body[6 : 6 + text_length].decode()))
        return reply._replace(error=reply.reasons[0][1] if reply.reasons else 0)


def text(name):
    return struct.pack(">I", len(name.encode())) + name.encode()
