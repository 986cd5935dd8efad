"""Entries of a block table that say nothing is there: which of them, and where a whole page of them is empty."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.replay import Log
from vhdx.source import read_at
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import MIB, NIL
from vhdx.table import BlockTable

PAGE_SLOTS = 4096 // ENTRY_SIZE
"""Entries that are lost together: what a log writes, and a host's file system."""
MOST_RANGES = 1 << 20
"""Ranges of absent blocks that are told apart; behind the last of them all is taken as one."""
_FREED = (BlockState.UNDEFINED, BlockState.ZERO, BlockState.UNMAPPED)

Entries = npt.NDArray[np.int64]


def absent_blocks(table: BlockTable) -> Ranges:
    """The blocks whose entries are all zeros, as numbers of blocks."""
    parts = list(_absent(table))
    return Ranges.between(np.concatenate([one.start for one in parts]), np.concatenate([one.end for one in parts]))


def bytes_of(blocks: Ranges, block: int, size: int) -> Ranges:
    """Blocks by number as bytes of the disk, whose last block may be cut."""
    return Ranges.between(blocks.start * block, np.minimum(blocks.end * block, size))


def _absent(table: BlockTable) -> Iterator[Ranges]:
    yield NO_RANGES
    found = 0
    for blocks, entries in table.blocks_of(table.all_entries()):
        edges = np.flatnonzero(np.diff(entries == 0, prepend=False, append=False))
        found += len(edges) // 2
        if found > MOST_RANGES:
            last = np.array([table.geometry.block_count], dtype=np.int64)
            yield Ranges.between(blocks[:1], last)
            return
        ends = np.append(blocks, blocks[-1:] + 1)
        yield Ranges.between(ends[edges[::2]], ends[edges[1::2]])


def freed_without_place(table: BlockTable) -> int:
    """Blocks that a guest gave back, and whose entries do not tell where they were: these leave room without owner."""
    blocks = table.blocks_of(table.used_entries())
    freed = (np.isin(entries & STATE_MASK, _FREED) & (entries >> OFFSET_SHIFT == 0) for _, entries in blocks)
    return sum(int(some.sum()) for some in freed)


def released_by_log(table: BlockTable, log: Log) -> Ranges:
    """MiB of the file that blocks had in an older logged copy of the table, and no more in the copy that it has now.

    A closed log keeps its old entries: where the newest copy of a page is the page as it is, and an older one has a
    block that the newest has not, the writer let that block go on purpose.
    """
    if log.log_guid != NIL:
        return NO_RANGES
    older, newest = dict[int, list[Entries]](), dict[int, Entries]()
    for at in sorted(log.places, key=lambda place: log.headers[place].sequence_number):
        for write in log.entry(at).writes():
            inside = table.bat_offset <= write.file_offset < table.bat_offset + table.bat_length
            if inside and write.data is not None:
                page = np.frombuffer(write.data, "<i8").astype(np.int64)
                if write.file_offset in newest:
                    older.setdefault(write.file_offset, []).append(newest[write.file_offset])
                newest[write.file_offset] = page
    logged = (at for at, page in newest.items() if read_at(table.source, at, page.nbytes) == page.tobytes())
    return Ranges.of(part for at in logged for page in older.get(at, ()) for part in _let_go(table, page, newest[at]))


def _let_go(table: BlockTable, before: Entries, after: Entries) -> Iterator[Range]:
    gone = (before & STATE_MASK >= BlockState.FULLY_PRESENT) & (before >> OFFSET_SHIFT != after >> OFFSET_SHIFT)
    yield from (Range(mib, table.geometry.block_size // MIB) for mib in (before[gone] >> OFFSET_SHIFT).tolist())


def empty_pages(table: BlockTable) -> Ranges:
    """Blocks of pages of the table that are all zeros, while the entries next to them on both sides are not.

    A guest that frees room does not know the table's pages: that both edges fall on them, each with a chance of one in
    PAGE_SLOTS, is what a lost page looks like. At the table's own edges there is no neighbour to ask.
    """
    pages = -(-table.slots_needed // PAGE_SLOTS)
    empty, first_used, last_used = (np.zeros(pages, dtype=np.bool_) for _ in range(3))
    for first, entries in table.all_entries():
        page = first // PAGE_SLOTS
        whole = np.concatenate([entries, np.zeros(-len(entries) % PAGE_SLOTS, dtype=np.int64)]).reshape(-1, PAGE_SLOTS)
        some = slice(page, page + len(whole))
        empty[some] = ~whole.any(axis=1)
        # The last slot may be of a bitmap, which a base has not.
        first_used[some], last_used[some] = whole[:, :2].any(axis=1), whole[:, -2:].any(axis=1)
    edges = np.flatnonzero(np.diff(empty, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    bounded = np.array([
        (start == 0 or last_used[start - 1]) and (end == pages or first_used[end]) and not (start == 0 and end == pages)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ], dtype=np.bool_)  # fmt: skip
    slots = Ranges.between(starts[bounded] * PAGE_SLOTS, ends[bounded] * PAGE_SLOTS)
    geometry = table.geometry
    last = np.minimum(geometry.blocks_before(slots.end), geometry.block_count)
    return Ranges.between(geometry.blocks_before(slots.start), last)
