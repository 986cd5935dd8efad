"""JSON documents that know when they were damaged: each carries the SHA-256 of everything else in it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SELF = "sha256_of_this_document"
"""Over the document without this member: sorted keys, no spaces, ASCII, as `json.dumps` writes it."""


class BadDocumentError(ValueError):
    """Bytes are not the document that was written; the text says why. Whoever read them knows where they stood."""


def build_document(members: Mapping[str, Any]) -> bytes:
    """The document, for people to read."""
    return (json.dumps({**members, SELF: _sum_of(members)}, indent=1) + "\n").encode("ascii")


def parse_document(stored: bytes) -> dict[str, Any]:
    """The members; raises BadDocumentError for bytes that are no document, or a changed one."""
    try:
        members = json.loads(stored.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadDocumentError(f"it is no JSON ({error})") from error
    if not isinstance(members, dict):
        raise BadDocumentError("it is no JSON object")
    expected = members.pop(SELF, None)
    if expected != _sum_of(members) or stored != build_document(members):
        raise BadDocumentError("its SHA-256 is not the one it was written with")
    return members


def _sum_of(members: Mapping[str, Any]) -> str:
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
