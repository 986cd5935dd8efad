"""What is known of volumes and of the files in them. All places are bytes of the disk.

Files come by the million, and go through two processes: they are tuples, which are made three times as fast as frozen
dataclasses, and told on as they are.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from vhdx.ranges import Range

SLASH = "\udc2f"
"""What a slash in a name becomes: no name can have one, and a path would be another."""


class FileKind(Enum):
    """What a file is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    """A symbolic link or a junction."""
    OTHER = "other"
    """A device, a pipe, a socket; or nothing is known of it but its name."""


class FileState(Enum):
    """Whether a file is there."""

    ALLOCATED = "allocated"
    DELETED = "deleted"
    """Its name and its record are left; what it held may have been given to others since."""
    OVERWRITTEN = "overwritten"
    """Its name alone is left: another file has its record, or the record cannot be read."""


class Role(Enum):
    """Whose a file is."""

    USER = "user"
    SYSTEM = "system"
    """The file system's own: $MFT, $Bitmap, the FAT."""


NO_RECORD = "its record cannot be read"
"""The obstacle of a name whose file nothing else is known of."""
ENDLESS = "it keeps the reader of file systems busy without end, or ends it"
"""The obstacle of a file that is not looked at any more."""
IMPOSSIBLE = "its record tells of places that no disk has"
"""The obstacle of a file of which not all places are told on, because they cannot be."""
LOST_RECORD = "its record or its tables are lost"
"""The obstacle of a file of whose record nothing, or not all, could be read."""


UNCLEAN = "it was not shut down cleanly: what was written last may be missing, or half there"
"""The note of a volume that says so of itself."""


class Include(Enum):
    """Which names are given."""

    PRESENT = "present"
    DELETED = "deleted"
    """Those that are deleted too, where anything is left of them."""


ORPHANS = "/$OrphanFiles"
"""Where the reader puts deleted files that no folder has a name of."""
UNREACHED = "$unreached"
"""Above what no path leads to, because what is above it is lost."""


class Packing(Enum):
    """How a stream's bytes are stored."""

    PLAIN = "plain"
    COMPRESSED = "compressed"
    ENCRYPTED = "encrypted"


class Times(NamedTuple):
    """Nanoseconds since 1970, UTC; None is not known. FAT has local times, which are taken for UTC."""

    modified: int | None = None
    accessed: int | None = None
    changed: int | None = None
    """When the file's record was changed; FAT has none."""
    created: int | None = None


class Extent(NamedTuple):
    """A run of a stream: `length` bytes at byte `offset` of it are at byte `start` of the disk."""

    offset: int
    start: int
    length: int

    @property
    def on_disk(self) -> Range:
        """Where it is on the disk."""
        return Range(self.start, self.length)


class Stream(NamedTuple):
    """What a file holds: its data (no name), an alternate stream, or something of the file system's own.

    `extents` is where it is; what they do not cover is a hole, or is in the file's record (`resident`).
    """

    name: str
    size: int
    type: int
    id: int
    packing: Packing
    resident: tuple[Range, ...]
    extents: tuple[Extent, ...]


class FileRecord(NamedTuple):
    """A name in a folder, and the file that it leads to.

    `address` and `sequence` tell files of one volume apart: on NTFS the number of the file's record and how often that
    was given away, on ext the inode and its generation, on FAT and exFAT the place of the directory entry alone.
    """

    volume: int
    path: str
    """From the volume's root, with slashes; bytes that are no UTF-8 are surrogates."""
    address: int
    parent: int
    """The address of its folder."""
    kind: FileKind
    sequence: int = 0
    state: FileState = FileState.ALLOCATED
    role: Role = Role.USER
    size: int = 0
    times: Times = Times()
    mode: int = 0
    owner: int = 0
    group: int = 0
    links: int = 0
    target: str | None = None
    """Where a link leads to."""
    data: Stream | None = None
    """What it holds; None where it holds nothing, or where nothing is known of it."""
    streams: tuple[Stream, ...] = ()
    """Alternate streams."""
    metadata: tuple[Range, ...] = ()
    """Where its record, its index and its tables are."""
    obstacle: str | None = None
    """Why its content cannot be read as the file system of its own would read it."""

    @property
    def is_name_alone(self) -> bool:
        """Whether nothing is known of it but its name, although it is there."""
        return self.state is FileState.ALLOCATED and self.obstacle == NO_RECORD

    @property
    def is_known(self) -> bool:
        """Whether all that the file system says of it could be read: its record, and where what it holds is."""
        return self.obstacle not in {NO_RECORD, LOST_RECORD, ENDLESS}

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def content(self) -> tuple[Range, ...]:
        """Where its data, and that of its streams, is."""
        streams = (self.data, *self.streams) if self.data else self.streams
        places = [Range(start, length) for stream in streams for _, start, length in stream.extents]
        return (*places, *[place for stream in streams for place in stream.resident])


@dataclass(frozen=True, slots=True)
class UnixDetails:
    """What a file system of Unix keeps of a file beside its record."""

    mode: int
    """Kind and permissions, as stat has them."""
    device: tuple[int, int] = (0, 0)
    """Major and minor number of a device."""
    attributes: tuple[tuple[str, bytes], ...] = ()
    """Extended attributes: names, with `user.` and the like in front, and values."""
    unread: tuple[str, ...] = ()
    """Names of those whose values cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """A volume: a partition, or the whole disk."""

    number: int
    start: int
    length: int
    type: str
    """ntfs, fat12, fat16, fat32, exfat, ext2, ext3, ext4; for others what they are; "unknown"."""
    label: str
    table: str
    """Where it is listed: gpt, mbr, or none for a disk without a partition table."""
    beneath: bool = False
    """It is another reading of the same bytes: other volumes lie over it."""
    reason: str | None = None
    """Why its files cannot be read; None where they can."""
    notes: tuple[str, ...] = ()
    """What is worth knowing of it: a journal that was not applied, a superblock that is a backup."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something of a volume that could not be read, or is not as it must be."""

    volume: int
    path: str
    text: str

    def __str__(self) -> str:
        return f"volume {self.volume}, {self.path or '/'}: {self.text}"
