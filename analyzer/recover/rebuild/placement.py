"""Lost entries of the block table: blocks that tell their own place are put there, and what stands between them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np

from analyzer.judgement.unowned import Unowned
from analyzer.progress import Progress
from analyzer.recover.rebuild.mib_pieces import spread, withdraw
from analyzer.recover.rebuild.signatures import Sign, gpt_signs, mbr_signs, sign_fits
from analyzer.recover.rebuild.signatures_btrfs import node_signs
from analyzer.recover.rebuild.signatures_ext import directory_signs, group_signs, superblock_signs
from analyzer.recover.rebuild.signatures_headers import addressed, header_signs
from analyzer.recover.rebuild.signatures_ntfs import boot_signs, record_signs
from analyzer.recover.rebuild.tails import Tails
from analyzer.recover.rebuild.votes import Votes
from analyzer.recover.rebuild.workspace import (
    UNKNOWN,
    Certainty,
    RebuildWorkspace,
    blocks_of,
    entry_for,
    payload_entries,
    places_of,
    put_entries,
)
from analyzer.text import plural
from vhdx.disk import Disk
from vhdx.image import Image, image_of
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, read_if_possible
from vhdx.structures.bat import OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB
from vhdx.structures.disk import LEAVE_BLOCKS_ALLOCATED
from vhdx.table import BlockTable

# A fixed file is as large as its disk: no such file has more blocks in practice.
_MOST_OF_FIXED = 1 << 20
# The order is by how much must be known before: a GPT names its own place; superblocks and boot sectors need the
# partitions; records need the boot sector; groups the superblock; directories the inodes; nodes of btrfs the chunks.
# Superblocks, records and nodes come twice, because what the first pass placed shows where more of them must be.
# Each looks at the disk as the ones before it have put it together: what is placed tells where more must stand.
_PHASES: tuple[tuple[str, Callable[[Disk], Iterable[Sign]]], ...] = (
    ("both GPT", gpt_signs),
    ("the MBR", mbr_signs),
    ("headers of volumes", header_signs),
    ("superblocks of ext", superblock_signs),
    ("boot sectors of NTFS", boot_signs),
    ("further headers of volumes", header_signs),
    ("further superblocks of ext", superblock_signs),
    ("nodes of btrfs", node_signs),
    ("further nodes of btrfs", node_signs),
    ("records of NTFS", record_signs),
    ("further records of NTFS", record_signs),
    ("groups of ext", group_signs),
    ("folders of ext", directory_signs),
)
# The grid shows in the first entries, and single blocks are filled between neighbours only for so many.
_MOST_BLOCKS = 1 << 16
# One look reads a sector or a few KiB: about a minute at the most. A hostile volume may name signs without end.
# A file of terabytes without a table has millions of places; looking at all of them for each sign takes days.
_MOST_STARTS = 1 << 16
# Places that are looked at in all.
_MOST_LOOKS = 1 << 20
# A writer allocates blocks on one grid (whole blocks from the first one). Three agree by chance in one case of 4 with
# blocks of 2 MiB, of 1024 with 32 MiB. That is enough, because the grid only saves looks: where it is wrong, blocks
# are not found, and none is placed wrongly.
# So many blocks that stand whole blocks apart say that all do.
_ENOUGH = 3
# So many pairs of neighbours tell whether blocks were written in the order of the disk.
_NEIGHBOURS = 4


def starts_in(unowned: Unowned, block_size: int, on_grid_of: int | None = None) -> list[int]:
    """Bytes of the file at which a block could be that nothing owns; whole blocks away from one, where it is given."""
    grid = None if on_grid_of is None else on_grid_of // MIB
    return [start * MIB for start in islice(unowned.starts(block_size // MIB, grid), _MOST_STARTS)]


def place_blocks(work: RebuildWorkspace, image: Image, rooms: list[int], unowned: Unowned | None = None) -> None:
    """Put blocks that tell their own place into slots that are unknown; `rooms` are bytes of the file without owner.

    They are the first of those in `unowned`, where that is given: more are taken from it once it is known where blocks
    begin. Then what stands between two blocks of known place, in the file as on the disk, is put between them.
    """
    search = _Search(work, rooms, unowned)
    search.narrow(image.table)
    for what, phase in _PHASES:
        with work.stage(f"placing blocks by {what}", None) as progress:
            search.place(image, phase(image), progress)
        image = image_of(work.structures)
        search.address(image)
        search.narrow(image.table)  # each room that is no place for a block would be asked for all ends of files
        search.vote(image_of(work.structures))
        image = image_of(work.structures)
        if work.in_pieces:
            search.leave(spread(work, image, rooms[0], search.votes(image)))
            image = image_of(work.structures)
        search.narrow(image.table)
    if work.in_pieces:
        withdraw(work, image, [sign for _, phase in _PHASES for sign in phase(image)])
        image = image_of(work.structures)
    place_in_order(work, image)
    image = image_of(work.structures)
    _fill_between(work, replace(image.table, source=work.view), search.rooms, search.votes(image))


@dataclass
class _Search:
    """What is left of the rooms, and of the looks into them."""

    work: RebuildWorkspace
    rooms: list[int]
    unowned: Unowned | None = None
    """What the rooms are in; None: there are no others."""
    is_narrow: bool = False
    """Whether the rooms are whole blocks away from those that have an owner."""
    looks: int = _MOST_LOOKS
    asked: tuple[ByteSource, int] | None = None
    """The file as it was when ends of files were asked last, and how many were known."""
    is_addressed: bool = False

    def __post_init__(self) -> None:
        """Note where rooms begin: what is in front of them is somebody's, though no entry says so."""
        self.floor = self.rooms[0] if self.rooms else 0

    @cached_property
    def tails(self) -> Tails:
        """Where content ends in the rooms, and in blocks that have a place."""
        return Tails(self.work.view)

    def place(self, image: Image, signs: Iterable[Sign], progress: Progress) -> None:
        """Put the one block that shows a sign into its slot, sign by sign."""
        for sign in signs:
            if self.looks > 0 and _is_open(self.work, image, sign):
                progress(len(self.rooms) * sign.length)
                self._place(image.table, sign)

    def _place(self, table: BlockTable, sign: Sign) -> None:
        size = table.geometry.block_size
        block, within = divmod(sign.start, size)
        self.looks -= len(self.rooms)
        found = [start for start in self.rooms if sign_fits(table.source, start + within, sign)]
        # Two rooms with the same content: the guest copied it, or the file did. Neither is evidence, and both stay
        # free.
        if len(found) == 1:
            put_block(self.work, table, block, found[0], f"of all room that nothing owns this alone holds {sign.what}")
            self.rooms = [start for start in self.rooms if not found[0] - size < start < found[0] + size]

    def address(self, image: Image) -> None:
        """Put blocks where what is in them says that it is."""
        size = image.geometry.block_size
        places = places_of(payload_entries(image.table)) if not image.has_parent else np.empty(0, np.int64)
        for place_of in () if image.has_parent or self.is_addressed else addressed(image):
            self.is_addressed = True  # what blocks say of themselves needs to be read once
            found = {start: place_of(read_if_possible(self.work.view, start, size)) for start in self.rooms}
            counts = Counter(found.values())
            alone = {at: start for start, at in found.items() if at is not None and counts[at] == 1}
            for at, start in alone.items():
                if at % size == 0 and 0 <= at < image.size and not places[at // size]:
                    put_block(
                        self.work, image.table, at // size, start, "blocks of its file system in it name this place"
                    )
                    self.leave(frozenset({start}))

    def vote(self, image: Image) -> None:
        """Put blocks where the ends of files say that they are; of a child the parent has a part in every file."""
        view, (before, known) = self.work.view, self.asked or (None, 0)
        if image.has_parent or view is before:
            return
        size, votes = image.geometry.block_size, self.votes(image)
        self.asked = view, votes.ends
        if votes.ends == known:  # no more is known of files than when they were asked last
            return
        total = self.unowned.held.size * MIB if self.unowned else None
        with self.work.stage("placing blocks by ends of files", total) as progress:
            won = list(votes.won(self.rooms, progress))
        for block, vote in won:
            evidence = (
                f"{vote.hits} of {plural(vote.total, 'file')} that end in it do so there, and no other block has half"
            )
            put_block(self.work, image.table, block, vote.start, evidence)
            self.rooms = [start for start in self.rooms if not vote.start - size < start < vote.start + size]

    def votes(self, image: Image) -> Votes:
        """The votes of the volumes on the disk, as it is put together now."""
        return Votes(self.tails, image)

    def leave(self, taken: frozenset[int]) -> None:
        """These rooms have got an owner."""
        self.rooms = [start for start in self.rooms if start not in taken]

    def narrow(self, table: BlockTable) -> None:
        """Look where blocks begin alone, once enough of them stand whole blocks apart."""
        # Of the first entries of the table, which are enough; those of sector bitmaps stand where there is room.
        size, first = table.geometry.block_size, min(table.geometry.block_count, _MOST_BLOCKS)
        places = places_of(payload_entries(table, first))
        places = places[places > 0]
        if not self.is_narrow and len(places) >= _ENOUGH and len(np.unique(places % size)) == 1:
            # Of a large file not all starts were among the first so many: those of the grid are, now.
            first, taken = int(places[0]), Ranges.of(Range(place, size) for place in places.tolist())
            starts = starts_in(self.unowned, size, first) if self.unowned else self.rooms
            free = (at for at in starts if at >= self.floor and not taken.touches(Range(at, size)))
            self.rooms = [at for at in free if (at - first) % size == 0]
            self.is_narrow, self.asked = True, None


def _is_open(work: RebuildWorkspace, image: Image, sign: Sign) -> bool:
    """Whether the block that must hold the sign has no entry, as far as is known for certain, and all of the sign."""
    table = image.table
    block, within = divmod(sign.start, table.geometry.block_size)
    if not 0 <= sign.start < image.size or within + sign.length > table.geometry.block_size:
        return False
    state = replace(table, source=work.view).payload_entry(block).state
    return state.value == UNKNOWN or (state is BlockState.NOT_PRESENT and work.doubts(sign.start))


def put_block(work: RebuildWorkspace, table: BlockTable, block: int, place: int, *evidence: str) -> None:
    """Give a block the room at a byte of the file, and say by what evidence; what it holds is likely then."""
    # Which sectors of a child's block are its own, only the bitmap tells: to take all would hide what the parent has.
    state = BlockState.PARTIALLY_PRESENT if table.has_parent else BlockState.FULLY_PRESENT
    put_entries(work, table, {table.geometry.payload_slot(block): entry_for(state, place)})
    how = f"the entry of block {block} is put back: it stands at byte {place} of the file"
    work.note("BAT", how, Certainty.LIKELY, *evidence)
    work.doubt_blocks(table.geometry.block_size, [block])


def _fill_between(work: RebuildWorkspace, table: BlockTable, rooms: list[int], votes: Votes) -> None:
    """Stretches of unknown blocks between two whose places are just as far apart, with room for all: in order."""
    size, free = table.geometry.block_size, set(rooms)
    if not _is_written_in_order(table):
        return
    for unknown in _unknown_blocks(table):
        first, last = unknown.start, unknown.end - 1
        if first == 0 or last == table.geometry.block_count - 1:
            continue
        below, above = table.payload_entry(first - 1), table.payload_entry(last + 1)
        # Writers allocate in the order of writing, and a guest that writes a large file writes it in order. If as
        # many blocks are missing as there is room between two neighbours, and nobody owns that room, the order is
        # likely, not certain.
        places = [below.file_offset + size * step for step in range(1, last - first + 2)]
        ends = below.state.holds_data and above.state.holds_data and above.file_offset == places[-1] + size
        if ends and free.issuperset(places) and votes.agree(zip(range(first, last + 1), places, strict=True)):
            evidence = f"blocks {first - 1} and {last + 1} stand in the file as far apart as on the disk"
            for block, place in zip(range(first, last + 1), places, strict=True):
                put_block(work, table, block, place, evidence, "what stands between them has no owner")


def _is_written_in_order(table: BlockTable) -> bool:
    """Whether of neighbours on the disk that both have a place most are neighbours in the file; so where few do."""
    places = (
        places_of(payload_entries(table)) if table.geometry.block_count <= _MOST_OF_FIXED else np.zeros(0, np.int64)
    )
    both = (places[:-1] > 0) & (places[1:] > 0)
    steps = np.diff(places)[both] == table.geometry.block_size
    return len(steps) < _NEIGHBOURS or 2 * int(steps.sum()) >= len(steps)


def _unknown_blocks(table: BlockTable) -> Ranges:
    """The numbers of the blocks whose entries are unknown."""
    found: list[int] = []
    for first, entries in table.all_entries():
        slots = first + np.flatnonzero(entries == UNKNOWN)
        found += blocks_of(replace(table, has_parent=False), slots[: _MOST_BLOCKS - len(found)].tolist())
    return Ranges.of(Range(block, 1) for block in found if block < table.geometry.block_count)


def place_in_order(work: RebuildWorkspace, image: Image) -> None:
    """Put the blocks of a fixed disk whose entries are unknown, or say that nothing is there, into their order."""
    table, geometry = image.table, image.geometry
    if image.has_parent or not image.parameters.flags & LEAVE_BLOCKS_ALLOCATED or geometry.block_count > _MOST_OF_FIXED:
        return
    blocks, entries = np.arange(geometry.block_count, dtype=np.int64), payload_entries(table)
    held = entries & STATE_MASK == BlockState.FULLY_PRESENT
    starts = (entries >> OFFSET_SHIFT) * MIB - blocks * geometry.block_size
    # Zero counts as lost here, unlike in a dynamic disk: a fixed disk has no absent block.
    lost = np.isin(entries, (0, UNKNOWN))
    anchors = np.unique(starts[held])
    # Two different origins mean that the file is not in order, whatever its flag says: some programs set it on
    # dynamic files.
    if not lost.any() or len(anchors) > 1:
        return
    first = int(anchors[0]) if len(anchors) else table.source.size - geometry.block_count * geometry.block_size
    end = first + geometry.block_count * geometry.block_size
    on_structures = any(one.start < end and first < one.end for one in table.structures)
    if first < HEADER_AREA_SIZE or first % MIB or on_structures:
        return
    chosen, state = blocks[lost].tolist(), BlockState.FULLY_PRESENT
    size = geometry.block_size
    put_entries(work, table, {geometry.payload_slot(block): entry_for(state, first + block * size) for block in chosen})
    evidence = "all blocks whose entries stand agree on it" if len(anchors) else "they end where the file does"
    how = f"put back in order, {plural(len(chosen), 'block')}: block 0 stands at byte {first} of the file"
    work.note("BAT", how, Certainty.LIKELY, "the disk is fixed, so that every block is there", evidence)
    work.doubt_blocks(geometry.block_size, chosen)
