"""FAT and exFAT: where directory entries and the entries of the table stand."""

import struct
from collections.abc import Iterable, Iterator

from analyzer.filesystems.record import Extent, Place
from analyzer.filesystems.view import View

_ENTRY = 32
_EXFAT_MOST_ENTRIES = 19
_FIRST_FAT_INODE = 3
"""The number that the reader gives the first directory entry; those before are the root's."""


class FatLayout:
    """FAT and exFAT: an address is the place of the directory entry, and the chain of clusters stands in the FAT."""

    def __init__(self, view: View, kind: str) -> None:
        """Take the geometry from the boot sector."""
        self._start, self.kind = view.start, kind
        boot = view.read(0, 512)
        self._of_exfat(boot) if kind == "exfat" else self._of_fat(boot)

    def _of_exfat(self, boot: bytes) -> None:
        fat, _, heap = struct.unpack_from("<III", boot, 80)
        sector = 1 << min(boot[108], 12)
        self.sector, self.cluster = sector, sector << min(boot[109], 25)
        self._fat, self._heap = fat * sector, heap * sector
        self._first, self._bits = heap, 32
        self.root = self._heap + (max(2, struct.unpack_from("<I", boot, 96)[0]) - 2) * self.cluster

    def _of_fat(self, boot: bytes) -> None:
        sector, per_cluster, reserved, fats, roots = struct.unpack_from("<HBHBH", boot, 11)
        short, large = struct.unpack_from("<H", boot, 22)[0], struct.unpack_from("<I", boot, 36)[0]
        root = reserved + fats * (short or large)
        self.sector, self.cluster = sector, sector * per_cluster
        self._fat, self._heap = reserved * sector, (root + -(-roots * _ENTRY // sector)) * sector
        self._first, self._bits = root, {"fat12": 12, "fat16": 16}.get(self.kind, 32)

    def record_places(self, address: int) -> list[Place]:
        """See Layout; of exFAT the longest set of entries that can begin there."""
        if address < _FIRST_FAT_INODE:
            return []
        sector, entry = divmod(address - _FIRST_FAT_INODE, self.sector // _ENTRY)
        count = _EXFAT_MOST_ENTRIES if self.kind == "exfat" else 1
        return [(self._start + (self._first + sector) * self.sector + entry * _ENTRY, count * _ENTRY)]

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Place]:
        """The entries of the FAT for the clusters of a file."""
        for extent in extents:
            cluster = (extent.start - self._start - self._heap) // self.cluster + 2
            count = -(-extent.length // self.cluster)
            lower, upper = cluster * self._bits // 8, -(-(cluster + count) * self._bits // 8)
            if cluster >= 2:  # noqa: PLR2004 - clusters are counted from 2; the root of FAT12 and FAT16 is in none
                yield self._start + self._fat + lower, upper - lower

    def sequence_of(self, address: int) -> int:  # noqa: ARG002 - see Layout
        """A directory entry has none."""
        return 0
