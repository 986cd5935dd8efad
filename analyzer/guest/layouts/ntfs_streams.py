"""What a record of NTFS says of one stream beside where it is: the bytes in the record, or how far it was written."""

from typing import NamedTuple

from analyzer.guest.layouts.ntfs import ATTRIBUTE, BASE, DATA, PACKED, RESIDENT, attributes_of, parse_record

_LIST = 0x20
_ALLOCATED = slice(28, 32)  # bytes of the record, by itself
_LENGTH = slice(4, 8)
_NAME_AT = slice(10, 12)


class NtfsStream(NamedTuple):
    """A stream that one record describes whole, and that is neither compressed, encrypted nor sparse."""

    size: int
    initialized: int
    """Bytes that were ever written; what is past them reads as zeros, whatever is in its place."""
    inside: bytes | None
    """All that it holds, where that is in the record."""


def stream_in(raw: bytes, number: int, name: str) -> NtfsStream | None:
    """What a whole record says of the data stream of a name, "" for the file's own.

    None where it is not the record of that number, is torn, is a part of a file's records, or names none or several.
    """
    head = parse_record(raw)
    if head is None or head.number != number or int.from_bytes(raw[_ALLOCATED], "little") != len(raw) or any(raw[BASE]):
        return None
    attributes = [*attributes_of(raw)]
    found = [attribute for kind, attribute in attributes if kind == DATA and _name_of(attribute) == name]
    return None if len(found) != 1 or any(kind == _LIST for kind, _ in attributes) else whole_stream(found[0])


def _name_of(attribute: bytes) -> str:
    at = int.from_bytes(attribute[_NAME_AT], "little")
    return attribute[at : at + 2 * attribute[9]].decode("utf-16-le", "replace") if attribute[9] else ""


def whole_stream(attribute: bytes) -> NtfsStream | None:
    """What an attribute says of its stream; None where it does not describe all of it, or that is packed or sparse."""
    whole = attribute.ljust(ATTRIBUTE.size, b"\0")  # one in its record may be shorter
    _, _, is_outside, _, flags, first, _, size, initialized = ATTRIBUTE.unpack_from(whole)
    if flags & PACKED:
        return None
    if is_outside:
        return NtfsStream(size, min(size, initialized), None) if not first else None
    length, at = RESIDENT.unpack_from(attribute)
    inside = attribute[at : at + length]
    is_whole = len(inside) == length and at + length <= int.from_bytes(attribute[_LENGTH], "little")
    return NtfsStream(length, length, inside) if is_whole else None
