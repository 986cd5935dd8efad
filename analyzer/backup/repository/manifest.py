"""The manifest of a restore point: what the index has no place for; and how documents are stored.

Documents are JSON that knows when it was damaged: each carries the SHA-256 of everything else in it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from analyzer.backup.errors import BadDocumentError
from analyzer.backup.repository.layer_records import LayerRecord
from analyzer.backup.storage.storage import Stored
from vhdx.ranges import Range

FORMAT, VERSION = "vhdx-backup-point", 1
SELF = "sha256_of_this_document"
"""Over the document without this member: sorted keys, no spaces, ASCII, as `json.dumps` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What making a restore point took; the run's, when it made several."""

    read_in_full: str | None
    """Why all of the disk was read; None where only what changed was."""
    read_bytes: int
    """Of data, from the files of the chain."""
    chunks_written: int
    bytes_written: int
    """Of chunks, packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All of it; sizes are bytes. A restore point exists when its manifest does."""

    name: str
    created: datetime
    """UTC, to the second: when the run began, which made the point."""
    tool: str
    size: int
    chunk_size: int
    logical_sector_size: int
    physical_sector_size: int
    block_size: int
    """Of the base: what a VHDX restored from it gets."""
    disk_id: str
    index_sha256: str
    """Of the .caibx before it is sealed; it identifies the content of the whole disk."""
    image_sha256: str | None
    """Of the flat disk; None where hashing it would have meant to read what did not change."""
    image_sha512_256: str | None
    """The same, as `casync digest` gives it."""
    layer: int
    """The number of the newest layer: 0 for a base."""
    chain: tuple[LayerRecord, ...]
    """Base first."""
    lost: tuple[Range, ...]
    """Bytes that could not be known; they read as zeros."""
    warnings: tuple[str, ...]
    """What opening found: parents that do not match (what is read may be stale), logs replayed, and the like."""
    parent: str | None
    """The restore point whose chunks were taken over unread."""
    checkpoints: tuple[str, ...] = ()
    """The restore points of the layers below that its run made, or found there; they are given up together with it."""
    host: str = ""
    """The machine on which the run looked at `chain`'s paths; "" in points of versions that did not note it."""
    tags: tuple[str, ...] = ()
    """What its user calls points that belong together."""
    effort: Effort

    @property
    def lost_bytes(self) -> int:
        """Bytes of the disk that were not known when the point was made."""
        return sum(part.length for part in self.lost)


def build_manifest(manifest: Manifest) -> bytes:
    """The JSON document."""
    members = asdict(manifest) | {"created": manifest.created.isoformat()}
    return build_document({"format": FORMAT, "version": VERSION} | members)


def parse_manifest(stored: Stored) -> Manifest:
    """The manifest in a document; raises BadDocumentError."""
    members = parse_document(stored)
    if members.pop("format", None) != FORMAT:
        raise BadDocumentError("it is no manifest of a restore point")
    if (version := members.pop("version", None)) != VERSION:
        raise BadDocumentError(f"it is of version {version}, which this program does not know")
    try:
        chain = (one | {"claims": _ranges(one["claims"]), "headers": tuple(one["headers"])} for one in members["chain"])
        made: dict[str, Any] = {
            "created": datetime.fromisoformat(members["created"]),
            "chain": tuple(LayerRecord(**layer) for layer in chain),
            "lost": _ranges(members["lost"]),
            "warnings": tuple(members["warnings"]),
            "checkpoints": tuple(map(str, members.get("checkpoints", ()))),
            "host": str(members.get("host", "")),
            "tags": tuple(map(str, members.get("tags", ()))),
            "effort": Effort(**members["effort"]),
        }
        return Manifest(**(members | made))
    except (TypeError, ValueError, KeyError) as error:
        raise BadDocumentError(f"a member is missing or of another kind ({error})") from error


def _ranges(rows: list[list[int]]) -> tuple[Range, ...]:
    return tuple(Range(int(start), int(length)) for start, length in rows)


def build_document(members: Mapping[str, Any]) -> bytes:
    """The document, for people to read."""
    return (json.dumps({**members, SELF: _sum_of(members)}, indent=1) + "\n").encode("ascii")


def parse_document(stored: Stored) -> dict[str, Any]:
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
