"""The evidence on absent entries, once there is room that nothing owns: the volumes, and pages of the table."""

from dataclasses import dataclass

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.usage.model import Extents, Usage
from analyzer.guest.usage.volumes import usages_of
from analyzer.judgement.entries import PAGE_SLOTS, bytes_of, empty_pages
from vhdx.disk import Disk, Mask, MaskedDisk
from vhdx.ranges import NO_RANGES, Ranges, union
from vhdx.runs import Kind
from vhdx.table import BlockTable

FILES_OF_A_BLOCK = 3
"""Files that have something in one block which reads as zeros: one may be a file of zeros, and two may touch there.
tests/analyzer/judgement/test_false_alarms.py holds the number."""

# Of so many files the first page is read: nine of ten that hold something leave one in a thousand for three by chance.
_MOST_LOOKED, _LOOK, _MOSTLY = 64, 4096, 0.9


@dataclass(frozen=True)
class Weighing:
    """What speaks for and against absent blocks. `disk` is as the table's file shows it; `rooms` have no owner."""

    table: BlockTable
    disk: Disk
    rooms: int
    absent: Ranges

    def verdict(self) -> tuple[Ranges, Ranges, str]:
        """The absent blocks in doubt, those that the volumes call free, and what shows that entries were lost."""
        # What a parent shows in place of an absent block is not zeros, and nothing can be read out of it.
        zeros = self.absent & union(table.of_kind(Kind.HOLE).ranges for table in self.disk.windows())
        masked = MaskedDisk(self.disk, Mask.of(zeros, self.disk.size, "absent"))
        usages = usages_of(ReadableDisk(masked))
        told, used = union(usage.told for usage in usages), union(usage.used for usage in usages)
        free = self._whole_blocks(zeros & (told - used))
        proof = self._contradiction(usages, zeros, used)
        if proof:
            filled = (Ranges.of_columns(usage.filled.start, usage.filled.length) for usage in usages)
            concerned = union((Ranges.of(usage.extent for usage in usages), *filled))
            doubted = self._in_blocks(zeros & concerned - free)
        else:
            empty = empty_pages(self.table) if self.rooms >= PAGE_SLOTS else NO_RANGES
            doubted = (self.absent & bytes_of(empty, self.table.geometry.block_size, self.disk.size)) - told
            proof = "a page of it is empty between entries that are in use" if doubted else ""
        return doubted, free, proof

    def _contradiction(self, usages: list[Usage], zeros: Ranges, used: Ranges) -> str:
        if not zeros:
            return ""
        if any(usage.filled.inside(zeros).any() for usage in usages):
            return "structures of its file systems would be zeros"
        if not zeros & used:
            return ""
        for usage in usages:
            contents = usage.contents()
            if contents.filled.inside(zeros).any():
                return "folders of its file systems would be zeros"
            several = self._files_in_one_block(contents.written, zeros) >= FILES_OF_A_BLOCK
            if several and self._files_hold_something(contents.written, zeros):
                return "the contents of several files would be zeros"
        return ""

    def _files_in_one_block(self, written: Extents, zeros: Ranges) -> int:
        """The most files that begin, end or have a fragment of theirs begin or end in one absent block."""
        block = self.table.geometry.block_size
        places = np.concatenate((written.start, written.start + written.length - 1))
        owners = np.concatenate((written.owner, written.owner))
        inside = Extents(places, np.ones_like(places), owners).inside(zeros)
        pairs = np.unique(np.column_stack((places[inside] // block, owners[inside])), axis=0)
        return int(np.unique(pairs[:, 0], return_counts=True)[1].max(initial=0))

    def _files_hold_something(self, written: Extents, zeros: Ranges) -> bool:
        """Whether what files wrote is other than zeros, nine times of ten, where it can be looked at.

        Disks for tests are full of files of zeros: windows10-xfs of the corpus has a thousand of them.
        """
        present = np.flatnonzero(~Extents(written.start, np.ones_like(written.start), written.owner).inside(zeros))
        looked = present[:: max(1, len(present) // _MOST_LOOKED)].tolist()
        view = View(ReadableDisk(self.disk), 0, self.disk.size)
        parts = (view.read(int(written.start[index]), min(_LOOK, int(written.length[index]))) for index in looked)
        return len(looked) >= FILES_OF_A_BLOCK and sum(map(any, parts)) >= _MOSTLY * len(looked)

    def _whole_blocks(self, ranges: Ranges) -> Ranges:
        """The blocks that lie wholly in the ranges; the disk's last one may be cut."""
        block, size = self.table.geometry.block_size, self.disk.size
        end = np.where(ranges.end == size, ranges.end, ranges.end // block * block)
        return Ranges.between(-(-ranges.start // block) * block, end)

    def _in_blocks(self, ranges: Ranges) -> Ranges:
        """The blocks that have anything in the ranges."""
        block, size = self.table.geometry.block_size, self.disk.size
        return Ranges.between(ranges.start // block * block, np.minimum(-(-ranges.end // block) * block, size))
