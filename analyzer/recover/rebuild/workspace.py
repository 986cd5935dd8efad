"""The workspace of rebuilding: what was rebuilt on which evidence, what is lost, and what is not certain."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from analyzer.progress import Stage, no_stage
from analyzer.repair.workspace import Fix, Workspace
from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import LOG_SECTOR_SIZE, MAX_DISK_SIZE, MIB
from vhdx.table import BlockTable


class Certainty(Enum):
    """How far a rebuilt structure can be believed."""

    CERTAIN = "certain"
    """The evidence allows nothing else."""
    LIKELY = "likely"
    """The evidence fits and nothing contradicts it; something else could fit as well."""
    GUESSED = "guessed"
    """No evidence at all: the caller chose, and the choice may be wrong."""


class BitmapPolicy(Enum):
    """What becomes of a partially present block whose sector bitmap is lost."""

    AUTO = "auto"
    """Its sectors that are not zeros are taken as this file's, all others are left to the parent: likely so."""
    LOST = "lost"
    """Its sectors cannot be known."""
    WHOLE = "whole"
    """All of it is taken as this file's."""
    PARENT = "parent"
    """All of it is left to the parent."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One structure that was lost: `how` it was made anew, and the evidence, one sentence each."""

    structure: str
    how: str
    evidence: tuple[str, ...]
    certainty: Certainty


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltImage:
    """One file as far as it can be read."""

    image: Image | None = None
    """An image over the source with what was rebuilt laid over it, which closes the source; None: too little is left,
    and then nothing is rebuilt either."""
    rebuilt: tuple[Rebuilt, ...] = ()
    """What of the file's structures had to be made anew, by what evidence."""
    lost: tuple[str, ...] = ()
    """What of them nothing brings back, one sentence each."""
    doubted: Ranges = NO_RANGES
    """Ranges of the disk that rest on what is likely, not certain."""
    guessed: Ranges = NO_RANGES
    """Those that are as the caller chose, without evidence."""


@dataclass
class RebuildWorkspace(Workspace):
    """A source that is never changed, and the file as it is with the structures rebuilt so far."""

    stage: Stage = no_stage
    """Hears of the steps that take long."""
    rebuilt: list[Rebuilt] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    suspects: dict[int, bytes] = field(default_factory=dict)
    """Pages of the file, by byte, of which the log has another state that may be the right one."""
    parent_is_open: bool = False
    """Nothing tells whether the disk has a parent: what the table leaves out is then not known."""
    log_is_open: bool = False
    """Nothing tells whether a log that is lost had more to say."""
    log_was_live: bool = False
    """A log was live, or may have been, and its last entries may be lost without a trace."""
    in_pieces: bool = False
    """Nothing tells the size of a block, and the disk is put together from pieces of 1 MiB."""
    doubted: list[Range] = field(default_factory=list)
    """Ranges of the disk that rest on something that is merely likely; they may overlap and pass the disk's end."""
    guessed: list[Range] = field(default_factory=list)
    """Ranges of the disk that are as the caller chose; otherwise as `doubted`."""

    def add(self, fix: Fix, size: int = 0) -> None:
        """Take up what a repair fixes: nothing else explains the damage, so that it is certain."""
        super().add(fix, size)
        structure = "headers" if fix.code.startswith("HDR") else "region tables"
        self.note(structure, fix.title, Certainty.CERTAIN, fix.evidence)

    def note(self, structure: str, how: str, certainty: Certainty, *evidence: str) -> None:
        """Write down what was rebuilt, and why that is believed."""
        self.rebuilt.append(Rebuilt(structure, how, evidence, certainty))

    @property
    def behind(self) -> int:
        """The first whole MiB behind the file, where structures can be laid."""
        return -(-self.view.size // MIB) * MIB

    def doubt_all(self) -> None:
        """Nothing of the disk is certain."""
        self.doubted.append(Range(0, MAX_DISK_SIZE))

    def doubts(self, at: int) -> bool:
        """Whether what the disk has at byte `at` is merely likely."""
        return any(one.start <= at < one.end for one in self.doubted)

    def doubt_blocks(self, block_size: int, blocks: Iterable[int]) -> None:
        """These blocks of the disk are as the file has them now likely, not certainly."""
        self.doubted += [Range(block * block_size, block_size) for block in blocks]


UNKNOWN = BlockState.INVALID_5.value
"""What an entry becomes whose block cannot be known: a state that is not valid, which reads as LOST."""
_SLOTS = LOG_SECTOR_SIZE // ENTRY_SIZE
Entries = npt.NDArray[np.int64]
RESERVED = ((1 << OFFSET_SHIFT) - 1) & ~STATE_MASK


def entry_for(state: BlockState, place: int) -> int:
    """The entry of a block at byte `place` of the file."""
    return state | place // MIB << OFFSET_SHIFT


def places_of(entries: Entries) -> Entries:
    """Bytes of the file at which entries that are valid have their block; 0 for all others."""
    held = (entries & STATE_MASK >= BlockState.FULLY_PRESENT) & (entries & RESERVED == 0)
    places: Entries = np.where(held, (entries >> OFFSET_SHIFT) * MIB, 0)
    return places


def payload_entries(table: BlockTable, most: int | None = None) -> Entries:
    """The entries of all blocks of a table, or of the first so many, without those of sector bitmaps."""
    count = table.geometry.block_count if most is None else min(most, table.geometry.block_count)
    slots = table.geometry.payload_slot(np.arange(count, dtype=np.int64))
    entries: Entries = table.entries(0, int(slots[-1]) + 1)[slots]
    return entries


def blocks_of(table: BlockTable, slots: Iterable[int]) -> Iterator[int]:
    """The blocks of the disk that these slots, sorted, speak of: for a sector bitmap's slot all of its chunk."""
    ratio, count = table.geometry.chunk_ratio, table.geometry.block_count
    for slot in slots:
        chunk, block = table.geometry.chunk_and_block(slot)
        if block is not None:
            yield block
        elif table.has_parent:
            yield from range(chunk * ratio, min((chunk + 1) * ratio, count))


def put_window(work: RebuildWorkspace, table: BlockTable, first: int, entries: Entries) -> None:
    """Set all entries from slot `first` on."""
    work.patch((table.bat_offset + first * ENTRY_SIZE, entries.astype("<i8").tobytes()))


def put_entries(work: RebuildWorkspace, table: BlockTable, values: Mapping[int, int]) -> None:
    """Set the entries in these slots; slots that the BAT region has no room for are left out."""
    pages: dict[int, dict[int, int]] = {}
    for slot, value in values.items():
        if (slot + 1) * ENTRY_SIZE <= table.bat_length:
            pages.setdefault(slot // _SLOTS, {})[slot % _SLOTS] = value
    patches = []
    for number, chosen in sorted(pages.items()):
        at = table.bat_offset + number * LOG_SECTOR_SIZE
        page = np.frombuffer(work.read(at, LOG_SECTOR_SIZE), "<u8").copy()  # an entry of noise may have its highest bit
        page[list(chosen)] = list(chosen.values())
        patches.append((at, page.tobytes()))
    work.patch(*patches)
