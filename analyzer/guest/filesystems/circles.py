"""Files of ext2 and ext3 whose blocks of numbers lead back to themselves: the reader would walk them without end."""

from bisect import bisect_right

from analyzer.guest.filesystems.metadata_places import ExtLayout
from analyzer.guest.filesystems.volume_reader import Redirect, View
from analyzer.guest.layouts.ext import ExtSuperblock
from analyzer.guest.layouts.ext_inodes import inodes_in_use

_AT_ONCE = 64  # inodes that are looked at together: the reader asks for more at a time


class WithoutCircles(View):
    """A volume whose inodes that lead in circles read as empty. They are looked at when they are read first.

    So the reader never sees one, and nobody waits until its process has used up its time.
    """

    def __init__(self, view: View, superblock: ExtSuperblock, found: set[int]) -> None:
        """As `view`; the addresses of such inodes are added to `found`."""
        super().__init__(view.disk, view.start, view.size, view.redirects)
        self._plain, self._found, self._looked = view, found, set[int]()
        self._layout = ExtLayout(view, superblock)
        tables = ((self._layout.inode_table(group), group) for group in range(self._layout.groups))
        self._tables = sorted((table, group) for table, group in tables if table)
        self._starts = [table for table, _ in self._tables]

    def read(self, offset: int, length: int) -> bytes:
        """See View."""
        unit = _AT_ONCE * self._layout.inode
        for table, group in self._tables[max(0, bisect_right(self._starts, offset) - 1) :]:
            end = min(offset + length, table + self._layout.inodes_per_group * self._layout.inode)
            if table >= offset + length:
                break
            for at in range(table + (max(offset, table) - table) // unit * unit, end, unit):
                if at not in self._looked:
                    self._looked.add(at)
                    self._look(at, group * self._layout.inodes_per_group + 1 + (at - table) // self._layout.inode)
        return super().read(offset, length)

    def _look(self, at: int, first: int) -> None:
        """Empty those of the inodes at a byte of the volume that lead in circles; `first` is the address of one."""
        size = self._layout.inode
        for index, inode in inodes_in_use(self._plain.read(at, _AT_ONCE * size), size):
            if inode.has_circle(self._layout.block, self._plain.read):
                self._found.add(first + index)
                self.redirects = (*self.redirects, Redirect(at + index * size, size, None))
