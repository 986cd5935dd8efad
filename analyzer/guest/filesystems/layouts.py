"""Where a file system keeps what it knows of a file: records, inodes, directory entries, tables."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from analyzer.guest.filesystems.record import Extent
from vhdx.ranges import Range


class Layout(Protocol):
    """What tells the places of metadata from a file's address."""

    def record_places(self, address: int) -> list[Range]:
        """Where the record, inode or directory entry of an address stands, bytes of the disk."""
        ...

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Range]:
        """Where a table outside of the record says which places a file has; nothing on NTFS and ext."""
        ...

    def sequence_of(self, address: int) -> int:
        """What tells one use of an address from the next, where the reader does not give it; else 0."""
        ...
