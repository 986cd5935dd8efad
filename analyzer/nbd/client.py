"""One connection to an NBD server, as a client: reads, and what ranges are made of.

A server is as little trusted as a file: what it sends is bounded and compared with what was asked for.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from analyzer.nbd.agreement import agree
from analyzer.nbd.errors import NbdReadError, NbdServerError, ProtocolError
from analyzer.nbd.numbers import MOST_OPTION, REFUSAL, Chunk, Command
from analyzer.nbd.transmission import (
    CHUNK_SIZE,
    SIMPLE_SIZE,
    ChunkHead,
    Extent,
    Request,
    build_request,
    parse_chunk_head,
    parse_error,
    parse_hole,
    parse_offset,
    parse_simple,
    parse_status,
)
from analyzer.nbd.uri import NbdAddress
from analyzer.nbd.wire import Wire
from vhdx.ranges import Range, Ranges
from vhdx.source import Closing

# Seconds of silence after which a server is given up: a medium that fails can take half a minute for one sector.
PATIENCE = 90.0
# Bytes of one request, and requests that are under way: enough for a server at the other end of a slow line.
_PIECE, _UNDER_WAY = 1 << 20, 8
# A piece in single sectors; and half a million ranges of a block status.
_MOST_CHUNKS, _MOST_STATUS = 4096, 4 << 20


@dataclass(slots=True)
class _Reply:
    """What has come of the reply to one request for bytes."""

    start: int
    buffer: memoryview
    pieces: list[Range] = field(default_factory=list)
    error: tuple[int, str] | None = None

    def piece(self, start: int, length: int) -> memoryview:
        """Where bytes of the disk belong; raises ProtocolError for those that were not asked for."""
        at = start - self.start
        if length <= 0 or at < 0 or at + length > len(self.buffer):
            raise ProtocolError(f"{length} bytes at {start} were sent and not asked for")
        if len(self.pieces) >= _MOST_CHUNKS:
            raise ProtocolError(f"one reply has more than {_MOST_CHUNKS} pieces")
        self.pieces.append(Range(start, length))
        return self.buffer[at : at + length]

    def whole(self) -> "_Reply":
        """The reply; raises ProtocolError where bytes are missing and no error says why."""
        got = Ranges.of(self.pieces).size
        if self.error is None and got != len(self.buffer):
            raise ProtocolError(f"{got} bytes of {len(self.buffer)} at {self.start} were sent")
        return self


class NbdClient(Closing):
    """One connection to an export. Not to be shared between threads."""

    def __init__(self, address: NbdAddress, patience: float = PATIENCE) -> None:
        """Connect and agree; raises NbdServerError."""
        self.address, self._cookie, self._patience = address, 0, patience
        self._wire = Wire(address, patience)
        try:
            with self._said_well():
                self.export = agree(self._wire, address)
        except BaseException:
            self._wire.close()
            raise

    def read_into(self, start: int, buffer: memoryview) -> None:
        """Fill the buffer from byte `start` of the disk; raises NbdReadError, NbdServerError."""
        with self._said_well():
            self._read(start, buffer)

    def status(self, start: int, length: int) -> Mapping[str, Sequence[Extent]]:
        """What each context says of ranges that follow one another from `start`, some or all of what is asked for.

        Raises NbdReadError, NbdServerError.
        """
        with self._said_well():
            return self._status(start, length)

    def close(self) -> None:
        """Take leave."""
        with suppress(OSError):  # the server was quicker
            self._wire.send(build_request(Request(Command.DISCONNECT, 0, 0, 0, 0)))
        self._wire.close()

    @contextmanager
    def _said_well(self) -> Iterator[None]:
        """Turn what goes wrong into the one error that names the server; the connection is of no use then."""
        try:
            yield
        except TimeoutError as error:
            raise NbdServerError(self.address, f"it said nothing for {self._patience:.0f} seconds") from error
        except OSError as error:
            raise NbdServerError(self.address, error.strerror or str(error)) from error
        except ProtocolError as error:
            reason = f"it does not keep to the NBD protocol: {error.reason}"
            raise NbdServerError(self.address, reason) from error

    # --- reading ---

    def _read(self, start: int, buffer: memoryview) -> None:
        least, _, most = self.export.blocks
        step = min(_PIECE, most // least * least)
        waiting = deque(range(0, len(buffer), step))
        replies, failed = dict[int, _Reply](), list[_Reply]()
        while waiting or replies:
            while waiting and len(replies) < _UNDER_WAY:
                at = waiting.popleft()
                part = buffer[at : at + step]
                replies[self._send(Command.READ, start + at, len(part))] = _Reply(start + at, part)
            if (reply := self._take_some(replies)) and reply.error is not None:
                failed.append(reply)
        # Only now, when no reply is under way any more: the connection is used again.
        if failed:
            place, sentence = min(reply.error for reply in failed if reply.error is not None)
            raise NbdReadError(self.address, sentence, place)

    def _send(self, command: Command, start: int, length: int) -> int:
        self._cookie += 1
        self._wire.send(build_request(Request(command, 0, self._cookie, start, length)))
        return self._cookie

    def _take_some(self, replies: dict[int, _Reply]) -> _Reply | None:
        """Take one chunk, or a reply of the simple kind; returns the reply once it is whole."""
        if not self.export.is_structured:
            error, cookie = parse_simple(self._wire.take(SIMPLE_SIZE))
            reply = _of(replies, cookie)
            if error:
                reply.error = reply.start, f"error {error}"
            else:
                self._wire.fill(reply.piece(reply.start, len(reply.buffer)))
            return replies.pop(cookie).whole()
        head = parse_chunk_head(self._wire.take(CHUNK_SIZE))
        self._take_chunk(head, _of(replies, head.cookie))
        return replies.pop(head.cookie).whole() if head.is_last else None

    def _take_chunk(self, head: ChunkHead, reply: _Reply) -> None:
        if head.kind == Chunk.OFFSET_DATA:
            start = parse_offset(self._wire.take(min(8, head.length)))
            self._wire.fill(reply.piece(start, head.length - 8))
            return
        data = self._take_bounded(head)
        if head.kind == Chunk.OFFSET_HOLE:
            start, length = parse_hole(data)
            reply.piece(start, length)[:] = bytes(length)
        elif head.kind & REFUSAL >> 16:
            number, sentence = parse_error(data)
            reply.error = reply.error or (reply.start, sentence or f"error {number}")
        elif head.kind != Chunk.NONE:
            raise ProtocolError(f"a read is answered with a chunk of kind {head.kind}")

    # --- what ranges are made of ---

    def _status(self, start: int, length: int) -> Mapping[str, Sequence[Extent]]:
        cookie, told = self._send(Command.BLOCK_STATUS, start, length), dict[str, Sequence[Extent]]()
        is_last = False
        while not is_last:
            head = parse_chunk_head(self._wire.take(CHUNK_SIZE))
            if head.cookie != cookie:
                raise ProtocolError(f"request {cookie} is answered as {head.cookie}")
            data, is_last = self._take_bounded(head, _MOST_STATUS), head.is_last
            if head.kind == Chunk.BLOCK_STATUS:
                number, extents = parse_status(data)
                told[self.export.contexts.get(number, "")] = _sound(extents)
            elif head.kind & REFUSAL >> 16:
                number, sentence = parse_error(data)
                raise NbdReadError(self.address, sentence or f"error {number}", start)
        return told

    # --- bytes ---

    def _take_bounded(self, head: ChunkHead, most: int = MOST_OPTION) -> bytes:
        if head.length > most:
            raise ProtocolError(f"a chunk of kind {head.kind} has {head.length} bytes")
        return self._wire.take(head.length)


def _of(replies: Mapping[int, _Reply], cookie: int) -> _Reply:
    if cookie not in replies:
        raise ProtocolError(f"it answers request {cookie}, which was not made")
    return replies[cookie]


def _sound(extents: Sequence[Extent]) -> Sequence[Extent]:
    if not extents or not all(one.length for one in extents):
        raise ProtocolError("a block status says nothing of some range")
    return extents
