"""The kernels that read tables, against loops that nobody could get wrong; entries are hostile."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vhdx import compiling, kernels
from vhdx.claims import Claims

pytestmark = pytest.mark.property

MIB = 1 << 20
DATA, ZERO, TRIM, HOLE, LOST = range(5)


def compiled(kernel, inputs, outputs, *numbers):
    return compiling.compiled(kernel)(*inputs, outputs, *numbers)


ways = pytest.mark.parametrize("run", [compiling.interpreted, compiled])


@st.composite
def scans(draw):
    """All that scan_blocks takes, as a dict: few sectors a block, so that a loop over sectors is quick."""
    block_size = draw(st.sampled_from((MIB, 2 * MIB, 4 * MIB)))
    sector = block_size // draw(st.sampled_from((4, 8, 16)))
    ratio = draw(st.sampled_from((8, 16, 80, 130)))
    blocks = draw(st.integers(1, 40) | st.integers(60, 280))
    size = blocks * block_size - draw(st.integers(0, block_size // sector - 1)) * sector
    is_child = draw(st.integers(0, 1))
    file_size = draw(st.integers(1, 400)) * MIB + draw(st.sampled_from((0, 0, 512, 300_000)))
    slots = blocks - 1 + (blocks - 1) // ratio + 2
    entries = _entries(draw, slots, block_size)
    start = draw(st.integers(0, size // sector - 1)) * sector
    end = draw(st.integers(start // sector + 1, -(-size // sector))) * sector
    edges = sorted(draw(st.lists(st.integers(1, 400), max_size=6, unique=True)))
    forbidden = [edge * MIB for edge in edges[: len(edges) // 2 * 2]]
    return {
        "entries": entries,
        "forbidden": forbidden,
        "start": start,
        "end": end,
        "block_size": block_size,
        "sector": sector,
        "ratio": ratio,
        "file_size": file_size,
        "is_child": is_child,
    }


def _entries(draw, slots, block_size):
    """Entries that go on for a while, as those of files do, and among them any 64 bits at all."""
    values = []
    while len(values) < slots:
        count = draw(st.integers(1, 150))
        state = draw(st.sampled_from((0, 1, 2, 3, 4, 5, 6, 6, 7, 7)))
        mib = draw(st.integers(0, 60) | st.sampled_from(((1 << 44) - 1, 1 << 43, 1 << 30)))
        step = draw(st.sampled_from((block_size // MIB, block_size // MIB, 0, 1)))
        values += [(state | mib + n * step << 20) & (1 << 64) - 1 for n in range(count)]
    for place in draw(st.lists(st.integers(0, slots - 1), max_size=3)):
        values[place] = draw(st.integers(0, (1 << 64) - 1))
    return np.array(values[:slots], dtype=np.uint64).view(np.int64)


def naive_scan(given_):
    """Sector by sector; gives merged runs."""
    block_size, sector, ratio = given_["block_size"], given_["sector"], given_["ratio"]
    runs, position = [], given_["start"]
    while position < given_["end"]:
        block = position // block_size
        entry = int(given_["entries"][block + block // ratio]) & (1 << 64) - 1
        upto = min(position + sector, given_["end"])
        runs.append([position, upto - position, *naive_sector(given_, entry, position)])
        position = upto
    return merged(runs)


def naive_sector(given_, entry, position):
    """(kind, whether a bitmap decides, file offset) of one sector."""
    block_size = given_["block_size"]
    state, place = entry & 7, (entry >> 20) * MIB
    if entry & 0xFFFF8 or state in {4, 5}:
        return LOST, 0, 0
    if state < 4:
        return {0: HOLE, 1: TRIM, 2: ZERO, 3: TRIM}[state], 0, 0
    edges = given_["forbidden"]
    pairs = list(zip(edges[::2], edges[1::2], strict=True))
    if place < MIB or place > given_["file_size"] // MIB * MIB:
        return LOST, 0, 0
    if any(place < end and start < place + block_size for start, end in pairs):
        return LOST, 0, 0
    return DATA, int(state == 7 and given_["is_child"]), place + position % block_size


def scan(run, given_, capacity):
    """All runs by a kernel whose output has room for `capacity` at a time."""
    position, found = given_["start"], []
    inputs = [given_["entries"], np.array(given_["forbidden"], dtype=np.int64)]
    for column in inputs:
        column.flags.writeable = False
    while position < given_["end"]:
        outputs = tuple(np.zeros(capacity, dtype=np.int64) for _ in range(5))
        sizes = (given_["ratio"], given_["block_size"] // MIB, given_["file_size"], given_["is_child"])
        count, stopped = run(kernels.scan_blocks, inputs, outputs, 0, position, given_["end"], sizes)
        assert count <= capacity
        assert count == capacity or stopped == given_["end"]
        found += [list(row) for row in zip(*(column[:count].tolist() for column in outputs), strict=True)]
        position = stopped
    return found


def merged(runs):
    """Neighbours that go on from one another made one."""
    out = []
    for start, length, kind, by_bitmap, offset in runs:
        last = out[-1] if out else None
        if last and last[2:4] == [kind, by_bitmap] and (kind != DATA or last[4] + last[1] == offset):
            last[1] += length
        else:
            out.append([start, length, kind, by_bitmap, offset])
    return out


@ways
@given(given_=scans())
def test_scanning_blocks_gives_what_a_loop_over_sectors_gives(run, given_):
    room = 2 * (given_["end"] - given_["start"]) // given_["sector"] + 2
    assert scan(run, given_, room) == naive_scan(given_)


@ways
@given(given_=scans(), capacity=st.integers(1, 7))
def test_a_scan_that_runs_out_of_room_can_be_resumed(run, given_, capacity):
    assert merged(scan(run, given_, capacity)) == naive_scan(given_)


@st.composite
def claims(draw):
    ratio = draw(st.integers(1, 9))
    count = draw(st.integers(0, 60))
    entry = st.tuples(st.integers(0, 7), st.integers(0, 30) | st.sampled_from((1 << 43, (1 << 44) - 1)))
    values = [state | mib << 20 for state, mib in draw(st.lists(entry, min_size=count, max_size=count))]
    entries = np.array(values, dtype=np.uint64).view(np.int64)
    return entries, ratio, draw(st.integers(1, 4)), draw(st.integers(0, 1)), draw(st.integers(0, 40))


FORBIDDEN_MIB = range(3, 5)
FORBIDDEN = np.array([3 * MIB, 5 * MIB], dtype=np.int64)
"""A structure of the file, upon which no claim is believed."""


def naive_claims(entries, ratio, block_mib, is_child, size):
    """The MiB that each slot claims."""
    found = []
    for slot, value in enumerate(entries.tolist()):
        length = is_child if slot % (ratio + 1) == ratio else block_mib
        mib = (value & (1 << 64) - 1) >> 20
        places = range(mib, mib + length)
        believed = value & 7 >= 6 and not value & 0xFFFF8 and 1 <= mib <= size
        believed = believed and not any(place in FORBIDDEN_MIB for place in places)
        found.append([place for place in places if place < size] if believed else [])
    return found


@ways
@given(given_=claims())
def test_contested_slots_are_those_that_share_a_place(run, given_):
    entries, ratio, block_mib, is_child, size = given_
    claimed = naive_claims(*given_)
    times = [sum(place in places for places in claimed) for place in range(size)]
    entries.flags.writeable = False
    owners = np.zeros(size, dtype=np.uint8)
    numbers = ((ratio, block_mib, size << 20, is_child),)
    in_slots = np.arange(len(entries))
    assert run(kernels.own_places, (entries, in_slots, FORBIDDEN), (owners,), *numbers) == sum(
        count > 1 for count in times
    )
    assert owners.tolist() == [min(count, 2) for count in times]
    slots = np.zeros(len(entries), dtype=np.int64)
    count = run(kernels.contested_slots, (entries, in_slots, FORBIDDEN, owners), (slots,), *numbers)
    expected = [slot for slot, places in enumerate(claimed) if any(times[place] > 1 for place in places)]
    assert slots[:count].tolist() == expected


@ways
@given(given_=claims(), cut=st.integers(0, 60))
def test_claims_can_be_counted_window_by_window(run, given_, cut):
    entries, ratio, block_mib, is_child, size = given_
    whole, parts = np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=np.uint8)
    sizes = (ratio, block_mib, size << 20, is_child)
    total = run(kernels.own_places, (entries, np.arange(len(entries)), FORBIDDEN), (whole,), sizes)
    front, back = entries[:cut].copy(), entries[cut:].copy()
    first = run(kernels.own_places, (front, np.arange(len(front)), FORBIDDEN), (parts,), sizes)
    behind = np.arange(len(front), len(entries))
    second = run(kernels.own_places, (back, behind, FORBIDDEN), (parts,), sizes)
    assert first + second == total
    assert parts.tolist() == whole.tolist()


def test_kernels_take_a_read_only_memory_map(tmp_path):
    path = tmp_path / "bat"
    np.arange(6 | 1 << 20, (6 | 1 << 20) + (500 << 20), 1 << 20, dtype="<i8").tofile(path)
    entries = np.memmap(path, dtype="<i8", mode="r")
    outputs = tuple(np.zeros(10, dtype=np.int64) for _ in range(5))
    empty = np.empty(0, dtype=np.int64)
    numbers = (0, 0, 400 * MIB, (4096, 1, 1000 * MIB, 0))
    count, stopped = compiling.compiled(kernels.scan_blocks)(entries, empty, outputs, *numbers)
    assert (count, stopped) == (1, 400 * MIB)
    assert [column[0] for column in outputs] == [0, 400 * MIB, DATA, 0, MIB]


@ways
@given(given_=claims(), missing=st.integers(0, 3))
def test_damaged_slots_are_those_whose_block_is_invalid_misplaced_cut_off_or_contested(run, given_, missing):
    entries, ratio, block_mib, _, size = given_
    claimed = naive_claims(entries, ratio, block_mib, 0, size)
    times = [sum(place in places for places in claimed) for place in range(size)]
    owners = np.array([min(count, 2) for count in times], dtype=np.uint8)
    blocks = len(entries) - len(entries) // (ratio + 1)
    disk_size = max(1, blocks * block_mib * MIB - missing * MIB // 4)
    slots = np.zeros(len(entries), dtype=np.int64)
    numbers = ((ratio, block_mib, size << 20, 0), disk_size)
    count = run(kernels.damaged_slots, (entries, np.arange(len(entries)), FORBIDDEN, owners), (slots,), *numbers)
    expected = []
    for slot, (value, places) in enumerate(zip(entries.tolist(), claimed, strict=True)):
        state, block = value & 7, slot - slot // (ratio + 1)
        if slot % (ratio + 1) == ratio or (state in {0, 1, 2, 3} and not value & 0xFFFF8):
            continue
        needed = min(block_mib * MIB, disk_size - block * block_mib * MIB)
        end = ((value & (1 << 64) - 1) >> 20) * MIB + needed
        if not places or end > size * MIB or any(times[place] > 1 for place in places):
            expected.append(slot)
    assert slots[:count].tolist() == expected


@given(given_=claims(), missing=st.integers(0, 3))
def test_damage_is_the_same_where_what_is_good_at_a_glance_is_not_looked_at(given_, missing):
    entries, ratio, block_mib, has_parent, size = given_
    blocks = len(entries) - len(entries) // (ratio + 1)
    geometry = SimpleNamespace(
        chunk_ratio=ratio, block_size=block_mib * MIB, size=max(1, blocks * block_mib * MIB - missing * MIB // 4)
    )
    judge = Claims(geometry, size << 20, bool(has_parent), FORBIDDEN)
    none, slots = np.zeros(0, dtype=np.uint8), np.zeros(len(entries), dtype=np.int64)
    inputs = (entries, np.arange(len(entries)), FORBIDDEN, none)
    count = compiling.interpreted(kernels.damaged_slots, inputs, (slots,), judge.sizes, geometry.size)
    assert judge.damaged(0, entries, none).tolist() == slots[:count].tolist()


@pytest.mark.slow
def test_a_second_process_adds_nothing_to_the_cache(tmp_path):
    code = "from vhdx import compiling, kernels; compiling.compiled_reader(); compiling.compiled(kernels.scan_blocks)"
    found = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, check=True)
        found.append(sorted(path.name for path in tmp_path.rglob("*.nb?")))
    assert len(found[0]) == (4 if hasattr(os, "pread") else 2)  # without, nothing is read from compiled code
    assert found[1] == found[0]
