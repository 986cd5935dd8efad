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

from analyzer.judgement.entries import absent_blocks, bytes_of, freed_without_place, released_by_log
from analyzer.judgement.unowned import Unowned, unowned_in
from vhdx.disk import Disk
from vhdx.ranges import NO_RANGES, Ranges
from vhdx.replay import Log
from vhdx.structures.constants import MIB, NIL
from vhdx.table import BlockTable


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
    absent = bytes_of(absent_blocks(table), block, table.geometry.size) if rooms else NO_RANGES
    if not absent:
        return Judgement(unowned=unowned)
    # Of blocks that the log shows as let go the room is explained; the others take more than freed entries leave.
    released = released_by_log(table, log)
    left = replace(unowned, free=unowned.free - released, held=unowned.held - released).blocks(block // MIB)
    is_explained = left <= freed_without_place(table)
    known = Judgement(unowned=unowned, absent=absent, is_explained=is_explained)
    if absent.size == table.geometry.size and log.log_guid == NIL:
        return replace(known, doubted=absent, proof="it is empty")
    disk = disk_of()
    if disk is None:
        return known
    # Loaded where there is something to weigh: the readers of five file systems, and most files need none.
    from analyzer.judgement.evidence import weighed

    doubted, free, proof = weighed(table, disk, rooms, absent)
    return replace(known, doubted=doubted, free=free, proof=proof)
