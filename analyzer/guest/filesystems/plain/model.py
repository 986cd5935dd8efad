"""What is plain of a volume, as somebody asks for it."""

from collections.abc import Iterator
from typing import Protocol

from analyzer.guest.filesystems.record import ORPHANS, FileKind, FileRecord, Role
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.ntfs_index import NamedRecord
from analyzer.guest.layouts.ntfs_streams import NtfsStream

MOST_FOLDER = 16 << 20
"""Bytes of a folder, some 200,000 names: the largest that is read here."""


class Plain(Protocol):
    """The present files of one volume, as far as they are plain."""

    view: View
    """When it has missed anything, nothing is plain any more."""
    block: int
    identity: bytes
    """See Facts."""

    def root(self) -> FileRecord | None:
        """The topmost folder; None where it is not plain."""
        ...

    def entries(self, folder: FileRecord) -> Iterator[FileRecord | NamedRecord] | None:
        """What is in a folder, in the order of the file system; None where the folder is not plain.

        A file that is not is given by its name alone.
        """
        ...

    def told(self, address: int, name: str) -> NtfsStream | None:
        """What the record of one of the last files says of a stream, which was read with the rest; else None."""
        ...


def orphans_below(root: FileRecord, address: int) -> FileRecord:
    """The folder of deleted files without a name, which the library makes up at the end of the topmost one."""
    return FileRecord(root.volume, ORPHANS, address, root.address, FileKind.DIRECTORY, role=Role.SYSTEM, links=1)
