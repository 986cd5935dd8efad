"""FAT and exFAT: where directory entries and the entries of the table stand."""

from collections.abc import Iterable, Iterator

from analyzer.guest.filesystems.record import Extent
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.fat import ENTRY, FatBoot
from vhdx.ranges import Range

_EXFAT_MOST_ENTRIES = 19
_FIRST_FAT_INODE = 3
"""The number that the reader gives the first directory entry; those before are the root's."""


class FatLayout:
    """FAT and exFAT: an address is the place of the directory entry, and the chain of clusters stands in the FAT."""

    def __init__(self, view: View, boot: FatBoot | ExfatBoot) -> None:
        """Take the geometry from the boot sector."""
        self._start, self.is_exfat = view.start, isinstance(boot, ExfatBoot)
        self.sector, self.cluster = boot.sector_size, boot.cluster_size
        self._heap = boot.heap * self.sector
        if isinstance(boot, ExfatBoot):
            self._fat, self._first, self._bits = boot.fat * self.sector, boot.heap, 32
            self.root = self._heap + (max(2, boot.root) - 2) * self.cluster
        else:
            self._fat, self._first = boot.reserved * self.sector, boot.root
            self._bits = {"fat12": 12, "fat16": 16}.get(boot.kind, 32)

    def record_places(self, address: int) -> list[Range]:
        """See Layout; of exFAT the longest set of entries that can begin there."""
        if address < _FIRST_FAT_INODE:
            return []
        sector, entry = divmod(address - _FIRST_FAT_INODE, self.sector // ENTRY)
        count = _EXFAT_MOST_ENTRIES if self.is_exfat else 1
        return [Range(self._start + (self._first + sector) * self.sector + entry * ENTRY, count * ENTRY)]

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Range]:
        """The entries of the FAT for the clusters of a file."""
        for extent in extents:
            cluster = (extent.start - self._start - self._heap) // self.cluster + 2
            count = -(-extent.length // self.cluster)
            lower, upper = cluster * self._bits // 8, -(-(cluster + count) * self._bits // 8)
            if cluster >= 2:  # noqa: PLR2004 - clusters are counted from 2; the root of FAT12 and FAT16 is in none
                yield Range(self._start + self._fat + lower, upper - lower)

    def sequence_of(self, address: int) -> int:  # noqa: ARG002 - see Layout
        """A directory entry has none."""
        return 0
