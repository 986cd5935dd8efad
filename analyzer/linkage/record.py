"""One file as a scan knows it: who it is, whom it names as its parent, and what kept it from being read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from uuid import UUID

from vhdx.contents import Structures
from vhdx.findings import Finding, Severity
from vhdx.paths import Refused, locate
from vhdx.source import file_identity
from vhdx.structures.constants import NIL

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


class Container(Enum):
    """Which of Hyper-V's formats a file has."""

    VHDX = "VHDX"
    VHD = "VHD"
    """Version 1: its identity is the unique id, and it has no other."""


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
    """One VHDX or VHD file, or one that is called so. Sizes are bytes, times seconds since 1970; None is not known."""

    path: Path
    file_id: FileId | None = None
    container: Container = Container.VHDX
    condition: Condition = Condition.WHOLE
    file_size: int = 0
    modified: float = 0.0
    created: float | None = None
    """When the file was made, where the system keeps that."""
    identity: UUID | None = None
    """The current header's data_write_guid; a VHD's unique id."""
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


def compare_with_parent(child: FileRecord, parent: FileRecord, *, fits: bool, slack: float) -> Iterator[Finding]:
    """What the two files say differently: CHN-06, CHN-07, CHN-11; `fits`: the identity is one that the child names.

    `slack` are the seconds by which a parent may be newer.
    """
    if fits and child.linkages and parent.identity != child.linkages[0]:
        text = f"{parent.path} is the parent by parent_linkage2"
        yield Finding("CHN-07", Severity.NOTE, text, section="2.6.2.6", path=child.path)
    for what, mine, its in (
        ("disk", child.disk_size, parent.disk_size),
        ("block", child.block_size, parent.block_size),
    ):
        if None not in {mine, its} and mine != its:
            text = f"the {what} size is {mine}, that of the parent {parent.path} {its}"
            yield Finding("CHN-06", Severity.NOTE, text, section="2.6.2", path=child.path)
    newer = parent.modified - child.modified
    if newer > slack:
        # A note while the identities agree, for then only the times of a copy are wrong.
        text = f"the parent {parent.path} was modified {newer:.0f} s after its child"
        yield Finding("CHN-11", Severity.NOTE if fits else Severity.WARNING, text, path=child.path)


def with_structures(record: FileRecord, structures: Structures) -> FileRecord:
    """The record with identities, what disk it is, and the parent that it names; unchanged without a valid header."""
    pair, disk, locator = structures.headers.value, structures.parameters.value, structures.locator.value
    if pair is None or pair.current_copy is None:
        return record
    current, previous = pair.current, pair.previous
    is_other = previous is not None and previous.data_write_guid != current.data_write_guid
    record = replace(
        record,
        identity=_known(current.data_write_guid),
        previous_identity=_known(previous.data_write_guid) if previous is not None and is_other else None,
        file_write_guid=_known(current.file_write_guid),
        sequence_number=current.sequence_number,
        has_parent=locator is not None,  # whatever the parameters say: nothing but a child has one
    )
    if disk is not None:
        record = replace(
            record, has_parent=disk.has_parent, disk_id=_known(disk.disk_id), disk_size=disk.size,
            block_size=disk.block_size, sector_size=disk.logical_sector_size,
        )  # fmt: skip
    if locator is None:
        return record
    places = tuple(place_at(key, text, record.path.parent) for key, text in locator.paths)
    return replace(record, linkages=locator.linkages, places=places)


def _known(guid: UUID) -> UUID | None:
    """A GUID of zeros names nothing: files that have it are not the same file."""
    return None if guid == NIL else guid


def place_at(key: str, text: str, folder: Path) -> Place:
    """A path that a file in a folder names, under the key that it has there."""
    found = locate(text, folder, ())
    if isinstance(found, Refused):
        return Place(key=key, text=text, refused=found.reason)
    return Place(key=key, text=text, path=found, file_id=file_identity(found))


class Bearing(Enum):
    """What a fact speaks for."""

    SAME_DISK = "same disk"
    NEUTRAL = "neither"
    CHANGED = "parent changed since"
    OTHER_DISK = "another disk"


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that was looked at, as a sentence without its full stop."""

    text: str
    bearing: Bearing

    def __str__(self) -> str:
        return self.text
