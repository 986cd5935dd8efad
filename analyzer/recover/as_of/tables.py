"""Block tables of an earlier time: without places that were reallocated, or with the data of unmapped blocks."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vhdx.claims import Owners
from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Range, Ranges, union
from vhdx.structures.bat import OFFSET_SHIFT, RESERVED_MASK, RESERVED_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import MIB
from vhdx.table import BlockTable

Entries = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
# An invalid state reads as LOST, whoever reads it.
_GIVEN = BlockState.INVALID_5.value
_PLACE = (1 << 44) - 1


def places_of(entries: Entries) -> Entries:
    """Where the blocks of entries stand, or are kept, in MiB of the file; 0 for those that have no place."""
    state = entries & STATE_MASK
    has_place = (state >= BlockState.FULLY_PRESENT) | (state == BlockState.UNMAPPED) | (state == BlockState.UNDEFINED)
    sound = entries & (RESERVED_MASK << RESERVED_SHIFT) == 0
    return np.where(has_place & sound, entries >> OFFSET_SHIFT & _PLACE, 0)


def sizes_of(table: BlockTable, first: int, count: int) -> Entries:
    """How many MiB of the file each slot from `first` on claims: a block's, or a sector bitmap's."""
    period = table.geometry.chunk_ratio + 1
    is_bitmap = (np.arange(first, first + count, dtype=np.int64) + 1) % period == 0
    return np.where(is_bitmap, int(table.has_parent), table.geometry.block_size // MIB)


@dataclass(frozen=True)
class TableAsOf(BlockTable):
    """The table of an earlier time over the file of today. `given` has 1 for each MiB that something else was given.

    A block, or a sector bitmap, whose place was given away reads as lost; a place that an absent block kept is let go.
    """

    given: Owners

    def entries(self, first: int, count: int) -> Entries:
        """See BlockTable."""
        entries = super().entries(first, count)
        gone = np.zeros(len(entries), dtype=np.bool_)
        for inside, mib in _each_mib(self.given, places_of(entries), sizes_of(self, first, len(entries))):
            gone[inside] |= self.given[mib] != 0
        # An absent block has no data to lose, so it stays absent; only the old place that it kept is not offered any
        # more.
        absent = gone & (entries & STATE_MASK < BlockState.FULLY_PRESENT)
        return np.where(absent, entries & STATE_MASK, np.where(gone, _GIVEN, entries))


def _each_mib(owners: Owners, places: Entries, sizes: Entries) -> Iterator[tuple[Mask, Entries]]:
    """For each MiB of the longest: which of the places reach that far inside the file, and which MiB it is of each."""
    for step in range(int(sizes.max(initial=0))):
        inside = (places > 0) & (step < sizes) & (places + step < len(owners))
        yield inside, (places + step)[inside]


def take(given: Owners, places: Entries, sizes: Entries) -> None:
    """Note that these places were given to something else."""
    for _, mib in _each_mib(given, places, sizes):
        given[mib] = 1


def columns_of(table: BlockTable) -> dict[str, Any]:
    """What a table over another one takes from it."""
    return {one.name: getattr(table, one.name) for one in fields(BlockTable)}


@dataclass(frozen=True)
class AnchoredTable(BlockTable):
    """The table `below`, in which UNMAPPED and UNDEFINED blocks have the old data whose places they keep.

    A place that another entry claims or keeps as well is not taken, nor one upon a structure or past the file's end.
    """

    below: BlockTable
    owners: Owners
    """For each MiB of the file 2 where several entries claim it or keep it."""

    def entries(self, first: int, count: int) -> Entries:
        """See BlockTable."""
        entries = self.below.entries(first, count)
        return np.where(self.brings_back(first, entries), entries | BlockState.FULLY_PRESENT, entries)

    def brings_back(self, first: int, entries: Entries) -> Mask:
        """Which of the entries that the table below has from slot `first` on have old data that is brought back."""
        state, at = entries & STATE_MASK, places_of(entries) * MIB
        period = self.geometry.chunk_ratio + 1
        is_block = (np.arange(first, first + len(entries), dtype=np.int64) + 1) % period != 0
        # A place has room for a block inside the file, and upon no structure.
        found: Mask = is_block & (state < BlockState.FULLY_PRESENT) & (at > 0) & (at < self.source.size)
        limits = np.append(self.forbidden[::2], np.iinfo(np.int64).max)
        found &= at + self.geometry.block_size <= limits[np.searchsorted(self.forbidden[1::2], at, side="right")]
        if found.any():
            claimed = np.where(found, entries | BlockState.FULLY_PRESENT, entries)
            found[self.claims.contested(first, claimed, self.owners) - first] = False
        return found


def with_anchored(image: Image) -> Image:
    """The image with the old data of its absent blocks; the image itself where no entry keeps a place."""
    table = image.allocation.table
    states = (entries[places_of(entries) > 0] & STATE_MASK for _, entries in table.all_entries())
    if not any((state < BlockState.FULLY_PRESENT).any() for state in states):
        return image
    owners, _ = table.claims.owners(table.all_places())
    anchored = AnchoredTable(**columns_of(table), below=table, owners=owners)
    return replace(image, allocation=replace(image.allocation, table=anchored))


def ranges_brought_back(image: Image) -> Ranges:
    """The ranges of the disk that have old data in an image that `with_anchored` gave."""
    table = image.allocation.table
    if not isinstance(table, AnchoredTable):
        return NO_RANGES
    back = (
        table.ranges_of_slots(first + np.flatnonzero(table.brings_back(first, entries)))
        for first, entries in table.below.all_entries()
    )
    return union(back).within(Range(0, table.geometry.size))
