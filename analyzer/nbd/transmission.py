"""Requests and replies of a connection that reads and writes: structures only, bytes in, record out."""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import CHUNK_MAGIC, DONE, REQUEST_MAGIC, SIMPLE_MAGIC, Chunk, Failure

_REQUEST = struct.Struct(">IHHQQI")
_SIMPLE = struct.Struct(">IIQ")
_CHUNK, _DATA_HEAD, _HOLE_CHUNK = struct.Struct(">IHHQI"), struct.Struct(">IHHQIQ"), struct.Struct(">IHHQIQI")
_OFFSET, _CONTEXT, _EXTENT = struct.Struct(">Q"), struct.Struct(">I"), struct.Struct(">II")
_HOLE = struct.Struct(">QI")
_ERROR = struct.Struct(">IH")
REQUEST_SIZE = _REQUEST.size
SIMPLE_SIZE = _SIMPLE.size
CHUNK_SIZE = _CHUNK.size
MOST_MESSAGE = 4096
"""Bytes of an error's sentence: the protocol's limit for strings."""


class Request(NamedTuple):
    """What a client asks for; `command` and `flags` may be numbers that nobody knows."""

    command: int
    flags: int
    cookie: int
    start: int
    length: int


class Extent(NamedTuple):
    """A range that a context says one thing of, behind the one before it."""

    length: int
    status: int


class ChunkHead(NamedTuple):
    """What a chunk of a structured reply begins with; `length` is of what follows it."""

    flags: int
    kind: int
    cookie: int
    length: int

    @property
    def is_last(self) -> bool:
        """No other chunk of this reply follows."""
        return bool(self.flags & DONE)


def parse_request(data: bytes | bytearray, at: int = 0) -> Request:
    """The request of REQUEST_SIZE bytes that begins `at` a byte; raises ProtocolError for what is none."""
    magic, flags, command, cookie, start, length = _REQUEST.unpack_from(data, at)
    if magic != REQUEST_MAGIC:
        raise ProtocolError(f"a request begins with {magic:#x}")
    return Request(command, flags, cookie, start, length)


def build_request(request: Request) -> bytes:
    """The bytes of a request, without what is to be written."""
    command, flags, cookie, start, length = request
    return _REQUEST.pack(REQUEST_MAGIC, flags, command, cookie, start, length)


def simple_reply(cookie: int, error: int = 0) -> bytes:
    """The whole reply, or what comes in front of the bytes that were read."""
    return _SIMPLE.pack(SIMPLE_MAGIC, error, cookie)


def data_head(cookie: int, start: int, length: int, flags: int = DONE) -> bytes:
    """What comes in front of `length` bytes of the disk from `start`."""
    return _DATA_HEAD.pack(CHUNK_MAGIC, flags, Chunk.OFFSET_DATA, cookie, length + _OFFSET.size, start)


def hole_chunk(cookie: int, start: int, length: int) -> bytes:
    """That `length` bytes of the disk from `start` are zeros; another chunk follows."""
    return _HOLE_CHUNK.pack(CHUNK_MAGIC, 0, Chunk.OFFSET_HOLE, cookie, _HOLE.size, start, length)


def done_chunk(cookie: int) -> bytes:
    """The end of a reply that has nothing more to say."""
    return _CHUNK.pack(CHUNK_MAGIC, DONE, Chunk.NONE, cookie, 0)


def error_chunk(
    cookie: int, error: Failure, message: str = "", *, start: int | None = None, flags: int = DONE
) -> bytes:
    """An error with its sentence, about the byte `start` of the disk where one is meant."""
    text = message.encode("utf-8", "backslashreplace")[:MOST_MESSAGE].decode("utf-8", "ignore").encode()
    body = _ERROR.pack(error, len(text)) + text + (b"" if start is None else _OFFSET.pack(start))
    kind = Chunk.ERROR if start is None else Chunk.ERROR_OFFSET
    return _CHUNK.pack(CHUNK_MAGIC, flags, kind, cookie, len(body)) + body


def status_chunk(cookie: int, context: int, extents: Iterable[Extent], flags: int) -> bytes:
    """What a context says of ranges that follow one another from the request's start."""
    body = _CONTEXT.pack(context) + b"".join(_EXTENT.pack(*one) for one in extents)
    return _CHUNK.pack(CHUNK_MAGIC, flags, Chunk.BLOCK_STATUS, cookie, len(body)) + body


def parse_chunk_head(data: bytes) -> ChunkHead:
    """The head of a chunk, of CHUNK_SIZE bytes; raises ProtocolError for what is none."""
    magic, flags, kind, cookie, length = _CHUNK.unpack(data)
    if magic != CHUNK_MAGIC:
        raise ProtocolError(f"a structured reply begins with {magic:#x}")
    return ChunkHead(flags, kind, cookie, length)


def parse_simple(data: bytes) -> tuple[int, int]:
    """Error and cookie of a simple reply, of SIMPLE_SIZE bytes; raises ProtocolError for what is none."""
    magic, error, cookie = _SIMPLE.unpack(data)
    if magic != SIMPLE_MAGIC:
        raise ProtocolError(f"a reply begins with {magic:#x}")
    return error, cookie


def parse_offset(data: bytes) -> int:
    """The first byte of the disk that a chunk of data is about."""
    if len(data) < _OFFSET.size:
        raise ProtocolError(f"a chunk of data has {len(data)} bytes, too few for its place")
    return int(_OFFSET.unpack_from(data)[0])


def parse_hole(data: bytes) -> tuple[int, int]:
    """Start and length of the zeros that a chunk stands for."""
    if len(data) != _HOLE.size:
        raise ProtocolError(f"a hole is told in {len(data)} bytes")
    start, length = _HOLE.unpack(data)
    return start, length


def parse_error(data: bytes) -> tuple[int, str]:
    """The number and the sentence of an error's chunk."""
    if len(data) < _ERROR.size:
        raise ProtocolError(f"an error is told in {len(data)} bytes")
    number, length = _ERROR.unpack_from(data)
    return number, data[_ERROR.size : _ERROR.size + length].decode("utf-8", "backslashreplace")


def parse_status(data: bytes) -> tuple[int, Sequence[Extent]]:
    """The context, and the ranges that it tells of."""
    if len(data) % _EXTENT.size != _CONTEXT.size:
        raise ProtocolError(f"a block status has {len(data)} bytes")
    return _CONTEXT.unpack_from(data)[0], [Extent(*one) for one in _EXTENT.iter_unpack(data[_CONTEXT.size :])]
