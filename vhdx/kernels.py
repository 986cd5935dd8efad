"""The loops over block tables: BAT entries to runs, and who claims which place of a file.

A kernel is a plain loop over arrays of int64: its inputs, then a tuple of the columns that it fills, then numbers. It
allocates nothing, raises nothing, and stops when its output is full.
The same function runs interpreted, over views of arrays, while the work is too small to repay the compiler. What
several kernels do, or what would make one too long to read, is a part: a function that is compiled into the kernel.
"""

from typing import Any

# Kinds of runs, as `runs.Kind` names them for people.
DATA, ZERO, TRIM, HOLE, LOST = 0, 1, 2, 3, 4

STRIP = 64
"""BAT entries that are compared together."""
# Beyond every file and disk, and doubled it is still an int64.
ENDLESS = 1 << 62
Sizes = tuple[int, int, int, int]
"""Blocks of a chunk, MiB of a block, bytes of the file, and 1 for a differencing file, else 0."""


def scan_blocks(
    entries: Any, forbidden: Any, out: Any, first_slot: int, start: int, end: int, sizes: Sizes
) -> tuple[int, int]:
    """Runs of the disk from byte `start` to `end`, as BAT entries have it; PARTIALLY_PRESENT blocks as if whole.

    `entries` begin with BAT slot `first_slot`. `forbidden` are pairs of file offsets, start and end, where no block
    may be, sorted. The columns of `out` are those of a RunTable, but that the layer is 1 where a sector bitmap is to
    decide. A block that begins inside the file is DATA, wherever the file ends.

    Returns how many runs were put out and where the scan stopped: at `end`, or where the output was full.
    """
    chunk_ratio, block_mib, file_size, is_child = sizes
    block_size = block_mib << 20
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
        by_bitmap = 0
        room = ENDLESS
        if kind == DATA:
            # The mask removes the sign: an entry with its highest bit set is a negative int64, and a shift keeps
            # that.
            mib = (entry >> 20) & 0xFFFFFFFFFFF
            room = room_at(mib, block_size, file_size, forbidden)
            if room < 0:
                kind = LOST
            else:
                offset = (mib << 20) + position - block_start
                by_bitmap = is_child & entry & 1
        if upto == block_start + block_size:
            stride = block_size if kind == DATA else 0
            # A sequence ends with the chunk, for the next slot is the sector bitmap's, and where the file or the next
            # structure leaves no room for one more whole block. So no entry inside it needs a check of its own.
            blocks = min(chunk_ratio - block % chunk_ratio, (end - block_start) // block_size, room // block_size)
            upto += (end_of_sequence(entries, slot, slot + blocks, stride) - slot - 1) * block_size
        after = put(count, position, upto - position, kind, by_bitmap, offset, out)
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
    """Bytes from a place in the file to whatever comes next, structure or end; -1 where no block can be there."""
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
    """The slot after the last one that continues what `slot` begins: the same state, each at the next place.

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


def put(count: int, start: int, length: int, kind: int, by_bitmap: int, offset: int, out: Any) -> int:
    """Put a run behind `count` others, or onto the last one where it continues that; the new count, -1 when full."""
    out_start, out_length, out_kind, out_by_bitmap, out_offset = out
    last = count - 1
    if kind != DATA:
        offset = 0
    same = count > 0 and out_kind[last] == kind and out_by_bitmap[last] == by_bitmap
    if same and (kind != DATA or out_offset[last] + out_length[last] == offset):
        out_length[last] += length
        return count
    if count == len(out_start):
        return -1
    out_start[count] = start
    out_length[count] = length
    out_kind[count] = kind
    out_by_bitmap[count] = by_bitmap
    out_offset[count] = offset
    return count + 1


def own_places(entries: Any, in_slots: Any, forbidden: Any, out: Any, sizes: Sizes) -> int:
    """Mark in a column of one byte for each MiB of the file what the entries claim, which are in slots `in_slots`.

    A place becomes 1 when it is claimed, 2 when it is claimed again. Returns how many became 2. Claims past the end
    of the column are none.
    """
    chunk_ratio, block_mib, file_size, is_child = sizes
    owners = out[0]
    contested = 0
    for index in range(len(entries)):
        first = (entries[index] >> 20) & 0xFFFFFFFFFFF
        size = is_child if (in_slots[index] + 1) % (chunk_ratio + 1) == 0 else block_mib
        size = claimed_mib(entries[index], size, file_size, forbidden)
        for place in range(first, min(first + size, len(owners))):
            if owners[place] == 1:
                contested += 1
                owners[place] = 2
            elif owners[place] == 0:
                owners[place] = 1
    return contested


def contested_slots(entries: Any, in_slots: Any, forbidden: Any, owners: Any, out: Any, sizes: Sizes) -> int:
    """Slots whose entries claim a place that `own_places` has marked 2; returns their count."""
    chunk_ratio, block_mib, file_size, is_child = sizes
    count = 0
    for index in range(len(entries)):
        size = is_child if (in_slots[index] + 1) % (chunk_ratio + 1) == 0 else block_mib
        size = claimed_mib(entries[index], size, file_size, forbidden)
        if is_contested(entries[index], size, owners):
            out[0][count] = in_slots[index]
            count += 1
    return count


def damaged_slots(
    entries: Any, in_slots: Any, forbidden: Any, owners: Any, out: Any, sizes: Sizes, disk_size: int
) -> int:
    """Slots of payload blocks that cannot be read whole, whatever their bitmaps say; returns their count."""
    chunk_ratio, block_mib, file_size, _ = sizes
    out_slot = out[0]
    count = 0
    for index in range(len(entries)):
        slot = in_slots[index]
        entry = entries[index]
        kind = kind_of_entry(entry)
        if (kind != LOST and kind != DATA) or (slot + 1) % (chunk_ratio + 1) == 0:
            continue
        if kind == DATA:
            size = claimed_mib(entry, block_mib, file_size, forbidden)
            start = (slot - slot // (chunk_ratio + 1)) * (block_mib << 20)
            place = ((entry >> 20) & 0xFFFFFFFFFFF) << 20
            whole = place + min(block_mib << 20, disk_size - start) <= file_size
            if size > 0 and whole and not is_contested(entry, size, owners):
                continue
        out_slot[count] = slot
        count += 1
    return count


def is_contested(entry: int, size_mib: int, owners: Any) -> bool:
    """Whether a place that an entry claims, `size_mib` long, is marked 2."""
    first = (entry >> 20) & 0xFFFFFFFFFFF
    for place in range(first, min(first + size_mib, len(owners))):
        if owners[place] == 2:
            return True
    return False


def claimed_mib(entry: int, size_mib: int, file_size: int, forbidden: Any) -> int:
    """MiB of the file that an entry claims for what is `size_mib` large; 0 when it is not one to be believed."""
    if entry & 7 < 6 or entry & 0xFFFF8 != 0:
        return 0
    if room_at((entry >> 20) & 0xFFFFFFFFFFF, size_mib << 20, file_size, forbidden) < 0:
        return 0
    return size_mib


PARTS = (kind_of_entry, room_at, end_of_sequence, put, is_contested, claimed_mib)
"""In this order: a part may use those before it."""
