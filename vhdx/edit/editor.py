"""A file that is being changed: its blocks, sector bitmaps and room, step by step through one session."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

import numpy as np

from vhdx.contents import Structures
from vhdx.edit.log_writer import MOST_IN_ENTRY
from vhdx.edit.medium import Medium
from vhdx.edit.replaying import apply_log
from vhdx.edit.room import Place, Room
from vhdx.edit.session import Order, Session
from vhdx.errors import CorruptFileError, VhdxError, require
from vhdx.findings import Finding, Severity
from vhdx.geometry import Geometry
from vhdx.identities import Identities, random_identities
from vhdx.parsed import Parsed
from vhdx.ranges import NamedRange, Range, Ranges
from vhdx.source import Closing, read_at
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, BatEntry, BlockState
from vhdx.structures.constants import BAT_REGION, MIB, SECTOR_BITMAP_SIZE
from vhdx.structures.disk import DiskParameters
from vhdx.structures.fields import Copies
from vhdx.structures.metadata import MetadataTable, parse_metadata_table
from vhdx.structures.region import RegionTable
from vhdx.table import BlockTable

Value = TypeVar("Value")


class Editor(Closing):
    """One file, in a session. A `with` statement abandons what was not ended; the medium stays open."""

    def __init__(
        self, medium: Medium, *, data_write_guid: UUID | None = None, identities: Identities = random_identities
    ) -> None:
        """Begin a session; `data_write_guid` is the file's new one where what its disk shows will change.

        Raises CorruptFileError for a file with an error in what leads to its blocks, and as Session does.
        """
        structures = Structures(medium)
        required(structures, structures.headers)
        self.regions: Copies[RegionTable] = required(structures, structures.regions)
        self.metadata: MetadataTable = required(structures, structures.metadata)
        self.parameters: DiskParameters = required(structures, structures.parameters)
        table: BlockTable = required(structures, structures.table)
        self.session = Session(medium, data_write_guid=data_write_guid, identities=identities)
        self.table = replace(table, source=self.session)
        self.room = Room.of(self.table, medium.size)

    @property
    def geometry(self) -> Geometry:
        """Blocks, chunks and slots."""
        return self.table.geometry

    def entry(self, block: int) -> BatEntry:
        """The block's entry, as it will be after the next commit."""
        return self.table.payload_entry(block)

    def allocate(self, length: int) -> Place:
        """Room for `length` bytes, whole MiB, that nothing leads to yet. Only of a place that is new they are zeros."""
        place = self.room.take(length)
        self.session.grow(place.start + length)
        return place

    def allocate_behind_end(self, length: int) -> Place:
        """As `allocate`, at the file's end: zeros that nobody wrote."""
        place = self.room.take_behind_end(length)
        self.session.grow(place.start + length)
        return place

    def allocate_zeros(self, length: int) -> Place:
        """As `allocate`, all zeros."""
        place = self.allocate(length)
        if not place.is_new:
            self.session.medium.zero(Range(place.start, place.length))
        return place

    def set_block(self, block: int, state: BlockState, offset: int = 0) -> None:
        """Give a block its state and place with the next commit; the place that it had is free after that.

        An entry that holds no data has no offset: Hyper-V refuses others.
        """
        old = self.entry(block)
        if old.state.holds_data and old.file_offset != offset:
            self.room.give(Range(old.file_offset, self.geometry.block_size))
        self._set_slot(self.geometry.payload_slot(block), state, offset)

    def _set_slot(self, slot: int, state: BlockState, offset: int) -> None:
        entry = state | offset // MIB << OFFSET_SHIFT
        at = self.table.bat_offset + slot * ENTRY_SIZE
        self.session.stage(at, entry.to_bytes(ENTRY_SIZE, "little"), Order.TABLE)

    def move_slot(self, slot: int, offset: int) -> None:
        """Say with the next commit that what an entry leads to is at `offset`, where a copy of it is already."""
        entry = self.table.entry(slot)
        is_bitmap = (slot + 1) % (self.geometry.chunk_ratio + 1) == 0
        self.room.give(Range(entry.file_offset, SECTOR_BITMAP_SIZE if is_bitmap else self.geometry.block_size))
        self._set_slot(slot, entry.state, offset)

    def clear_slot(self, slot: int, place: Range) -> None:
        """Make an entry that the disk does not need 0 with the next commit; its place is free after that."""
        if place.start:
            self.room.give(place)
        self._set_slot(slot, BlockState.NOT_PRESENT, 0)

    def claim_all(self, block: int, own: Ranges) -> None:
        """As `claim`, for a block whose bits mean nothing yet: all others are cleared, for stale ones would show."""
        self._mark(block, own, was=bytes(self._bits_length))

    def claim(self, block: int, own: Ranges) -> None:
        """Say with the next commit that these bytes of the disk are this file's, and no more the parent's."""
        place = self._bits_place(block)
        self._mark(block, own, was=read_at(self.session, place, self._bits_length))

    @property
    def _bits_length(self) -> int:
        return self.geometry.block_size // self.geometry.sector_size // 8

    def _mark(self, block: int, own: Ranges, *, was: bytes) -> None:
        place = self._bits_place(block)
        bits = np.unpackbits(np.frombuffer(was, np.uint8), bitorder="little")
        sector, origin = self.geometry.sector_size, block * self.geometry.block_size
        for part in own:
            bits[(part.start - origin) // sector : -(-(part.end - origin) // sector)] = 1
        self.session.stage(place, np.packbits(bits, bitorder="little").tobytes(), Order.BITMAP)

    def _bits_place(self, block: int) -> int:
        """Where the block's bits are; its chunk gets a bitmap where it has none."""
        chunk, number = divmod(block, self.geometry.chunk_ratio)
        entry = self.table.bitmap_entry(chunk)
        place = entry.file_offset if entry.state.holds_data else self._new_bitmap(chunk)
        return place + number * self._bits_length

    def _new_bitmap(self, chunk: int) -> int:
        place = self.allocate_zeros(SECTOR_BITMAP_SIZE)
        self._set_slot(self.geometry.bitmap_slot(chunk), BlockState.FULLY_PRESENT, place.start)
        # At once: should a crash leave part of a commit, no block may need a bitmap that is not there.
        self.commit()
        return place.start

    def take_metadata(self, page: bytes) -> None:
        """From now on the metadata table is the one in this page, wherever the next commit puts it."""
        self.metadata = parse_metadata_table(page)

    def take_regions(self, regions: RegionTable) -> None:
        """From now on regions are where this table says; what is looked for in the block table is looked for there."""
        old = {(entry.file_offset, entry.length) for entry in self.regions.current.entries}
        others = [one for one in self.table.structures if (one.start, one.length) not in old]
        self.regions = replace(self.regions, copies=(regions, regions), current_copy=0)
        found = [NamedRange(entry.file_offset, entry.length, f"{entry.name} region") for entry in regions.entries]
        bat = next(entry for entry in regions.entries if entry.guid == BAT_REGION)
        self.table = replace(
            self.table,
            bat_offset=bat.file_offset,
            bat_length=bat.length,
            structures=tuple(sorted([*others, *found])),
        )

    def take_parameters(self, parameters: DiskParameters) -> None:
        """From now on the disk is this one: its size may be another."""
        self.parameters = parameters
        self.table = replace(self.table, geometry=replace(self.geometry, size=parameters.size))

    def commit_before(self) -> None:
        """Commit, so that a change that must be whole has an entry for itself; what changes regions waits for it."""
        if self.session.staged_orders() - {Order.METADATA}:
            self.commit()

    def commit_whole(self) -> None:
        """Commit what was staged since the last commit in one entry of the log: all of it is durable, or nothing."""
        if self.session.staged > MOST_IN_ENTRY:
            raise ValueError(f"{self.session.staged} pages do not fit into one entry of the log")
        self.commit()

    def commit(self) -> tuple[Range, ...]:
        """Make everything so far durable; returns the ranges of the file that are free from now on."""
        self.session.commit()
        return self.room.settle()

    def clear_free(self) -> int:
        """Make zeros of what nothing claims, durable with the end; returns where the file may end then.

        What blocks left would be taken for data that the table lost (BAT-23) as soon as the log is closed.
        """
        self.commit()
        medium = self.session.medium
        self.room = Room.of(self.table, medium.size)
        end = min(self.room.cut(), medium.size)
        _clear(medium, self.room, end)
        return end

    @contextmanager
    def clearing(self) -> Iterator[None]:
        """Should anything break off what is done within, clear what was let go of by then, before the log is closed."""
        try:
            yield
        except BaseException:
            medium = self.session.medium
            with suppress(VhdxError):
                if self.session.forget():
                    # The table here may be one that was never committed: it would call the place of the durable one
                    # free. test_ctrl_c_at_any_step_loses_nothing_although_tables_move.
                    _clear_unclaimed(medium, Structures(medium))
            raise

    def end(self, size: int | None = None) -> None:
        """Commit, cut the file to `size` bytes where it is longer, and close the log."""
        self.commit()
        self.session.end(size)

    def close(self) -> None:
        """Abandon what was not committed; nothing happens after `end`."""
        self.session.close()


def tidy(medium: Medium) -> None:
    """Apply the log that a session left live which was broken off, and clear what it had let go of before that.

    Raises as apply_log does, and CorruptFileError for a file whose table cannot be read.
    """
    structures = Structures(medium)
    if not required(structures, structures.headers).current.log_is_live:
        return
    _clear_unclaimed(medium, structures)
    medium.flush()
    apply_log(medium)


def _clear_unclaimed(medium: Medium, structures: Structures) -> None:
    _clear(medium, Room.of(required(structures, structures.table), medium.size), medium.size)


def _clear(medium: Medium, room: Room, end: int) -> None:
    for part in room.free.within(Range(0, end)):
        medium.zero(part)


def required(structures: Structures, part: Parsed[Value]) -> Value:
    """The value of a part of a file; raises CorruptFileError where it has an error, or what kept it from being read."""
    if part.error is not None:
        raise part.error
    path = structures.file.path
    require(path, part.findings)
    if part.value is None:  # an earlier part's findings say why
        raise CorruptFileError(path, Finding("REG-13", Severity.ERROR, "a structure is missing"))
    return part.value
