"""Fields and tables that several structures share."""

from itertools import takewhile
from typing import Any, TypeVar
from uuid import UUID

from construct import Bytes, ExprAdapter

from vhdx.structures.constants import MAX_TABLE_ENTRIES

Entry = TypeVar("Entry")

Guid: Any = ExprAdapter(
    Bytes(16),
    decoder=lambda raw, _context: UUID(bytes_le=bytes(raw)),
    encoder=lambda guid, _context: guid.bytes_le,
)
"""A GUID in the Windows byte order."""


def decode_text(raw: bytes) -> str | None:
    """UTF-16LE text without a terminator; None when it is no text: odd length, lone surrogate, or a NUL inside."""
    try:
        text = raw.decode("utf-16-le")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def listed(entries: tuple[Entry, ...], claimed: int, empty: Entry) -> tuple[Entry, ...]:
    """The entries of a table; where it claims more than can be right, those before the first empty one."""
    return entries if claimed <= MAX_TABLE_ENTRIES else tuple(takewhile(lambda entry: entry != empty, entries))
