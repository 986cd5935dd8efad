"""Options of the handshake and their answers: structures only, bytes in, record out."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import LONGEST_NAME, OPTION_MAGIC, OPTION_REPLY_MAGIC, Info, Option

_OPTION = struct.Struct(">8sII")
_ANSWER = struct.Struct(">QIII")
_LENGTH, _COUNT, _NUMBER = struct.Struct(">I"), struct.Struct(">I"), struct.Struct(">H")
_EXPORT = struct.Struct(">HQH")
_BLOCKS = struct.Struct(">HIII")
_OLD_EXPORT = struct.Struct(">QH")
OPTION_SIZE = _OPTION.size
ANSWER_SIZE = _ANSWER.size
RESERVED = 124
"""Zeros behind the answer to a client of the oldest kind, unless both sides leave them out."""


class OptionHead(NamedTuple):
    """What an option begins with; `length` bytes follow."""

    option: int
    length: int


class AnswerHead(NamedTuple):
    """What an answer begins with; `length` bytes follow."""

    option: int
    kind: int
    length: int


class Wanted(NamedTuple):
    """An export that a client asks for, and what it wants to know of it."""

    name: str
    infos: Sequence[int]


class Contexts(NamedTuple):
    """The contexts that a client asks for: of which export, and the queries."""

    name: str
    queries: Sequence[str]


class BlockSizes(NamedTuple):
    """Bytes that requests are multiples of, that they best are, and that they at most have."""

    least: int
    preferred: int
    most: int


def parse_option_head(data: bytes) -> OptionHead:
    """The head of an option, of OPTION_SIZE bytes; raises ProtocolError for what is none."""
    magic, option, length = _OPTION.unpack(data)
    if magic != OPTION_MAGIC:
        raise ProtocolError(f"an option begins with {magic!r}")
    return OptionHead(option, length)


def build_option(option: Option, data: bytes = b"") -> bytes:
    """An option with its data."""
    return _OPTION.pack(OPTION_MAGIC, option, len(data)) + data


def parse_answer_head(data: bytes) -> AnswerHead:
    """The head of an answer, of ANSWER_SIZE bytes; raises ProtocolError for what is none."""
    magic, option, kind, length = _ANSWER.unpack(data)
    if magic != OPTION_REPLY_MAGIC:
        raise ProtocolError(f"an answer begins with {magic:#x}")
    return AnswerHead(option, kind, length)


def build_answer(option: int, kind: int, data: bytes = b"") -> bytes:
    """An answer with its data."""
    return _ANSWER.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def parse_wanted(data: bytes) -> Wanted:
    """What INFO and GO ask for; raises ProtocolError."""
    name, rest = _name_and_rest(data)
    infos = _numbers(rest)
    return Wanted(name, infos)


def build_wanted(name: str, infos: Sequence[Info]) -> bytes:
    """The data of INFO and GO."""
    return build_name(name) + _NUMBER.pack(len(infos)) + b"".join(map(_NUMBER.pack, infos))


def parse_contexts(data: bytes) -> Contexts:
    """What LIST_META_CONTEXT and SET_META_CONTEXT ask for; raises ProtocolError."""
    name, rest = _name_and_rest(data)
    if len(rest) < _COUNT.size:
        raise ProtocolError("an option ends before its queries")
    count, rest, queries = _COUNT.unpack_from(rest)[0], rest[_COUNT.size :], list[str]()
    while rest:
        query, rest = _name_and_rest(rest)
        queries.append(query)
    if len(queries) != count:
        raise ProtocolError("an option has another number of queries than it says")
    return Contexts(name, queries)


def build_contexts(name: str, queries: Sequence[str]) -> bytes:
    """The data of LIST_META_CONTEXT and SET_META_CONTEXT."""
    return build_name(name) + _COUNT.pack(len(queries)) + b"".join(map(build_name, queries))


def build_name(name: str) -> bytes:
    """A name with its length in front."""
    data = name.encode("utf-8", "surrogateescape")
    return _LENGTH.pack(len(data)) + data


def export_info(size: int, flags: int) -> bytes:
    """Size and abilities of an export."""
    return _EXPORT.pack(Info.EXPORT, size, flags)


def parse_export_info(data: bytes) -> tuple[int, int]:
    """See `export_info`."""
    if len(data) != _EXPORT.size:
        raise ProtocolError(f"an export is described in {len(data)} bytes")
    return _EXPORT.unpack(data)[1:]


def text_info(info: Info, text: str) -> bytes:
    """A name or a description of an export."""
    return _NUMBER.pack(info) + text.encode("utf-8", "surrogateescape")[:LONGEST_NAME]


def block_info(sizes: BlockSizes) -> bytes:
    """The sizes of requests."""
    return _BLOCKS.pack(Info.BLOCK_SIZE, *sizes)


def parse_info_kind(data: bytes) -> int:
    """What an INFO answer is about; raises ProtocolError."""
    if len(data) < _NUMBER.size:
        raise ProtocolError("an answer says nothing")
    return int(_NUMBER.unpack_from(data)[0])


def parse_block_info(data: bytes) -> BlockSizes:
    """See `block_info`."""
    if len(data) != _BLOCKS.size:
        raise ProtocolError(f"block sizes are told in {len(data)} bytes")
    return BlockSizes(*_BLOCKS.unpack(data)[1:])


def old_export(size: int, flags: int, *, reserved: int) -> bytes:
    """The answer to EXPORT_NAME, with so many zeros behind it."""
    return _OLD_EXPORT.pack(size, flags) + bytes(reserved)


def context_answer(number: int, name: str) -> bytes:
    """A context and the number that it has from now on."""
    return _LENGTH.pack(number) + name.encode()


def parse_context(data: bytes) -> tuple[int, str]:
    """See `context_answer`."""
    if len(data) < _LENGTH.size:
        raise ProtocolError("a context has no number")
    return _LENGTH.unpack_from(data)[0], data[_LENGTH.size :].decode("utf-8", "backslashreplace")


def text_of(data: bytes) -> str:
    """A name as the other side sent it."""
    return data.decode("utf-8", "surrogateescape")


def _name_and_rest(data: bytes) -> tuple[str, bytes]:
    if len(data) < _LENGTH.size:
        raise ProtocolError("an option ends before a name's length")
    length = _LENGTH.unpack_from(data)[0]
    if length > min(LONGEST_NAME, len(data) - _LENGTH.size):
        raise ProtocolError(f"a name of {length} bytes does not fit in its option")
    end = _LENGTH.size + length
    return text_of(data[_LENGTH.size : end]), data[end:]


def _numbers(data: bytes) -> Sequence[int]:
    if len(data) < _NUMBER.size or len(data) != _NUMBER.size * (1 + _NUMBER.unpack_from(data)[0]):
        raise ProtocolError("an option has another number of items than it says")
    return [one[0] for one in _NUMBER.iter_unpack(data[_NUMBER.size :])]
