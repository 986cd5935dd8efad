"""Block tables known by their shape: entries that are valid, upon whole MiB of the file, and upon nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from analyzer.recover.rebuild.workspace import RESERVED, Entries, places_of
from vhdx.geometry import Geometry, bat_region_size
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, extents_of, read_at
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import HEADER_AREA_SIZE, KIB, MAX_DISK_SIZE, MIB

Found = TypeVar("Found")

MOST_TABLE = 64 * MIB
"""Tables up to this size are looked for."""
# Twice the largest table that is looked for. Every MiB of a file full of small even numbers looks like a table.
_MOST_SEARCHED = 128 * MIB
_GLANCE = 4 * KIB
_SECTOR = 512 // ENTRY_SIZE
# Derivation: an entry has 17 reserved bits, so of a random one all are zero in one case of 131,072. Of 64 random
# entries practically all are conspicuous; a single flipped bit makes one so.
# So many entries of one sector with reserved bits set, and none of the sector is believed: one may be a bit flip.
NOISE = 2
# test_a_table_of_a_cut_file_is_known_by_blocks_that_stand_side_by_side holds that it is enough.
# So many blocks of a table whose last blocks are behind the end of the file stand in the file.
_LEAST_INSIDE = 4
_STATES = np.array([True, True, True, True, False, False, True, True])


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A place whose content can be the block table: `places` are rows of (start, end) of its blocks, sorted."""

    offset: int
    length: int
    places: npt.NDArray[np.int64]
    past_end: int = 0
    """Blocks that end behind the file, which was cut since."""

    @property
    def where(self) -> str:
        """Where its blocks are, in words."""
        return (
            f"side by side, {self.past_end} of them behind the end of a file that was cut"
            if self.past_end
            else "inside the file"
        )

    @property
    def used(self) -> int:
        """Entries with a block."""
        return len(self.places)

    def holds(self, start: int) -> bool:
        """Whether byte `start` of the file stands in one of the blocks."""
        index = int(np.searchsorted(self.places[:, 0], start, side="right")) - 1
        return index >= 0 and start < int(self.places[index, 1])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the table has to be like."""

    geometry: Geometry
    has_parent: bool
    taken: Ranges
    """Where other structures are."""

    @property
    def slots(self) -> int:
        """Entries that the disk needs."""
        return self.geometry.slots_in_child if self.has_parent else self.geometry.slots_in_base

    @property
    def length(self) -> int:
        """Bytes of the region, whole MiB."""
        return bat_region_size(self.slots)


def whole_first(found: Sequence[Found], past_end: Callable[[Found], int]) -> list[Found]:
    """Those whose blocks are all in the file; where there is none, those of a file that was cut."""
    return [one for one in found if not past_end(one)] or list(found)


def outermost(found: Sequence[Found], holds: Callable[[Found, Found], bool]) -> Found | None:
    """The one that holds all others, None where none does: what it holds in its blocks, the guest keeps.

    A guest may store disks of its own, with tables as good as the file's: inside a block of it, never round it.
    """
    outer = [one for one in found if all(holds(one, other) for other in found if other is not one)]
    return outer[0] if len(outer) == 1 else None


def fit_at(source: ByteSource, at: int, wanted: Wanted) -> Fit | None:
    """The table at byte `at` of the file when all of it fits; None when anything contradicts it or it is empty."""
    length = wanted.length
    if length > MOST_TABLE or at + length > source.size or wanted.taken.touches(Range(at, length)):
        return None
    # Nearly every place fails in its first page; so 4 KiB are read of most places, and the whole table of few.
    glance = _words(source, at, _GLANCE)
    if not are_entries(glance[: wanted.slots]) or glance[wanted.slots :].any():
        return None
    table = _words(source, at, length)
    entries = table[: wanted.slots]
    if table[wanted.slots :].any() or not are_entries(entries):
        return None
    places = owned_by(entries, wanted)
    return None if places is None else fit_of(source.size, Range(at, length), wanted, places)


def tables_in(source: ByteSource, places: Iterable[int]) -> Iterator[Range]:
    """What can be a block table, or the rest of one: whole MiB that hold entries and nothing else.

    Its first MiB has a block, and it goes on as far as entries do, or up to the first block behind it. No table begins
    inside of another, and _MOST_SEARCHED bytes are looked at in all: a guest may have filled blocks with such words.
    """
    end, budget = 0, _MOST_SEARCHED
    for at in places:
        if at < end or budget <= 0:
            continue
        end = _end_of_table(source, at)
        if end > at:
            budget -= end - at
            yield Range.between(at, end)


def _end_of_table(source: ByteSource, start: int) -> int:
    end, limit = start, min(source.size, start + MOST_TABLE)
    while end + MIB <= limit and are_entries(_words(source, end, _GLANCE)):
        entries = _words(source, end, MIB)
        places = places_of(entries)
        if not are_entries(entries) or (end == start and not places.any()):
            break
        limit = min(limit, int(places[places > start].min(initial=limit)))
        end += MIB
    return end


def _words(source: ByteSource, at: int, length: int) -> Entries:
    return entries_of(read_at(source, at, length))


def entries_of(raw: bytes) -> Entries:
    """Bytes as entries of a table."""
    return np.frombuffer(raw, "<i8").astype(np.int64)


def is_noise(entries: Entries) -> bool:
    """Whether some values are more than an entry or two with a flipped bit."""
    return int(((entries & RESERVED) != 0).sum()) >= NOISE


def without_noise(entries: Entries) -> Entries:
    """A table with zeros in the sectors that are noise."""
    sectors = entries.reshape(-1, _SECTOR).copy()
    sectors[((sectors & RESERVED) != 0).sum(axis=1) >= NOISE] = 0
    return sectors.ravel()


def are_entries(values: Entries) -> bool:
    """Every value is an entry with a valid state and nothing reserved set."""
    return bool(_STATES[values & STATE_MASK].all()) and not bool((values & RESERVED).any())


def owned_by(entries: Entries, wanted: Wanted) -> npt.NDArray[np.int64] | None:
    """Pairs (start, end) of what the entries own, sorted; None when the interleave forbids one of them."""
    slots = np.arange(len(entries), dtype=np.int64)
    is_bitmap = wanted.geometry.is_bitmap(slots)
    states, starts = entries & STATE_MASK, (entries >> OFFSET_SHIFT) * MIB
    if not _interleave_holds(states, entries, is_bitmap, wanted):
        return None
    owns = (states >= BlockState.FULLY_PRESENT) & (entries >= 0)
    rest = wanted.geometry.size - wanted.geometry.blocks_before(slots) * wanted.geometry.block_size
    size = np.where(is_bitmap, MIB, np.clip(rest, 0, wanted.geometry.block_size))
    pairs = np.column_stack((starts, starts + size))[owns]
    found: npt.NDArray[np.int64] = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return found


def _interleave_holds(states: Entries, entries: Entries, is_bitmap: npt.NDArray[np.bool_], wanted: Wanted) -> bool:
    if not wanted.has_parent:
        return not bool(entries[is_bitmap].any())
    bitmap_states = states[is_bitmap]
    if np.isin(bitmap_states, (1, 2, 3)).any():
        return False
    slots = np.flatnonzero(states == BlockState.PARTIALLY_PRESENT)
    partial = slots[~is_bitmap[slots]]
    needed = partial // (wanted.geometry.chunk_ratio + 1)
    return bool((bitmap_states[needed] >= BlockState.FULLY_PRESENT).all())


def fit_of(file_size: int, own: Range, wanted: Wanted, places: npt.NDArray[np.int64]) -> Fit | None:
    """The fit of a table that is in `own`, when its blocks are inside the file and upon nothing else."""
    if not len(places) or places[0, 0] < HEADER_AREA_SIZE or places[-1, 0] > MAX_DISK_SIZE * 2:
        return None
    # These three together are what a table proves: 20 entries chosen at random in a file of 1 GiB overlap, or leave
    # the file, almost always.
    apart = bool((places[1:, 0] >= places[:-1, 1]).all())
    past_end = int((places[:, 1] > -(-file_size // MIB) * MIB).sum())
    blocks = Ranges.between(places[:, 0], places[:, 1])
    clear = not blocks.touches(own) and not blocks.touches_any(wanted.taken)
    if not (apart and clear) or (past_end and not _is_dense(places, len(places) - past_end)):
        return None
    return Fit(*own, places, past_end)


def _is_dense(places: npt.NDArray[np.int64], inside: int) -> bool:
    """Whether blocks stand side by side, as writers put them, so that a file that ends among them was cut.

    That stands in for the end of the file, which they pass: of n entries chosen at random in room for m blocks all are
    apart, and fill half of it, in fewer than one case of 2^n.
    """
    span = int(places[-1, 1] - places[0, 0])
    return inside >= _LEAST_INSIDE and int((places[:, 1] - places[:, 0]).sum()) * 2 >= span


# Structures are in the first MiB of genuine files. The bound keeps the search within minutes for files of terabytes,
# in which a guest may have stored anything. test_holes_of_a_sparse_file_are_passed_over holds that holes cost
# nothing.
MOST_PLACES = 1 << 16
"""So many MiB that hold something are looked at, from the front: 64 GiB of them."""


def places_to_look(source: ByteSource) -> Iterator[int]:
    """Bytes of the file, multiples of 1 MiB from 1 MiB up, where data may stand; MOST_PLACES of them at most."""
    last = count = 0
    for part in extents_of(source):
        first, last = max(part.start // MIB, last + 1), max(last, -(-part.end // MIB) - 1)
        for mib in range(first, last + 1):
            if count == MOST_PLACES:
                return
            count += 1
            yield mib * MIB
