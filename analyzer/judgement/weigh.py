"""Which entries that say "nothing is here" are in doubt, by evidence weighed together (docs/design).

An absent entry is a claim as well. It is looked at only where the file has room that nothing owns, that holds data,
and that is enough for a block: else every block that was ever written has an owner. Then these speak:

* the volumes: a structure of a file system that is never all zeros, and would be; a folder's block; the content of
  several files in one block. One such contradiction proves that the table lost entries, and then every absent block is
  in doubt that the volumes do not call free;
* the table itself: empty, in a file whose log is closed; or a page of it that is empty between used neighbours, where
  no volume tells anything of it;
* blocks that a guest gave back, by entries that do not keep their place or by a log that shows both states: these
  explain as much room without owner.

What is in use and reads as zeros is no proof by itself: inode tables that were never written, room that was allocated
ahead, a file of zeros that a converter left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.usage.model import Extents, Usage
from analyzer.judgement.entries import PAGE_SLOTS, absent_blocks, empty_pages, freed_without_place, released_by_log
from analyzer.judgement.unowned import Unowned, unowned_in
from vhdx.disk import Disk, Mask, MaskedDisk
from vhdx.ranges import NO_RANGES, Ranges, union
from vhdx.replay import Log
from vhdx.runs import Kind, RunTable
from vhdx.structures.constants import MIB, NIL
from vhdx.table import BlockTable

FILES_OF_A_BLOCK = 3
"""Files that have something in one block which reads as zeros: one may be a file of zeros, and two may touch there.
tests/analyzer/judgement/test_false_alarms.py holds the number."""

# Of so many files the first page is read: nine of ten that hold something leave one in a thousand for three by chance.
_MOST_LOOKED, _LOOK, _MOSTLY = 64, 4096, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What speaks against a table's absent entries; ranges are bytes of the disk."""

    unowned: Unowned
    absent: Ranges = NO_RANGES
    """All blocks whose entries say that nothing is there."""
    doubted: Ranges = NO_RANGES
    """Of them, those whose entries were lost, or cannot be told from such."""
    free: Ranges = NO_RANGES
    """Of them, those that the volumes call free: known to hold nothing that anyone misses."""
    proof: str = ""
    """What shows that entries were lost, a clause; "" where nothing does."""
    is_explained: bool = True
    """The room without owner is what blocks left that a guest gave back, as the table still shows."""

    @property
    def unowned_mib(self) -> int:
        """MiB of the file that hold something and belong to nothing."""
        return self.unowned.held.size


def judge(table: BlockTable, log: Log, disk_of: Callable[[], Disk | None]) -> Judgement:
    """The judgement of one file's table, and of what its log tells of it.

    `disk_of` gives the disk as this file shows it, with its parents where it has any, None where it cannot be had; it
    is asked for only where something has to be weighed. Files in which every block has an owner cost one pass over the
    table. What the disk holds never raises.
    """
    unowned = unowned_in(table)
    block = table.geometry.block_size
    rooms = unowned.blocks(block // MIB)
    absent = _bytes(absent_blocks(table), block, table.geometry.size) if rooms else NO_RANGES
    if not absent:
        return Judgement(unowned=unowned)
    is_explained = _rooms_left(unowned, table, log) <= freed_without_place(table)
    known = Judgement(unowned=unowned, absent=absent, is_explained=is_explained)
    if absent.size == table.geometry.size and log.log_guid == NIL:
        return replace(known, doubted=absent, proof="it is empty")
    disk = disk_of()
    return _Weighing(table, disk, rooms, known).judgement() if disk else known


def _rooms_left(unowned: Unowned, table: BlockTable, log: Log) -> int:
    """Blocks that could be in room without owner of which the log does not show that it was let go."""
    released = released_by_log(table, log)
    return replace(unowned, free=unowned.free - released, held=unowned.held - released).blocks(
        table.geometry.block_size // MIB
    )


def _bytes(blocks: Ranges, block: int, size: int) -> Ranges:
    return Ranges.between(blocks.start * block, np.minimum(blocks.end * block, size))


@dataclass(frozen=True)
class _Weighing:
    table: BlockTable
    disk: Disk
    rooms: int
    known: Judgement

    def judgement(self) -> Judgement:
        """What comes of all evidence."""
        # What a parent shows in place of an absent block is not zeros, and nothing can be read out of it.
        zeros = self.known.absent & union(_holes(table) for table in self.disk.windows())
        masked = MaskedDisk(self.disk, Mask.of(zeros, self.disk.size, "absent"))
        # Loaded where there is something to weigh: the readers of five file systems, and most files need none.
        from analyzer.guest.usage.volumes import usages_of

        usages = usages_of(ReadableDisk(masked))
        told, used = union(usage.told for usage in usages), union(usage.used for usage in usages)
        free = self._whole_blocks(zeros & (told - used))
        proof = self._contradiction(usages, zeros, used)
        if proof:
            doubted = self._in_blocks(zeros & union(_concerned(usage) for usage in usages) - free)
        else:
            doubted = self._lost_pages() - told
            proof = "a page of it is empty between entries that are in use" if doubted else ""
        return replace(self.known, doubted=doubted, free=free, proof=proof)

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

    def _lost_pages(self) -> Ranges:
        if self.rooms < PAGE_SLOTS:
            return NO_RANGES
        return self.known.absent & _bytes(empty_pages(self.table), self.table.geometry.block_size, self.disk.size)

    def _whole_blocks(self, ranges: Ranges) -> Ranges:
        """The blocks that lie wholly in the ranges; the disk's last one may be cut."""
        block, size = self.table.geometry.block_size, self.disk.size
        end = np.where(ranges.end == size, ranges.end, ranges.end // block * block)
        return Ranges.between(-(-ranges.start // block) * block, end)

    def _in_blocks(self, ranges: Ranges) -> Ranges:
        """The blocks that have anything in the ranges."""
        block, size = self.table.geometry.block_size, self.disk.size
        return Ranges.between(ranges.start // block * block, np.minimum(-(-ranges.end // block) * block, size))


def _concerned(usage: Usage) -> Ranges:
    """All that a volume is about."""
    return union((Ranges.of([usage.extent]), Ranges.of_columns(usage.filled.start, usage.filled.length)))


def _holes(table: RunTable) -> Ranges:
    holes = table.of_kind(Kind.HOLE)
    return Ranges.of_columns(holes.start, holes.length)
