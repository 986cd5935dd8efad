"""What is written to a disk that is served: kept in a file beside it, block by block, and safe at any moment."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from analyzer.serve.scratch_layout import (
    BLOCK,
    ENTRY_SIZE,
    PAGE,
    STATE_MASK,
    STRIDE,
    TABLE_OFFSET,
    ScratchHeader,
    State,
)
from vhdx.edit.medium import Medium
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, Run, RunTable, merge_neighbours

# Blocks whose bits are kept: 3 MiB of them. What was not made durable yet is kept beyond that, and then made so.
_MOST_KEPT = 1 << 12
# Of one table: blocks, and of them those with bits of their own, each of up to 4,096 runs.
_MOST_BLOCKS, _MOST_OWN = 1 << 20, 64


@dataclass(slots=True)
class _Pending:
    """What the file does not say yet: bits and entries by block."""

    bits: dict[int, int] = field(default_factory=dict)
    entries: dict[int, int] = field(default_factory=dict)


class Scratch:
    """The blocks of a scratch file. From any thread.

    The file is changed in an order that every crash leaves whole: content, then the bits that show it, then the entries
    that show these, each durable before the next.
    """

    def __init__(self, medium: Medium, header: ScratchHeader) -> None:
        """Go on with the file in `medium`, which is one of this header."""
        self.header, self._medium, self._lock, self._flushing = header, medium, threading.RLock(), threading.Lock()
        self.edges = threading.Lock()
        """Held while a part of a sector is changed, which takes reading the rest of it."""
        self._entries = np.zeros(header.blocks, dtype="<u8")
        self._all = (1 << BLOCK // header.sector_size) - 1
        self._bits, self._pending, self._saving = dict[int, int](), _Pending(), _Pending()
        self._end, self._is_dirty = medium.size, False

    def load(self) -> bool:
        """Take over what the file holds; False where its table leads out of it: then it is damaged."""
        self._medium.read_into(TABLE_OFFSET, self._entries.view(np.uint8).data)
        states, places = self._entries & STATE_MASK, self._entries & ~np.uint64(STATE_MASK)
        is_placed = (places[states == State.OWN] != 0).all() and (states <= State.OWN).all()
        # As Python's numbers: none of them wraps around.
        placed, first = places[places != 0].tolist(), self.header.first_place
        is_inside = all(
            first <= place <= self._medium.size - STRIDE and (place - first) % STRIDE == 0 for place in placed
        )
        return bool(is_placed and is_inside and len(set(placed)) == len(placed))

    @property
    def medium(self) -> Medium:
        """The file."""
        return self._medium

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not self._entries.any()

    def write(self, start: int, data: memoryview) -> None:
        """Put whole sectors at `start`; raises what writing raises."""
        for block, inside, part in self._parts(Range(start, len(data))):
            at = part.start - start
            with self._lock:
                place = self._own(block)
                self._medium.write_at(place + PAGE + inside, data[at : at + part.length])
                self._show(block, inside, part.length)
        self._flush_if_much()

    def zero(self, start: int, length: int) -> None:
        """Make whole sectors zeros, which hide the disk below; raises what writing raises."""
        for block, inside, part in self._parts(Range(start, length)):
            with self._lock:
                state = int(self._entries[block]) & STATE_MASK
                if part.length == self._length(block):
                    self._set_entry(block, self._place(block) | State.ZERO)
                    self._bits.pop(block, None)
                    self._pending.bits.pop(block, None)
                elif state != State.ZERO:
                    place = self._own(block)
                    self._medium.zero(Range(place + PAGE + inside, part.length))
                    self._show(block, inside, part.length)
        self._flush_if_much()

    def flush(self) -> None:
        """Make all that was written so far durable; raises what writing raises, and then nothing is forgotten."""
        with self._flushing:
            with self._lock:
                if not self._is_dirty:
                    return
                saved, self._saving, self._pending, self._is_dirty = self._pending, self._pending, _Pending(), False
            try:
                self._save(saved)
            except BaseException:
                with self._lock:
                    self._pending = _Pending(saved.bits | self._pending.bits, saved.entries | self._pending.entries)
                    self._is_dirty = True
                raise
            finally:
                with self._lock:
                    self._saving = _Pending()
            self._let_go(saved)

    def table(self, start: int, end: int) -> RunTable:
        """What is here from `start` to `end`, whole sectors: DATA in the file, ZERO, and HOLE where nothing is."""
        with self._lock:
            return merge_neighbours(RunTable.of(list(self._runs(start, end))))

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """Tables that follow one another, each of bounded size."""
        position = start
        while position < end:
            first = position // BLOCK
            own = np.flatnonzero(self._entries[first : first + _MOST_BLOCKS] & STATE_MASK == State.OWN)
            count = int(own[_MOST_OWN]) if len(own) > _MOST_OWN else _MOST_BLOCKS
            table = self.table(position, min(end, (first + count) * BLOCK))
            yield table
            position = table.end

    # --- blocks ---

    def _parts(self, part: Range) -> Iterator[tuple[int, int, Range]]:
        """The parts of a range by block: its number, where in it, and the part."""
        position = part.start
        while position < part.end:
            block, inside = divmod(position, BLOCK)
            piece = Range.between(position, min(part.end, (block + 1) * BLOCK))
            yield block, inside, piece
            position = piece.end

    def _length(self, block: int) -> int:
        return min(BLOCK, self.header.size - block * BLOCK)

    def _place(self, block: int) -> int:
        return int(self._entries[block]) & ~STATE_MASK

    def _own(self, block: int) -> int:
        """The place of a block that takes something in: it is shown as it was, from now on by its bits."""
        state, place = int(self._entries[block]) & STATE_MASK, self._place(block)
        if state == State.OWN:
            return place
        if place:
            self._medium.zero(Range(place + PAGE, BLOCK))
        else:
            place = self._end
            self._medium.set_size(place + STRIDE)
            self._end += STRIDE
        self._set_entry(block, place | State.OWN)
        self._set_bits(block, self._all if state == State.ZERO else 0)
        return place

    def _show(self, block: int, inside: int, length: int) -> None:
        sector = self.header.sector_size
        first, count = inside // sector, -(-length // sector)
        self._set_bits(block, self._bits_of(block) | ((1 << count) - 1) << first)

    def _set_entry(self, block: int, entry: int) -> None:
        self._entries[block] = entry
        self._pending.entries[block] = entry
        self._is_dirty = True

    def _set_bits(self, block: int, bits: int) -> None:
        if self._bits.get(block) != bits:
            self._bits[block] = self._pending.bits[block] = bits
        self._is_dirty = True

    def _bits_of(self, block: int) -> int:
        if block not in self._bits:
            page = bytearray(self._all.bit_length() // 8)
            self._medium.read_into(self._place(block), memoryview(page))
            self._bits[block] = int.from_bytes(page, "little")
        return self._bits[block]

    # --- runs ---

    def _runs(self, start: int, end: int) -> Iterator[Run]:
        first = start // BLOCK
        states = self._entries[first : -(-end // BLOCK)] & STATE_MASK
        # Where another state begins; blocks with bits of their own begin anew each.
        turns = np.flatnonzero(np.diff(states.astype(np.int64), prepend=-1) | (states == State.OWN)).tolist()
        for turn, after in pairwise([*turns, len(states)]):
            part = Range.between(max(start, (first + turn) * BLOCK), min(end, (first + after) * BLOCK))
            if states[turn] == State.OWN:
                yield from self._own_runs(first + turn, part.start % BLOCK, part)
            else:
                yield Run(*part, Kind.ZERO if states[turn] == State.ZERO else Kind.HOLE, 0, 0)

    def _own_runs(self, block: int, inside: int, part: Range) -> Iterator[Run]:
        sector, bits, content = self.header.sector_size, self._bits_of(block), self._place(block) + PAGE
        first, last = inside // sector, -(-(inside + part.length) // sector)
        count = last - first
        shown = bits >> first & (1 << count) - 1
        if shown in {0, (1 << count) - 1}:
            yield Run(*part, Kind.DATA, 0, content + inside) if shown else Run(*part, Kind.HOLE, 0, 0)
            return
        packed = np.frombuffer(shown.to_bytes(-(-count // 8), "little"), np.uint8)
        flags = np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)
        held = Ranges.where(flags)
        for piece, is_held in held.split(Range(0, count)):
            begin = max(part.start, block * BLOCK + (first + piece.start) * sector)
            finish = min(part.end, block * BLOCK + (first + piece.end) * sector)
            offset = content + begin - block * BLOCK if is_held else 0
            yield Run(begin, finish - begin, Kind.DATA if is_held else Kind.HOLE, 0, offset)

    # --- durability ---

    def _flush_if_much(self) -> None:
        if len(self._pending.bits) > _MOST_KEPT:
            self.flush()

    def _save(self, saved: _Pending) -> None:
        self._medium.flush()
        for block, bits in saved.bits.items():
            self._medium.write_at(self._place(block), bits.to_bytes(self._all.bit_length() // 8, "little"))
        if saved.bits:
            self._medium.flush()
        for part in Ranges.of(Range(block, 1) for block in saved.entries):
            entries = [saved.entries[block] for block in range(part.start, part.end)]
            self._medium.write_at(TABLE_OFFSET + part.start * ENTRY_SIZE, np.array(entries, dtype="<u8").tobytes())
        if saved.entries:
            self._medium.flush()

    def _let_go(self, saved: _Pending) -> None:
        """Give back the room of blocks that are zeros by now, and bits that can be read again."""
        for block, entry in saved.entries.items():
            with self._lock:
                if entry & STATE_MASK == State.ZERO and self._entries[block] == entry and self._place(block):
                    self._medium.zero(Range(self._place(block) + PAGE, BLOCK))
        with self._lock:
            for block in [block for block in self._bits if block not in self._pending.bits]:
                if len(self._bits) <= _MOST_KEPT:
                    break
                del self._bits[block]
