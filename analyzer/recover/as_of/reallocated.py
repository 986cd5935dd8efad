"""A block table as it was, without the places that something else has been given since."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from vhdx.claims import Owners
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
        gone = self.given_away(first, entries)
        # An absent block has no data to lose, so it stays absent; only the old place that it kept is not offered any
        # more.
        absent = gone & (entries & STATE_MASK < BlockState.FULLY_PRESENT)
        return np.where(absent, entries & STATE_MASK, np.where(gone, _GIVEN, entries))

    def given_away(self, first: int, entries: Entries) -> Mask:
        """Which of the entries from slot `first` on, as they were, have a place that something else was given."""
        return _touching(self.given, places_of(entries), sizes_of(self, first, len(entries)))

    def losses(self, first: int, count: int) -> Mask:
        """Which slots from `first` on lost their place to something else."""
        entries = super().entries(first, count)
        return self.given_away(first, entries) & (entries & STATE_MASK >= BlockState.FULLY_PRESENT)


def _touching(given: Owners, places: Entries, sizes: Entries) -> Mask:
    found = np.zeros(len(places), dtype=np.bool_)
    for step in range(int(sizes.max(initial=0))):
        inside = (places > 0) & (step < sizes) & (places + step < len(given))
        found[inside] |= given[(places + step)[inside]] != 0
    return found


def take(given: Owners, places: Entries, sizes: Entries) -> None:
    """Note that these places were given to something else."""
    for step in range(int(sizes.max(initial=0))):
        inside = (places > 0) & (step < sizes) & (places + step < len(given))
        given[(places + step)[inside]] = 1


def with_given(table: BlockTable, given: Owners) -> TableAsOf:
    """The table, knowing what was given away."""
    return TableAsOf(**{one.name: getattr(table, one.name) for one in fields(BlockTable)}, given=given)
