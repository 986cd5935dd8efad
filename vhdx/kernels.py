"""The loops over tables: BAT and sector bitmaps to runs, overlay, changed. The only home of numba.

A kernel is a plain loop over arrays of int64. It allocates nothing, raises nothing, and stops when its output is full.
The same function runs interpreted, over lists, while the work is too small to repay numba's start.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64] | npt.NDArray[np.uint8]

# Kinds of runs, as `runs.Kind` names them for people.
DATA, ZERO, TRIM, HOLE, LOST = 0, 1, 2, 3, 4

STRIP = 64

WORTH_COMPILING = 1 << 20
"""Steps, each about what a table entry costs, from which on compiled code repays its start of half a second."""
STEPS_OF_WORD, STEPS_OF_RUN = 8, 8
"""What a word of a sector bitmap, and a run of an overlay, cost in such steps."""


def scan_blocks(
    entries: Any,
    words: Any,
    forbidden: Any,
    out_start: Any,
    out_length: Any,
    out_kind: Any,
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
    sectors_per_chunk = chunk_ratio * (block_size // sector_size)
    while position < end:
        block = position // block_size
        block_start = block * block_size
        upto = min(block_start + block_size, end)
        slot = block + block // chunk_ratio - first_slot
        entry = entries[slot]
        state = entry & 7
        offset = 0
        kind = LOST
        stride = 0
        room = 1 << 62
        if entry & 0xFFFF8 == 0:
            if state == 0:
                kind = HOLE
            elif state == 2:
                kind = ZERO
            elif state == 1 or state == 3:
                kind = TRIM
            elif state >= 6:
                mib = (entry >> 20) & 0xFFFFFFFFFFF
                if 1 <= mib <= file_size >> 20:
                    place = mib << 20
                    kind = DATA
                    room = file_size - place
                    for index in range(0, len(forbidden), 2):
                        if place < forbidden[index + 1]:
                            if place + block_size > forbidden[index]:
                                kind = LOST
                            room = min(room, max(0, forbidden[index] - place))
                            break
                    offset = place + position - block_start
                    if kind == DATA:
                        stride = block_size
        if state == 7 and is_child and kind == DATA:
            chunk = block // chunk_ratio
            if chunk != bitmap_chunk:
                return count, position
            chunk_start = chunk * sectors_per_chunk * sector_size
            bit = (position - chunk_start) // sector_size
            last = (upto - chunk_start + sector_size - 1) // sector_size
            if bit >= known_bits:
                kind = LOST
            else:
                last = min(last, known_bits)
                value = (words[(bit >> 6) - first_word] >> (bit & 63)) & 1
                whole = -value
                bit += 1
                while bit < last:
                    word = words[(bit >> 6) - first_word]
                    if word == whole and bit & 63 == 0:
                        bit += 64
                    elif (word >> (bit & 63)) & 1 == value:
                        bit += 1
                    else:
                        break
                upto = min(upto, chunk_start + min(bit, last) * sector_size)
                if value == 0:
                    kind = HOLE
        elif upto == block_start + block_size:
            # Neighbours mostly go on as this block does: the same state, at the next place. A strip of them is
            # compared without a branch, over a slice of its own, which is what lets the compiler use vectors.
            slots = min(chunk_ratio - block % chunk_ratio, (end - block_start) // block_size)
            if kind == DATA:
                slots = min(slots, room // block_size)
            expected = entry + stride
            index = slot + 1
            last_slot = slot + slots
            while index + STRIP <= last_slot:
                strip = entries[index : index + STRIP]
                difference = 0
                for ahead in range(STRIP):
                    difference |= strip[ahead] ^ (expected + ahead * stride)
                if difference != 0:
                    break
                index += STRIP
                expected += STRIP * stride
            while index < last_slot and entries[index] == expected:
                index += 1
                expected += stride
            if index > slot + 1:
                upto = block_start + (index - slot) * block_size
        if kind == DATA:
            known = file_size - offset
            if known <= 0:
                kind = LOST
            elif known < upto - position:
                if known < sector_size:
                    kind = LOST
                else:
                    upto = position + known // sector_size * sector_size
        if kind != DATA:
            offset = 0
        if (
            count > 0
            and out_kind[count - 1] == kind
            and (kind != DATA or out_offset[count - 1] + out_length[count - 1] == offset)
        ):
            out_length[count - 1] += upto - position
        elif count == len(out_start):
            return count, position
        else:
            out_start[count] = position
            out_length[count] = upto - position
            out_kind[count] = kind
            out_offset[count] = offset
            count += 1
        position = upto
    return count, position


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
    lower_left = lower_length[0] if len(lower_length) else 0
    for upper in range(len(upper_length)):
        left = upper_length[upper]
        done = 0
        while left > 0:
            while lower_left == 0:
                lower += 1
                lower_left = lower_length[lower]
            part = min(left, lower_left)
            if upper_kind[upper] == HOLE:
                kind = lower_kind[lower]
                layer = lower_layer[lower]
                offset = lower_offset[lower] + lower_length[lower] - lower_left
            else:
                kind = upper_kind[upper]
                layer = upper_layer[upper]
                offset = upper_offset[upper] + done
            if kind != DATA:
                offset = 0
            if (
                count > 0
                and out_kind[count - 1] == kind
                and out_layer[count - 1] == layer
                and (kind != DATA or out_offset[count - 1] + out_length[count - 1] == offset)
            ):
                out_length[count - 1] += part
            else:
                out_start[count] = position
                out_length[count] = part
                out_kind[count] = kind
                out_layer[count] = layer
                out_offset[count] = offset
                count += 1
            left -= part
            done += part
            lower_left -= part
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
    old_left = old_length[0] if len(old_length) else 0
    for new in range(len(new_length)):
        left = new_length[new]
        done = 0
        while left > 0:
            while old_left == 0:
                old += 1
                old_left = old_length[old]
            part = min(left, old_left)
            kind = new_kind[new]
            layer = new_layer[new]
            offset = new_offset[new] + done
            before = old_kind[old]
            if kind == DATA or kind == LOST:
                same = kind == before and layer == old_layer[old]
                if kind == DATA and offset != old_offset[old] + old_length[old] - old_left:
                    same = False
            else:
                same = before == ZERO or before == TRIM or before == HOLE
                if kind == HOLE:
                    kind = ZERO
            if same:
                kind = HOLE
                layer = 0
            if kind != DATA:
                offset = 0
            if (
                count > 0
                and out_kind[count - 1] == kind
                and out_layer[count - 1] == layer
                and (kind != DATA or out_offset[count - 1] + out_length[count - 1] == offset)
            ):
                out_length[count - 1] += part
            else:
                out_start[count] = position
                out_length[count] = part
                out_kind[count] = kind
                out_layer[count] = layer
                out_offset[count] = offset
                count += 1
            left -= part
            done += part
            old_left -= part
            position += part
    return count


def own_places(entries: Any, owners: Any, first_slot: int, chunk_ratio: int, block_mib: int, is_child: int) -> int:
    """Mark in `owners`, one byte for each MiB of the file, what the entries from `first_slot` on claim.

    A place becomes 1 when it is claimed, 2 when it is claimed again. Returns how many became 2. Claims past the end
    of `owners` are none.
    """
    contested = 0
    for index in range(len(entries)):
        entry = entries[index]
        if entry & 7 >= 6:
            size = block_mib
            if (first_slot + index + 1) % (chunk_ratio + 1) == 0:
                size = is_child
            mib = (entry >> 20) & 0xFFFFFFFFFFF
            for place in range(mib, min(mib + size, len(owners))):
                if owners[place] == 1:
                    contested += 1
                    owners[place] = 2
                elif owners[place] == 0:
                    owners[place] = 1
    return contested


def contested_slots(
    entries: Any, owners: Any, out_slot: Any, first_slot: int, chunk_ratio: int, block_mib: int, is_child: int
) -> int:
    """Slots whose entries claim a place that `own_places` has marked 2; returns their count."""
    count = 0
    for index in range(len(entries)):
        entry = entries[index]
        if entry & 7 >= 6:
            size = block_mib
            if (first_slot + index + 1) % (chunk_ratio + 1) == 0:
                size = is_child
            mib = (entry >> 20) & 0xFFFFFFFFFFF
            for place in range(mib, min(mib + size, len(owners))):
                if owners[place] == 2:
                    out_slot[count] = first_slot + index
                    count += 1
                    break
    return count


def call(
    kernel: Callable[..., Any], work: int, inputs: Sequence[Table], outputs: Sequence[Table], *numbers: int
) -> Any:
    """Run a kernel: compiled when `work` steps repay that, or when numba is there anyway; else interpreted."""
    if work >= WORTH_COMPILING or "numba" in sys.modules:
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
    from numba import njit, types  # 0.4 s that most calls never need

    # Inputs may be read-only: a memory map, or a table that someone froze.
    given = types.Array(types.int64, 1, "C", readonly=True)
    column, number = types.int64[::1], types.int64
    pair = types.Tuple((number, number))  # type: ignore[no-untyped-call]
    signature = {
        scan_blocks: pair(*[given] * 3, *[column] * 4, *[number] * 11),
        overlay: number(*[given] * 8, *[column] * 5, number),
        changed: number(*[given] * 8, *[column] * 5, number),
        own_places: number(given, types.uint8[::1], *[number] * 4),
        contested_slots: number(given, types.Array(types.uint8, 1, "C", readonly=True), column, *[number] * 4),
    }[kernel]
    try:
        made: Callable[..., Any] = njit(signature, cache=True, nogil=True)(kernel)
    except (RuntimeError, OSError):  # no place for a cache: a read-only installation without a home
        made = njit(signature, nogil=True)(kernel)
    return made
