"""A new fixed, dynamic or differencing file, written front to back into a sink.

Layout as Windows makes it: log and metadata from 1 and 2 MiB on, the BAT behind them, then blocks in disk order.
Only what is not zero is written: the file is sparse where its blocks are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from vhdx.geometry import Geometry, bat_region_size
from vhdx.ranges import Range, Ranges
from vhdx.sink import Sink
from vhdx.structures.bat import OFFSET_SHIFT, BlockState
from vhdx.structures.constants import (
    HEADER_OFFSETS,
    KIB,
    MIB,
    NIL,
    PARENT_LOCATOR,
    REGION_TABLE_OFFSETS,
    SECTOR_BITMAP_SIZE,
    SECTORS_PER_CHUNK,
)
from vhdx.structures.disk import HAS_PARENT, LEAVE_BLOCKS_ALLOCATED, DiskParameters, DiskType, build_disk_parameters
from vhdx.structures.header import SIGNATURE as HEADER_SIGNATURE
from vhdx.structures.header import Header, build_header
from vhdx.structures.identifier import SIGNATURE as FILE_SIGNATURE
from vhdx.structures.identifier import Identifier, build_identifier
from vhdx.structures.locator import build_locator
from vhdx.structures.metadata import MetadataItem, build_metadata
from vhdx.structures.region import build_regions

CREATOR = "vhdx (Python)"
LOG_OFFSET, LOG_LENGTH = MIB, MIB
# The layout that Windows writes: header area, log, metadata, block table, each on whole MiB.
METADATA_OFFSET = 2 * MIB
_WINDOW_SLOTS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDisk:
    """What a new file is to be; all sizes are bytes. `locator` are the parent locator's keys and values.

    `items` are further metadata items of the disk.
    """

    type: DiskType
    size: int
    block_size: int
    logical_sector_size: int
    physical_sector_size: int
    disk_id: UUID
    file_write_guid: UUID
    data_write_guid: UUID
    locator: Sequence[tuple[str, str]] = ()
    items: Sequence[MetadataItem] = ()

    @property
    def geometry(self) -> Geometry:
        """Blocks, chunks and slots of the new file."""
        return Geometry(self.size, self.block_size, self.logical_sector_size)

    @property
    def bat_length(self) -> int:
        """Bytes of the BAT region."""
        differencing = self.type is DiskType.DIFFERENCING
        return bat_region_size(self.geometry.slots_in_child if differencing else self.geometry.slots_in_base)

    @property
    def metadata(self) -> bytes:
        """The metadata region up to the end of its items."""
        contents = build_disk_parameters(self.parameters)
        if self.locator:
            # The locator comes behind them, for it may be long, as Windows has it.
            contents[PARENT_LOCATOR] = build_locator(self.locator)
        return build_metadata(contents, self.items)

    @property
    def bat_offset(self) -> int:
        """Where the BAT is: behind the metadata, which are as many MiB as their items need."""
        return METADATA_OFFSET + -(-len(self.metadata) // MIB) * MIB

    @property
    def first_block(self) -> int:
        """Where the first block is, in bytes."""
        return self.bat_offset + self.bat_length

    @property
    def parameters(self) -> DiskParameters:
        """The metadata items of the new disk."""
        flags = {DiskType.FIXED: LEAVE_BLOCKS_ALLOCATED, DiskType.DIFFERENCING: HAS_PARENT}.get(self.type, 0)
        return DiskParameters(
            *(self.block_size, flags, self.size, self.disk_id, self.logical_sector_size, self.physical_sector_size)
        )


class VhdxWriter:
    """Writes one new file. Data comes in the order of the disk; `finish` makes it a VHDX."""

    def __init__(self, sink: Sink, disk: NewDisk) -> None:
        """Begin the file that `disk` describes; nothing of it can be opened before `finish`."""
        self._sink, self._disk, self._geometry = sink, disk, disk.geometry
        self._bat_offset, self._first_block = disk.bat_offset, disk.first_block
        self._next = self._first_block
        self._blocks: dict[int, int] = {}
        self._bat = _BatWriter(sink, self._bat_offset)
        self._bits: npt.NDArray[np.bool_] | None = None
        self._chunk = -1
        if disk.type is DiskType.FIXED:
            self._allocate_all()

    def write(self, start: int, data: memoryview) -> None:
        """Put bytes at `start` of the disk, all within one block; a block is allocated when it is first written."""
        self._sink.write_at(self.place(start), data)

    def place(self, start: int) -> int:
        """Where in the file byte `start` of the disk is to be, its block allocated; asked in the order of the disk."""
        block, inside = divmod(start, self._disk.block_size)
        return self._place(block) + inside

    def claim(self, first_block: int, states: npt.NDArray[np.int64], sectors: npt.NDArray[np.int64]) -> None:
        """State what a differencing file holds of some blocks: a BlockState each, and the sectors that are its own.

        `sectors` are (start, end) pairs in sectors of the disk, for the PARTIALLY_PRESENT ones. Blocks come in the
        order of the disk, before what is written to them.
        """
        self._blocks = {}
        for block, state in enumerate(states.tolist(), first_block):
            if state == BlockState.PARTIALLY_PRESENT:
                if self._chunk != block // self._geometry.chunk_ratio:
                    self._end_bitmap()
                    self._chunk = block // self._geometry.chunk_ratio
                    self._bits = np.zeros(SECTORS_PER_CHUNK, dtype=np.bool_)
                self._blocks[block] = self._allocate(block, state)
            elif state != BlockState.NOT_PRESENT:
                # A whole block is zeros until something else is written: then it gets its place.
                self._bat.set(self._geometry.payload_slot(block), BlockState.ZERO)
        if self._bits is not None:
            origin = self._chunk * SECTORS_PER_CHUNK
            for start, end in sectors.tolist():
                self._bits[max(0, start - origin) : max(0, end - origin)] = True

    def finish(self) -> None:
        """Write bitmaps, BAT, metadata, region tables and headers, and give the file its length."""
        self._end_bitmap()
        self._bat.flush()
        self._write_structures()
        # The identifier last: a file that was not finished is no VHDX.
        self._sink.write_at(0, build_identifier(Identifier(FILE_SIGNATURE, CREATOR.encode("utf-16-le"))))
        self._sink.set_size(self._next)

    def _place(self, block: int) -> int:
        if self._disk.type is DiskType.FIXED:
            return self._first_block + block * self._disk.block_size
        if block not in self._blocks:
            if self._disk.type is DiskType.DYNAMIC:
                self._blocks.clear()  # data comes in the order of the disk: no earlier block is asked for again
            self._blocks[block] = self._allocate(block, BlockState.FULLY_PRESENT)
        return self._blocks[block]

    def _allocate(self, block: int, state: int) -> int:
        place = self._take(self._disk.block_size)
        self._bat.set(self._geometry.payload_slot(block), state | place // MIB << OFFSET_SHIFT)
        return place

    def _take(self, size: int) -> int:
        place, self._next = self._next, self._next + size
        return place

    def _allocate_all(self) -> None:
        geometry, size_mib = self._geometry, self._disk.block_size // MIB
        first_mib = self._take(geometry.block_count * self._disk.block_size) // MIB
        for first in range(0, geometry.block_count, _WINDOW_SLOTS):
            blocks = np.arange(first, min(first + _WINDOW_SLOTS, geometry.block_count), dtype=np.int64)
            entries = BlockState.FULLY_PRESENT | (first_mib + blocks * size_mib) << OFFSET_SHIFT
            slots = geometry.payload_slot(blocks)
            table = np.zeros(slots[-1] - slots[0] + 1, dtype="<i8")
            table[slots - slots[0]] = entries
            self._sink.write_at(self._bat_offset + int(slots[0]) * 8, table.tobytes())

    def _end_bitmap(self) -> None:
        if self._bits is None:
            return
        # A bitmap goes behind the blocks of its chunk, for only then is it known.
        place = self._take(SECTOR_BITMAP_SIZE)
        self._sink.write_at(place, np.packbits(self._bits, bitorder="little").tobytes())
        self._bat.set(self._geometry.bitmap_slot(self._chunk), BlockState.FULLY_PRESENT | place // MIB << OFFSET_SHIFT)
        self._bits = None

    def _write_structures(self) -> None:
        disk = self._disk
        self._sink.write_at(METADATA_OFFSET, disk.metadata)
        metadata, bat = Range.between(METADATA_OFFSET, self._bat_offset), Range(self._bat_offset, disk.bat_length)
        page = build_regions(bat, metadata)
        for offset in REGION_TABLE_OFFSETS:
            self._sink.write_at(offset, page)
        for copy, offset in enumerate(HEADER_OFFSETS):
            guids = (disk.file_write_guid, disk.data_write_guid, NIL)
            header = Header(HEADER_SIGNATURE, 0, copy + 1, *guids, 0, 1, LOG_LENGTH, LOG_OFFSET)
            self._sink.write_at(offset, build_header(header))


class _BatWriter:
    """Collects BAT entries that come in about the order of their slots, and writes them window by window."""

    def __init__(self, sink: Sink, at: int) -> None:
        self._sink, self._at = sink, at
        self._entries: dict[int, int] = {}

    def set(self, slot: int, entry: int) -> None:
        self._entries[slot] = entry
        if len(self._entries) >= 64 * KIB:
            self.flush()

    def flush(self) -> None:
        slots = np.array(sorted(self._entries), dtype=np.int64)
        values = np.array([self._entries[slot] for slot in slots.tolist()], dtype="<i8")
        done = 0
        for part in Ranges.of_columns(slots, np.ones_like(slots)):
            self._sink.write_at(self._at + part.start * 8, values[done : done + part.length].tobytes())
            done += part.length
        self._entries.clear()
