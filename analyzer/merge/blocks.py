"""One block of the parent at a time: what the layers above hold of it is put where it belongs."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from analyzer.convert.cells import GRAIN, Bytes, nonzero_ranges
from vhdx.chain import Chain
from vhdx.edit.editor import Editor
from vhdx.edit.room import Place
from vhdx.ranges import Range
from vhdx.runs import Kind, RunTable, cut_evenly
from vhdx.source import expect_of, read_at
from vhdx.structures.bat import BatEntry, BlockState
from vhdx.structures.constants import MIB

# Bytes of a block that are in memory at one time.
_PIECE = 4 * MIB
# Bytes that are read ahead.
_AHEAD = 32 * MIB
# Pieces of runs that are cut at once.
_MOST_PIECES = 1 << 14
# Entries that hide the parent and read as zeros.
_ZEROS = (BlockState.ZERO, BlockState.UNMAPPED, BlockState.UNDEFINED)


@dataclass
class BlockMerger:
    """Puts blocks of the layers above layer `kept` of a chain into that layer's file.

    Only bytes that a layer above holds are ever written over: the disk as the leaf shows it is the same at any moment.
    """

    editor: Editor
    chain: Chain
    compares: bool
    """Whether bytes that are there already are looked at first: after an interruption most are."""
    written: int = 0
    """Bytes of payload that were written."""
    _buffer: Bytes = field(init=False, repr=False, default_factory=lambda: np.empty(_PIECE, dtype=np.uint8))

    def merge(self, block: int, own: RunTable) -> None:
        """Put what the layers above hold of a block, its runs without holes, into the file; durable with a commit."""
        entry, size = self.editor.entry(block), self.editor.geometry.bytes_of_block(block)
        is_whole = own.bytes_of(Kind.HOLE) == 0 and int(own.length.sum()) == size
        reads_zeros = entry.state in _ZEROS or (self._is_absent(entry) and not self.editor.table.has_parent)
        if is_whole and not own.bytes_of(Kind.DATA):
            self._all_zeros(block, entry, own, reads_zeros=reads_zeros)
        elif entry.state.holds_data:
            self._into(block, entry, own, is_whole=is_whole)
        elif reads_zeros:
            self._upon_zeros(block, own)
        else:
            self._upon_nothing(block, own, is_whole=is_whole)

    def _is_absent(self, entry: BatEntry) -> bool:
        return entry.state is BlockState.NOT_PRESENT

    def _all_zeros(self, block: int, entry: BatEntry, own: RunTable, *, reads_zeros: bool) -> None:
        if reads_zeros:
            return
        if entry.state is BlockState.FULLY_PRESENT and self.editor.parameters.is_fixed:
            self._into(block, entry, own, is_whole=True)  # a fixed file keeps its blocks
        else:
            self.editor.set_block(block, BlockState.ZERO)

    def _into(self, block: int, entry: BatEntry, own: RunTable, *, is_whole: bool) -> None:
        self.editor.session.grow(entry.file_offset + self.editor.geometry.bytes_of_block(block))
        for start, data, part in self._pieces(block, own):
            self._put(part.ranges, start, data, self._place(block, entry.file_offset))
        if entry.state is BlockState.FULLY_PRESENT:
            return
        if is_whole or not self.editor.table.has_parent:  # partial in a base means whole, and QEMU does not read it
            self.editor.set_block(block, BlockState.FULLY_PRESENT, entry.file_offset)
        else:
            self.editor.claim(block, own.ranges)

    def _upon_zeros(self, block: int, own: RunTable) -> None:
        """A new block, all of it the file's own: what the layers above leave to it is zeros and stays that."""
        new: Place | None = None
        for start, data, part in self._pieces(block, own):
            for gap in part.ranges.gaps(Range(start, len(data))):
                data[gap.start - start : gap.end - start] = 0
            filled = nonzero_ranges(data)
            if filled and new is None:  # zeros upon zeros take no room
                new = self.editor.allocate_zeros(self.editor.geometry.block_size)
            if new is not None:
                self._put(
                    (Range(start + one.start, one.length) for one in filled), start, data, self._place(block, new.start)
                )
        if new is not None:
            self.editor.set_block(block, BlockState.FULLY_PRESENT, new.start)

    def _upon_nothing(self, block: int, own: RunTable, *, is_whole: bool) -> None:
        """A new block of a differencing file, of which only what the layers above hold is its own."""
        new = self.editor.allocate(self.editor.geometry.block_size)
        for start, data, part in self._pieces(block, own):
            written = part.of_kind(Kind.DATA) if new.is_new else part
            self._put(written.ranges, start, data, self._place(block, new.start))
        if is_whole:
            self.editor.set_block(block, BlockState.FULLY_PRESENT, new.start)
        else:
            self.editor.claim_all(block, own.ranges)
            self.editor.set_block(block, BlockState.PARTIALLY_PRESENT, new.start)

    def _place(self, block: int, offset: int) -> int:
        """What is added to a byte's place on the disk for its place in the file."""
        return offset - block * self.editor.geometry.block_size

    def _pieces(self, block: int, own: RunTable) -> Iterator[tuple[int, Bytes, RunTable]]:
        """A block piece by piece: its start on the disk, its bytes, and its runs. Between these the bytes are anything.

        What of one piece lies side by side is so written at once, whichever layers it is from. The bytes are good until
        the next piece.
        """
        first = block * self.editor.geometry.block_size
        for place in range(first, first + self.editor.geometry.bytes_of_block(block), _PIECE):
            part = own.clip(place, place + _PIECE)
            if len(part):
                start = int(part.start[0]) // GRAIN * GRAIN
                data = self._buffer[: part.end - start]
                self._read(part, start, data)
                yield start, data, part

    def _read(self, runs: RunTable, start: int, data: Bytes) -> None:
        columns = runs.start - start, runs.length, runs.kind == Kind.DATA, runs.layer, runs.file_offset
        for at, length, is_data, layer, offset in zip(*(column.tolist() for column in columns), strict=True):
            if is_data:
                self.chain.sources[layer].read_into(offset, data[at : at + length].data)
            else:
                data[at : at + length] = 0

    def _put(self, parts: Iterable[Range], start: int, data: Bytes, place: int) -> None:
        """Write parts of the disk, of a piece that begins at `start`, where `place` says; not what is there already."""
        for part in parts:
            new, at = data[part.start - start : part.end - start].data, part.start + place
            if not self.compares or read_at(self.editor.session, at, part.length) != new:
                self.editor.session.write(at, new)
                self.written += part.length


def held_by_block(chain: Chain, kept: int, block_size: int, size: int) -> Iterator[tuple[int, RunTable]]:
    """The blocks of which the layers above layer `kept` hold anything, sorted, each with its runs but the holes."""
    pending: list[RunTable] = []
    at = -1
    for table in chain.windows_above(kept + 1, 0, size):
        held = table.select(table.kind != Kind.HOLE)
        for block, part in _by_block(held, block_size):
            if pending and block != at:
                yield at, _joined(pending)
                pending = []
            at = block
            pending.append(part)
    if pending:
        yield at, _joined(pending)


def read_ahead(chain: Chain, blocks: Iterable[tuple[int, RunTable]]) -> Iterator[tuple[int, RunTable]]:
    """The blocks as they come, while the data of those that follow begins to be read.

    The system foresees no reading with gaps: on a machine whose memory does not hold the files each run would be waited
    for, one after the other.
    """
    waiting, ahead = deque[tuple[int, RunTable]](), 0
    for block, own in blocks:
        waiting.append((block, own))
        data = own.of_kind(Kind.DATA)
        for layer, part in zip(data.layer.tolist(), map(Range, data.file_offset, data.length), strict=True):
            expect_of(chain.sources[layer], part)
        ahead += own.bytes_of(Kind.DATA)
        while ahead > _AHEAD:
            ahead -= waiting[0][1].bytes_of(Kind.DATA)
            yield waiting.popleft()
    yield from waiting


def _by_block(held: RunTable, block_size: int) -> Iterator[tuple[int, RunTable]]:
    """The parts of some runs, block by block."""
    for some in _few_at_a_time(held, block_size):
        pieces = cut_evenly(some, block_size)
        blocks = pieces.start // block_size
        edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=-1)).tolist()
        for first, last in pairwise(edges):
            yield int(blocks[first]), _slice(pieces, first, last)


def _few_at_a_time(held: RunTable, block_size: int) -> Iterator[RunTable]:
    """The runs in tables that touch at most so many blocks that the pieces take no room to speak of."""
    touched = (held.start + held.length - 1) // block_size - held.start // block_size + 1
    total, done = np.cumsum(touched), 0
    while done < len(held):
        before = int(total[done - 1]) if done else 0
        upto = max(done + 1, int(total.searchsorted(before + _MOST_PIECES, "right")))
        some = _slice(held, done, upto)
        for start in range(int(some.start[0]), some.end, _MOST_PIECES * block_size) if upto == done + 1 else ():
            yield some.clip(start, min(some.end, start + _MOST_PIECES * block_size))
        if upto > done + 1:
            yield some
        done = upto


def _slice(table: RunTable, first: int, last: int) -> RunTable:
    part = slice(first, last)
    return RunTable(table.start[part], table.length[part], table.kind[part], table.layer[part], table.file_offset[part])


def _joined(parts: Sequence[RunTable]) -> RunTable:
    """Tables that follow one another as one; there may be holes between runs, so neighbours are left as they are."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*((part.start, part.length, part.kind, part.layer, part.file_offset) for part in parts), strict=True)
    return RunTable(*(np.concatenate(column) for column in columns))
