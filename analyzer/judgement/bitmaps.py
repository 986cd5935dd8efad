"""Sector bitmaps that say nothing over blocks that hold something: they were wiped, or never written.

A checkpoint's block is made for a write, which marks its sectors. One block without any may be what a crash between
the block and its bitmap left behind; several that follow one another hardly are, and what is read by their bits is the
parent's, an older state. The format allows it, so that this is said, and no more.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.ranges import Column, Range, Ranges
from vhdx.source import holds_something, read_at
from vhdx.structures.constants import MIB
from vhdx.table import BlockTable

# Neighbours of which none is marked. Derivation: a lost write takes a page of 4 KiB with the bits of 8 blocks of 2 MiB,
# a bad sector those of one, and a crash leaves as many as were begun at once; half a page is neither.
_LEAST = 4
# Bytes of blocks that are looked into: a block of noise is known by its first piece, zeros are read to their end.
_MOST_READ = 1 << 28


Marks = Iterable[tuple[Column, npt.NDArray[np.bool_]]]
"""Partially present blocks that follow one another in the table, and which of them have any bit set."""


def wiped_blocks(table: BlockTable, marks: Marks | None = None) -> Ranges:
    """The ranges of the disk of partially present blocks whose bits are gone, by `marks` of who has read all bits.

    Costs the bits of these blocks else, 1/4096 of their size; blocks are read only where bits are missing.
    """
    block, found, left = table.geometry.block_size, list[Range](), _MOST_READ
    for run in _unmarked(_marks(table) if marks is None else marks):
        if len(run) < _LEAST:
            continue
        held = [number for number in run[: left // block + 1] if _holds_something(table, number)]
        left = max(0, left - len(run) * block)
        if len(held) >= _LEAST:
            found += [Range(number * block, block) for number in run]
    return Ranges.of(found)


def findings_of_bitmaps(table: BlockTable, wiped: Ranges) -> Iterator[Finding]:
    """SBM-04, where any bits are gone."""
    if wiped:
        count, first = wiped.size // table.geometry.block_size, int(wiped.start[0])
        chunk = first // table.geometry.chunk_size
        text = f"the sector bitmap marks nothing of {count} blocks beside one another that hold data"
        place = table.bitmap_entry(chunk).file_offset
        yield Finding("SBM-04", Severity.WARNING, text, place, MIB, "2.4", disk_start=first, disk_length=wiped.size)


def _unmarked(marks: Marks) -> Iterator[list[int]]:
    """Those of `marks` that follow one another without any bit."""
    for blocks, marked in marks:
        for is_marked, run in groupby(zip(blocks.tolist(), marked.tolist(), strict=True), key=itemgetter(1)):
            if not is_marked:
                yield [number for number, _ in run]


def _marks(table: BlockTable) -> Marks:
    share = table.geometry.bits_size
    for chunk, blocks in table.partial_blocks() if table.has_parent else ():
        if any(flaw.severity is Severity.ERROR for flaw in table.flaws_of_bitmap(chunk)):
            continue
        first, count = int(blocks[0]), int(blocks[-1] - blocks[0]) + 1
        try:
            raw = read_at(table.source, table.bitmap_entry(chunk).file_offset + first * share, count * share)
        except VhdxError:
            continue
        marked = np.frombuffer(raw, np.uint8).reshape(count, share).max(axis=1)[blocks - first] > 0
        yield chunk * table.geometry.chunk_ratio + blocks, np.asarray(marked)


def _holds_something(table: BlockTable, number: int) -> bool:
    start, length = table.payload_entry(number).file_offset, table.geometry.bytes_of_block(number)
    return holds_something(table.source, start, length, unreadable=False)  # what cannot be is lost by itself
