"""The loops over tables: BAT and sector bitmaps to runs, overlay, changed. The only home of numba.

A kernel is a plain loop over arrays of int64. It allocates nothing, raises nothing, and stops when its output is full.
The same function runs interpreted, over lists, while the work is too small to repay numba's start. What several
kernels do, or what would make one too long to read, is a part: a function that the compiler takes into the kernel.
"""

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64] | npt.NDArray[np.uint8]

# Kinds of runs, as `runs.Kind` names them for people.
DATA, ZERO, TRIM, HOLE, LOST = 0, 1, 2, 3, 4

STRIP = 64
"""BAT entries that are compared together."""
ENDLESS = 1 << 62

WORTH_COMPILING = 1 << 21
"""Steps, each about what a table entry costs interpreted (0.1 microseconds), that repay numba's start."""
STEPS_OF_RUN = 8
"""What a run of an overlay costs in such steps."""
_BITS = 64


def scan_blocks(
    entries: Any,
    words: Any,
    forbidden: Any,
    out_start: Any,
    out_length: Any,
    out_kind: Any,
    out_layer: Any,
    out_offset: Any,
    first_slot: int,
    first_word: int,
    known_bits: int,
    bitmap_chunk: int,
    start: int,
    end: int,
    block_size: int,
    sector_size: int,
    chunk_ratio: int,
    file_size: int,
    is_child: int,
    layer: int,
) -> tuple[int, int]:
    """Runs of the disk from byte `start` to `end`, from BAT entries and the sector bitmap of one chunk.

    `entries` begin with BAT slot `first_slot`. `words` are 64 bits each of the bitmap of chunk `bitmap_chunk`, from
    word `first_word` on; its bits from `known_bits` on are not known. `forbidden` are pairs of file offsets, start
    and end, where no block may stand, sorted.

    Returns how many runs were put out and where the scan stopped: at `end`, where the output was full, or at a
    PARTIALLY_PRESENT block of another chunk, whose bitmap the caller must bring.
    """
    count = 0
    position = start
    while position < end:
        block = position // block_size
        block_start = block * block_size
        upto = min(block_start + block_size, end)
        slot = block + block // chunk_ratio - first_slot
        entry = entries[slot]
        kind = kind_of_entry(entry)
        offset = 0
        room = ENDLESS
        if kind == DATA:
            mib = (entry >> 20) & 0xFFFFFFFFFFF
            room = room_at(mib, block_size, file_size, forbidden)
            if room < 0:
                kind = LOST
            else:
                offset = (mib << 20) + position - block_start
        if kind == DATA and is_child and entry & 7 == 7:
            if block // chunk_ratio != bitmap_chunk:
                return count, position
            chunk_start = bitmap_chunk * chunk_ratio * block_size
            bit = (position - chunk_start) // sector_size
            if bit >= known_bits:
                kind = LOST
            else:
                if (words[(bit >> 6) - first_word] >> (bit & 63)) & 1 == 0:
                    kind = HOLE
                last = min(known_bits, (upto - chunk_start + sector_size - 1) // sector_size)
                upto = min(upto, chunk_start + end_of_equal_bits(words, first_word, bit, last) * sector_size)
        elif upto == block_start + block_size:
            stride = block_size if kind == DATA else 0
            blocks = min(chunk_ratio - block % chunk_ratio, (end - block_start) // block_size, room // block_size)
            upto += (end_of_sequence(entries, slot, slot + blocks, stride) - slot - 1) * block_size
        if kind == DATA and file_size - offset < upto - position:
            # The file ends inside: what whole sectors it has are data, the rest is lost.
            upto = max(position, position + (file_size - offset) // sector_size * sector_size)
            if upto == position:
                kind = LOST
                upto = min(block_start + block_size, end)
        length = upto - position
        after = put(
            count, position, length, kind, layer, offset, out_start, out_length, out_kind, out_layer, out_offset
        )
        if after < 0:
            break
        count = after
        position = upto
    return count, position


def kind_of_entry(entry: int) -> int:
    """The kind of a payload block by its BAT entry alone: DATA, and LOST where the entry is not valid."""
    state = entry & 7
    kind = LOST
    if entry & 0xFFFF8 == 0:
        if state == 0:
            kind = HOLE
        elif state == 2:
            kind = ZERO
        elif state == 1 or state == 3:
            kind = TRIM
        elif state >= 6:
            kind = DATA
    return kind


def room_at(mib: int, block_size: int, file_size: int, forbidden: Any) -> int:
    """Bytes from a place in the file to whatever comes next, structure or end; -1 where no block can stand there."""
    if mib < 1 or mib > file_size >> 20:
        return -1
    place = mib << 20
    room = file_size - place
    for index in range(0, len(forbidden), 2):
        if place < forbidden[index + 1]:
            if place + block_size > forbidden[index]:
                return -1
            room = min(room, forbidden[index] - place)
            break
    return room


def end_of_sequence(entries: Any, slot: int, end: int, stride: int) -> int:
    """The slot after the last one that goes on as the entry at `slot` does: the same state, each at the next place.

    Most entries do, at the cost of one comparison. A strip of them is compared without a branch, over a slice of its
    own, which is what lets the compiler use vectors.
    """
    expected = entries[slot] + stride
    slot += 1
    while slot + STRIP <= end:
        strip = entries[slot : slot + STRIP]
        difference = 0
        for ahead in range(STRIP):
            difference |= strip[ahead] ^ (expected + ahead * stride)
        if difference != 0:
            break
        slot += STRIP
        expected += STRIP * stride
    while slot < end and entries[slot] == expected:
        slot += 1
        expected += stride
    return slot


def end_of_equal_bits(words: Any, first_word: int, bit: int, end: int) -> int:
    """The bit after the last one that equals the one at `bit`."""
    value = (words[(bit >> 6) - first_word] >> (bit & 63)) & 1
    bit += 1
    while bit < end:
        word = words[(bit >> 6) - first_word]
        if word == -value and bit & 63 == 0:
            bit += 64
        elif (word >> (bit & 63)) & 1 == value:
            bit += 1
        else:
            break
    return min(bit, end)


def put(
    count: int,
    start: int,
    length: int,
    kind: int,
    layer: int,
    offset: int,
    out_start: Any,
    out_length: Any,
    out_kind: Any,
    out_layer: Any,
    out_offset: Any,
) -> int:
    """Put a run behind `count` others, or onto the last one where it goes on from it; the new count, -1 when full."""
    last = count - 1
    if kind != DATA:
        offset = 0
    same = count > 0 and out_kind[last] == kind and out_layer[last] == layer
    if same and (kind != DATA or out_offset[last] + out_length[last] == offset):
        out_length[last] += length
        return count
    if count == len(out_start):
        return -1
    out_start[count] = start
    out_length[count] = length
    out_kind[count] = kind
    out_layer[count] = layer
    out_offset[count] = offset
    return count + 1


def overlay(
    upper_length: Any,
    upper_kind: Any,
    upper_layer: Any,
    upper_offset: Any,
    lower_length: Any,
    lower_kind: Any,
    lower_layer: Any,
    lower_offset: Any,
    out_start: Any,
    out_length: Any,
    out_kind: Any,
    out_layer: Any,
    out_offset: Any,
    start: int,
) -> int:
    """Runs of two tables over one range from byte `start`, the upper's holes showing the lower; returns their count.

    The output never needs more than the runs of both tables together.
    """
    count = 0
    position = start
    lower = 0
    lower_done = 0
    for upper in range(len(upper_length)):
        done = 0
        while done < upper_length[upper]:
            while lower_done == lower_length[lower]:
                lower += 1
                lower_done = 0
            part = min(upper_length[upper] - done, lower_length[lower] - lower_done)
            if upper_kind[upper] == HOLE:
                kind = lower_kind[lower]
                layer = lower_layer[lower]
                offset = lower_offset[lower] + lower_done
            else:
                kind = upper_kind[upper]
                layer = upper_layer[upper]
                offset = upper_offset[upper] + done
            count = put(
                count, position, part, kind, layer, offset, out_start, out_length, out_kind, out_layer, out_offset
            )
            done += part
            lower_done += part
            position += part
    return count


def changed(
    new_length: Any,
    new_kind: Any,
    new_layer: Any,
    new_offset: Any,
    old_length: Any,
    old_kind: Any,
    old_layer: Any,
    old_offset: Any,
    out_start: Any,
    out_length: Any,
    out_kind: Any,
    out_layer: Any,
    out_offset: Any,
    start: int,
) -> int:
    """Runs of the new table, with HOLE for what stands at the very place where the old one has it; returns their count.

    Zeros of whatever kind are the same zeros. A hole of the new table where the old one has anything else comes out
    as ZERO, so that laying the result over the old table gives the new disk.
    """
    count = 0
    position = start
    old = 0
    old_done = 0
    for new in range(len(new_length)):
        done = 0
        while done < new_length[new]:
            while old_done == old_length[old]:
                old += 1
                old_done = 0
            part = min(new_length[new] - done, old_length[old] - old_done)
            kind = new_kind[new]
            layer = new_layer[new]
            offset = new_offset[new] + done
            if is_same(kind, layer, offset, old_kind[old], old_layer[old], old_offset[old] + old_done):
                kind = HOLE
                layer = 0
            elif kind == HOLE:
                kind = ZERO
            count = put(
                count, position, part, kind, layer, offset, out_start, out_length, out_kind, out_layer, out_offset
            )
            done += part
            old_done += part
            position += part
    return count


def is_same(kind: int, layer: int, offset: int, old_kind: int, old_layer: int, old_offset: int) -> bool:
    """Whether two runs show the same bytes: zeros both, or the same place of the same layer."""
    if kind == DATA:
        return old_kind == DATA and layer == old_layer and offset == old_offset
    if kind == LOST:
        return old_kind == LOST and layer == old_layer
    return old_kind == ZERO or old_kind == TRIM or old_kind == HOLE


def own_places(
    entries: Any,
    forbidden: Any,
    owners: Any,
    first_slot: int,
    chunk_ratio: int,
    block_mib: int,
    file_size: int,
    is_child: int,
) -> int:
    """Mark in `owners`, one byte for each MiB of the file, what the entries from `first_slot` on claim.

    A place becomes 1 when it is claimed, 2 when it is claimed again. Returns how many became 2. Claims past the end
    of `owners` are none.
    """
    contested = 0
    for index in range(len(entries)):
        first = (entries[index] >> 20) & 0xFFFFFFFFFFF
        size = block_mib
        if (first_slot + index + 1) % (chunk_ratio + 1) == 0:
            size = is_child
        size = claimed_mib(entries[index], size, file_size, forbidden)
        for place in range(first, min(first + size, len(owners))):
            if owners[place] == 1:
                contested += 1
                owners[place] = 2
            elif owners[place] == 0:
                owners[place] = 1
    return contested


def contested_slots(
    entries: Any,
    forbidden: Any,
    owners: Any,
    out_slot: Any,
    first_slot: int,
    chunk_ratio: int,
    block_mib: int,
    file_size: int,
    is_child: int,
) -> int:
    """Slots whose entries claim a place that `own_places` has marked 2; returns their count."""
    count = 0
    for index in range(len(entries)):
        first = (entries[index] >> 20) & 0xFFFFFFFFFFF
        size = block_mib
        if (first_slot + index + 1) % (chunk_ratio + 1) == 0:
            size = is_child
        size = claimed_mib(entries[index], size, file_size, forbidden)
        for place in range(first, min(first + size, len(owners))):
            if owners[place] == 2:
                out_slot[count] = first_slot + index
                count += 1
                break
    return count


def claimed_mib(entry: int, size_mib: int, file_size: int, forbidden: Any) -> int:
    """MiB of the file that an entry claims for what is `size_mib` large; 0 when it is not one to be believed."""
    if entry & 7 < 6 or entry & 0xFFFF8 != 0:
        return 0
    if room_at((entry >> 20) & 0xFFFFFFFFFFF, size_mib << 20, file_size, forbidden) < 0:
        return 0
    return size_mib


PARTS = (kind_of_entry, room_at, end_of_sequence, end_of_equal_bits, put, is_same, claimed_mib)


def steps_of_words(words: npt.NDArray[np.int64]) -> int:
    """What words of a sector bitmap cost: one step each, but one for each bit where bits differ."""
    mixed = int(np.count_nonzero((words != 0) & (words != -1)))
    return len(words) + _BITS * mixed


class _Asked:
    """What was asked for since the process began: many small tables repay numba's start as one large one does."""

    steps = 0


def repays_compiling(work: int) -> bool:
    """Whether `work` more steps, with all that was asked for before, repay numba's start, or it has started already."""
    _Asked.steps += work
    return _Asked.steps >= WORTH_COMPILING or "numba" in sys.modules


def call(
    kernel: Callable[..., Any], work: int, inputs: Sequence[Table], outputs: Sequence[Table], *numbers: int
) -> Any:
    """Run a kernel: compiled when `work` steps repay that, or when numba is there anyway; else interpreted."""
    if repays_compiling(work):
        return compiled(kernel)(*inputs, *outputs, *numbers)
    return interpreted(kernel, inputs, outputs, *numbers)


def interpreted(kernel: Callable[..., Any], inputs: Sequence[Table], outputs: Sequence[Table], *numbers: int) -> Any:
    """Run a kernel as it stands, over lists, which Python walks several times as fast as arrays."""
    results: list[list[int]] = [column.tolist() for column in outputs]
    answer = kernel(*(column.tolist() for column in inputs), *results, *numbers)
    for column, result in zip(outputs, results, strict=True):
        column[:] = result
    return answer


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel as machine code: from numba's cache, or compiled once and cached where a cache can be written."""
    from numba import njit  # 0.4 s that most calls never need

    parts: dict[str, Callable[..., Any]] = {}
    for part in PARTS:  # in this order: a part may use those before it
        parts[part.__name__] = njit(_linked(part, parts))
    return _made(_linked(kernel, parts), _signature(kernel))


def _made(function: Callable[..., Any], signature: Any) -> Callable[..., Any]:
    """The function compiled for a signature, cached where that can be."""
    from numba import njit

    try:
        made: Callable[..., Any] = njit(signature, cache=True, nogil=True)(function)
    except (RuntimeError, OSError):  # no place for a cache: a read-only installation without a home
        made = njit(signature, nogil=True)(function)
    return made


def _linked(function: Callable[..., Any], parts: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The same function, calling compiled parts where it calls parts."""
    return FunctionType(function.__code__, globals() | parts, function.__name__)


def _signature(kernel: Callable[..., Any]) -> Any:
    """The types of a kernel's arguments and answer."""
    from numba import types

    # Inputs may be read-only: a memory map, or a table that someone froze.
    given = types.Array(types.int64, 1, "C", readonly=True)
    owners = types.Array(types.uint8, 1, "C", readonly=True)
    column, number = types.int64[::1], types.int64
    pair = types.Tuple((number, number))  # type: ignore[no-untyped-call]
    return {
        scan_blocks: pair(*[given] * 3, *[column] * 5, *[number] * 12),
        overlay: number(*[given] * 8, *[column] * 5, number),
        changed: number(*[given] * 8, *[column] * 5, number),
        own_places: number(given, given, types.uint8[::1], *[number] * 5),
        contested_slots: number(given, given, owners, column, *[number] * 5),
    }[kernel]


@cache
def compiled_reader() -> Callable[..., int] | None:
    """Fills a buffer from many runs without coming back to Python for each; None where the system has no `pread`.

    Takes columns start, end, kind, layer and file offset of runs, descriptors by layer (one that is no file makes
    `pread` fail), a buffer of bytes, the first and the last run wanted, the range of the disk that the buffer
    stands for, and whether holes read as zeros. Returns the first run that it could not read whole, for the caller to
    read and to say why; the last one when there is none. It can only run compiled, for it calls the system itself.
    """
    if not hasattr(os, "pread"):
        return None
    from numba import types

    pread = types.ExternalFunction("pread", types.intp(types.int32, types.uintp, types.uintp, types.int64))

    def read_runs(
        start: Any,
        end: Any,
        kind: Any,
        layer: Any,
        file_offset: Any,
        descriptors: Any,
        buffer: Any,
        first: int,
        last: int,
        at: int,
        upto: int,
        holes_are_zeros: int,
    ) -> int:
        address = buffer.ctypes.data
        for run in range(first, last):
            lower = max(start[run], at)
            upper = min(end[run], upto)
            if kind[run] == DATA:
                place = file_offset[run] + lower - start[run]
                length = upper - lower
                if pread(descriptors[layer[run]], address + (lower - at), length, place) != length:
                    return run
            elif kind[run] == LOST or (kind[run] == HOLE and holes_are_zeros == 0):
                return run
            else:
                buffer[lower - at : upper - at] = 0
        return last

    given, number = types.Array(types.int64, 1, "C", readonly=True), types.int64
    return _made(read_runs, number(*[given] * 6, types.uint8[::1], *[number] * 5))
