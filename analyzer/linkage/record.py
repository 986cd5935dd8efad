"""One file as a scan knows it: who it is, whom it names as its parent, and what kept it from being read."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import UUID

from vhdx.findings import Finding

FileId = tuple[int, int]
"""Volume and number: what tells one file from another, whatever its names."""


class Condition(Enum):
    """How far a file could be read."""

    WHOLE = "whole"
    LIVE = "live log"
    """It opens; its host did not close it, and its log is replayed in memory."""
    DAMAGED = "damaged"
    """It does not open; what its headers and metadata tell is enough to give it a place in the forest."""
    UNREADABLE = "unreadable"
    """Not even its identity is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One path of a parent locator. `text` is a stranger's and must be made safe before it is shown."""

    key: str
    text: str
    path: Path | None = None
    """Where that is on this machine; None when it is not followed, and `refused` says why."""
    refused: str = ""
    file_id: FileId | None = None
    """The file that is there; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One VHDX file, or one that is called so. Sizes are bytes, times seconds since 1970; None is not known."""

    path: Path
    file_id: FileId | None = None
    condition: Condition = Condition.WHOLE
    file_size: int = 0
    modified: float = 0.0
    created: float | None = None
    """When the file was made, where the system keeps that."""
    identity: UUID | None = None
    """The current header's data_write_guid."""
    previous_identity: UUID | None = None
    """That of the other header, when it is valid and another one."""
    file_write_guid: UUID | None = None
    sequence_number: int = 0
    has_parent: bool = False
    linkages: tuple[UUID, ...] = ()
    places: tuple[Place, ...] = ()
    creator: str = "unknown"
    """The program that made the file, as it names itself: a stranger's text."""
    disk_id: UUID | None = None
    disk_size: int | None = None
    block_size: int | None = None
    sector_size: int | None = None
    findings: tuple[Finding, ...] = ()
    """What opening found, the error that prevented it included."""
    flaw: str = ""
    """One sentence that says why the file does not open."""
