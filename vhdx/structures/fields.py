"""Field types that several structures share."""

from typing import Any
from uuid import UUID

from construct import Bytes, ExprAdapter

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
