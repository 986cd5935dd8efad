"""Blocks that were let go and whose entries keep the place of old data, read as if they were still there."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from analyzer.recover.as_of.reallocated import places_of
from vhdx.claims import Owners
from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.structures.bat import STATE_MASK, BlockState
from vhdx.structures.constants import MIB
from vhdx.table import BlockTable

Entries = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


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
        return np.where(self._brings_back(first, entries), entries | BlockState.FULLY_PRESENT, entries)

    def returns(self, first: int, count: int) -> Mask:
        """Which slots from `first` on have old data that is brought back."""
        return self._brings_back(first, self.below.entries(first, count))

    def _brings_back(self, first: int, entries: Entries) -> Mask:
        state, places = entries & STATE_MASK, places_of(entries)
        period = self.geometry.chunk_ratio + 1
        is_block = (np.arange(first, first + len(entries), dtype=np.int64) + 1) % period != 0
        found: Mask = is_block & (state < BlockState.FULLY_PRESENT) & self._can_stand(places)
        if found.any():
            claimed = np.where(found, entries | BlockState.FULLY_PRESENT, entries)
            found[self.claims.contested(first, claimed, self.owners) - first] = False
        return found

    def _can_stand(self, places: Entries) -> Mask:
        """Which places, in MiB, have room for a block: inside the file, and upon no structure."""
        starts, ends = self.forbidden[::2], self.forbidden[1::2]
        at = places * MIB
        found: Mask = (places > 0) & (at < self.source.size)
        if len(ends):
            following = np.searchsorted(ends, at, side="right")
            limit = np.append(starts, np.iinfo(np.int64).max)[following]
            found &= at + self.geometry.block_size <= limit
        return found


def with_anchored(image: Image) -> Image:
    """The image with the old data of its absent blocks; the image itself where no entry keeps a place."""
    table = image.allocation.table
    if not any((_keeps(entries)).any() for _, entries in table.all_entries()):
        return image
    owners, _ = table.claims.owners(table.all_places())
    values = {one.name: getattr(table, one.name) for one in fields(BlockTable)}
    anchored = AnchoredTable(**values, below=table, owners=owners)
    return replace(image, allocation=replace(image.allocation, table=anchored))


def ranges_brought_back(image: Image) -> Ranges:
    """The ranges of the disk that have old data in an image that `with_anchored` gave."""
    table = image.allocation.table
    if not isinstance(table, AnchoredTable):
        return NO_RANGES
    return Ranges.of(_blocks_brought_back(table)).within(Range(0, table.geometry.size))


def _blocks_brought_back(table: AnchoredTable) -> Iterator[Range]:
    geometry = table.geometry
    for first, entries in table.all_entries():
        slots = first + np.flatnonzero(table.returns(first, len(entries)))
        for block in (slots - slots // (geometry.chunk_ratio + 1)).tolist():
            yield Range(block * geometry.block_size, geometry.block_size)


def _keeps(entries: Entries) -> Mask:
    found: Mask = (places_of(entries) > 0) & (entries & STATE_MASK < BlockState.FULLY_PRESENT)
    return found
