"""The names in the index of a folder of NTFS, block by block."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from analyzer.guest.layouts.ntfs import RESIDENT, attributes_of, index_in

_ROOT = 0x90
# Of the root: what is sorted and how, in front of the head of its entries; of a block: fixups and its number.
_ROOT_HEAD, _BLOCK_HEAD = 16, 24
_NODE, _ENTRY = struct.Struct("<II"), struct.Struct("<QHHH2x")
_IS_LAST, _OF_DOS = 2, 2
_LETTERS, _NAME = 64, 66
"""Bytes of a name at which its length and namespace, and it, are."""
_NUMBER_BITS = 48


class NamedRecord(NamedTuple):
    """A name, and the record that it leads to, by its number and the sequence number that this must have."""

    name: str
    number: int
    sequence: int


def names_in_root(record: bytes) -> Iterator[NamedRecord]:
    """The names in the record of a folder itself; nothing where it is torn."""
    for kind, attribute in attributes_of(record):
        if kind == _ROOT:
            length, at = RESIDENT.unpack_from(attribute)
            yield from _names(attribute[at : at + length], _ROOT_HEAD)


def names_in_block(raw: bytes) -> Iterator[NamedRecord]:
    """The names in a block of an index; nothing where it is none, or torn."""
    yield from _names(index_in(raw), _BLOCK_HEAD)


def _names(raw: bytes, head: int) -> Iterator[NamedRecord]:
    if len(raw) < head + _NODE.size:
        return
    first, used = _NODE.unpack_from(raw, head)
    at, end = head + first, min(len(raw), head + used)
    while at + _ENTRY.size <= end:
        reference, length, key, flags = _ENTRY.unpack_from(raw, at)
        if flags & _IS_LAST or length < _ENTRY.size:
            return
        name = raw[at + _ENTRY.size : at + _ENTRY.size + key]
        letters = name[_NAME : _NAME + 2 * name[_LETTERS]] if len(name) > _NAME else b""
        if letters and not len(letters) % 2 and name[_LETTERS + 1] != _OF_DOS:
            text = letters.decode("utf-16-le", "surrogatepass")
            yield NamedRecord(text, reference & ((1 << _NUMBER_BITS) - 1), reference >> _NUMBER_BITS)
        at += length
