"""A client's handshake with an NBD server, which is as little trusted as a file: what it sends is bounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from analyzer.nbd.errors import NbdServerError, ProtocolError
from analyzer.nbd.numbers import (
    GREETING,
    MOST_OPTION,
    MOST_PAYLOAD,
    OPTION_MAGIC,
    REFUSAL,
    Answer,
    Handshake,
    Info,
    Option,
    Transmission,
)
from analyzer.nbd.options import (
    ANSWER_SIZE,
    AnswerHead,
    BlockSizes,
    build_contexts,
    build_option,
    build_wanted,
    parse_answer_head,
    parse_block_info,
    parse_context,
    parse_export_info,
    parse_info_kind,
)
from analyzer.nbd.uri import NbdAddress
from analyzer.nbd.wire import Wire

ALLOCATION, STATUS = "base:allocation", "vhdx:status"
"""Contexts that are asked for: what every server may have, and what ours has."""
_MOST_ANSWERS = 256
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class ServedExport:
    """What a server says of an export; `contexts` are the numbers of those that it has."""

    size: int
    flags: int
    blocks: BlockSizes
    is_structured: bool
    contexts: Mapping[int, str]

    @property
    def takes_several_clients(self) -> bool:
        """Several connections at a time see the same disk."""
        return bool(self.flags & Transmission.CAN_MULTI_CONN)


def agree(wire: Wire, address: NbdAddress) -> ServedExport:
    """What both sides agree on at the beginning; raises ProtocolError, NbdServerError for a refusal, OSError."""
    if wire.take(16) != GREETING + OPTION_MAGIC:
        raise ProtocolError("its first bytes are not those of an NBD server of today")
    offered = int.from_bytes(wire.take(2), "big")
    if not offered & Handshake.FIXED_NEWSTYLE:
        raise ProtocolError("it is of a kind before 2012")
    wire.send((offered & int(Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES)).to_bytes(4, "big"))
    *_, last = _ask(wire, Option.STRUCTURED_REPLY)
    is_structured = last[0].kind == Answer.ACK
    contexts = _choose_contexts(wire, address) if is_structured else {}
    size, flags, blocks = _go(wire, address)
    return ServedExport(size, flags, blocks, is_structured, contexts)


def _choose_contexts(wire: Wire, address: NbdAddress) -> Mapping[int, str]:
    asked = build_contexts(address.export, (ALLOCATION, STATUS))
    found = (data for head, data in _ask(wire, Option.SET_META_CONTEXT, asked) if head.kind == Answer.META_CONTEXT)
    return dict(map(parse_context, found))


def _go(wire: Wire, address: NbdAddress) -> tuple[int, int, BlockSizes]:
    size, flags, blocks = -1, 0, BlockSizes(1, 4096, MOST_PAYLOAD)
    for head, data in _ask(wire, Option.GO, build_wanted(address.export, [Info.BLOCK_SIZE])):
        if head.kind & REFUSAL:
            sentence = data.decode("utf-8", "backslashreplace") or f"answer {head.kind:#x}"
            raise NbdServerError(address, f"the server refuses it: {sentence}")
        if head.kind == Answer.INFO and parse_info_kind(data) == Info.EXPORT:
            size, flags = parse_export_info(data)
        elif head.kind == Answer.INFO and parse_info_kind(data) == Info.BLOCK_SIZE:
            blocks = _checked(parse_block_info(data))
    if not 0 <= size <= _LARGEST:
        raise ProtocolError(f"it says that the disk has {size} bytes")
    return size, flags, blocks


def _ask(wire: Wire, option: Option, data: bytes = b"") -> Iterator[tuple[AnswerHead, bytes]]:
    """The answers to an option, up to the one that ends them."""
    wire.send(build_option(option, data))
    for _ in range(_MOST_ANSWERS):
        head = parse_answer_head(wire.take(ANSWER_SIZE))
        if head.option != option or head.length > MOST_OPTION:
            raise ProtocolError(f"it answers option {option} with {head.length} bytes about option {head.option}")
        yield head, wire.take(head.length)
        if head.kind == Answer.ACK or head.kind & REFUSAL:
            return
    raise ProtocolError(f"it answers one option more than {_MOST_ANSWERS} times")


def _checked(blocks: BlockSizes) -> BlockSizes:
    """Sizes that can be kept to; raises ProtocolError."""
    least = blocks.least
    if not 1 <= least <= 64 << 10 or least & (least - 1) or blocks.most < least:
        raise ProtocolError(f"it wants blocks of {least} to {blocks.most} bytes")
    return blocks
