"""Who claims which place of a file: overlaps found at the cost of one byte for each MiB of the file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vhdx import compiling, kernels
from vhdx.geometry import Geometry
from vhdx.structures.bat import OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import MIB

MOST_MIB = 1 << 27
"""Files are searched for overlapping blocks up to 128 TiB, twice the largest disk: one byte of memory for each MiB."""

# An entry without any of these bits is not present, zeros, unmapped or undefined: it claims nothing and is no damage.
_IN_USE = (1 << OFFSET_SHIFT) - 4

Entries = npt.NDArray[np.int64]
Owners = npt.NDArray[np.uint8]
Windows = Iterable[tuple[int, Entries]]
"""Windows of BAT entries, each with its first slot."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a file's entries may claim: pairs of `forbidden` bytes, start and end, are taken already."""

    geometry: Geometry
    file_size: int
    has_parent: bool
    forbidden: npt.NDArray[np.int64]

    def lengths(self, slots: Entries) -> Entries:
        """How many MiB of the file each slot may claim: a block's, or a sector bitmap's."""
        size = self.geometry.block_size // MIB
        return np.where(self.geometry.is_bitmap(slots), int(self.has_parent), size)

    def owners(self, windows: Windows) -> tuple[Owners, int]:
        """For each MiB of the file 0, 1 when an entry claims it, 2 when several do; and how many have 2."""
        owners = np.zeros(min(self.file_size // MIB + 1, MOST_MIB), dtype=np.uint8)
        doubled = 0
        for first, entries in windows:
            used = np.flatnonzero(entries & _IN_USE)
            inputs = entries[used], first + used, self.forbidden
            doubled += compiling.call(kernels.own_places, self._work(used), inputs, (owners,), self.sizes)
        return owners, doubled

    def are_apart(self, windows: Windows) -> bool:
        """Whether no two entries claim a place, where sorting what they claim shows that; of very many it is not tried.

        That is so of nearly every file, and of most in a few milliseconds. To say who claims what takes `owners`.
        """
        found = [np.empty((2, 0), dtype=np.int64)]
        for first, entries in windows:
            used = np.flatnonzero(entries & STATE_MASK >= BlockState.FULLY_PRESENT)
            found.append(np.stack((entries[used] >> OFFSET_SHIFT, self.lengths(first + used))))
            if sum(part.shape[1] for part in found) > compiling.WORTH_COMPILING:
                return False
        places, sizes = np.concatenate(found, axis=1)
        order = places.argsort()
        return bool((places[order][1:] >= (places + sizes)[order][:-1]).all())

    def contested(self, first: int, entries: Entries, owners: Owners) -> Entries:
        """Of the entries from slot `first` on, the slots whose block or sector bitmap overlaps another slot's."""
        return self._slots(kernels.contested_slots, first, entries, owners, self.sizes)

    def damaged(self, first: int, entries: Entries, owners: Owners) -> Entries:
        """Of the entries from slot `first` on, the slots whose block cannot be read whole, whatever its bitmap says."""
        # Nearly all are good at a glance, which costs a hundredth of what a kernel takes that is not compiled.
        unsure = entries if len(owners) else np.where(self._are_whole(entries), 0, entries)
        return self._slots(kernels.damaged_slots, first, unsure, owners, self.sizes, self.geometry.size)

    def _are_whole(self, entries: Entries) -> npt.NDArray[np.bool_]:
        """Which entries are valid and have room for a block inside the file, behind all that is taken already."""
        state, place = entries & ((1 << OFFSET_SHIFT) - 1), entries >> OFFSET_SHIFT
        lowest = -(-int(self.forbidden.max(initial=MIB)) // MIB)
        highest = (self.file_size - self.geometry.block_size) // MIB
        is_valid = (state == BlockState.FULLY_PRESENT) | (state == BlockState.PARTIALLY_PRESENT)
        are_whole: npt.NDArray[np.bool_] = is_valid & (place >= lowest) & (place <= highest)
        return are_whole

    def _slots(
        self, kernel: Callable[..., int], first: int, entries: Entries, owners: Owners, *numbers: object
    ) -> Entries:
        used = np.flatnonzero(entries & _IN_USE)
        slots = np.zeros(len(used), dtype=np.int64)
        inputs = entries[used], first + used, self.forbidden, owners
        return slots[: compiling.call(kernel, self._work(used), inputs, (slots,), *numbers)]

    @property
    def sizes(self) -> kernels.Sizes:
        """What the kernels have to know of the file."""
        geometry = self.geometry
        return geometry.chunk_ratio, geometry.block_size // MIB, self.file_size, int(self.has_parent)

    def _work(self, used: Entries) -> int:
        return len(used) * (1 + self.geometry.block_size // MIB // 8)
