"""Block status of random chains with random writes over them, against one answer for each sector."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.serve.contexts import KNOWN, LOST, NO_LAYER, NUMBERS, STALE, WORTH_TELLING, BlockStatus, Context
from analyzer.serve.export import Export
from analyzer.serve.scratch import Scratch
from analyzer.serve.scratch_layout import ScratchHeader
from tests.analyzer.serve.test_scratch import PATH, blank
from tests.support.crashing import Recorder
from tests.support.runs_disk import RunsDisk
from tests.support.sources import chain_of
from tests.support.strategies import stacks
from vhdx.disk import Mask, MaskedDisk
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, Run

pytestmark = pytest.mark.property

SECTOR = 512


def some_ranges(chance, size):
    sectors = size // SECTOR
    starts = [chance.randrange(sectors) for _ in range(chance.randrange(4))]
    return Ranges.of(Range(at * SECTOR, min(chance.randrange(1, 3000), sectors - at) * SECTOR) for at in starts)


def expected(chain, masked, scratch_ranges, stale):
    """Allocation, layer and status of each sector."""
    count = chain.size // SECTOR
    kinds, layers = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for run in masked.runs():
        part = slice(run.start // SECTOR, run.end // SECTOR)
        kinds[part], layers[part] = run.kind, run.layer
    for is_data, part in scratch_ranges:  # in the order in which they were written
        where = slice(part.start // SECTOR, part.end // SECTOR)
        kinds[where], layers[where] = (Kind.DATA if is_data else Kind.ZERO), len(masked.sources)
    old = np.zeros(count, np.bool_)
    for part in stale:
        old[part.start // SECTOR : part.end // SECTOR] = True
    return {
        Context.ALLOCATION: np.where(np.isin(kinds, (Kind.DATA, Kind.LOST)), 0, 3),
        Context.LAYER: np.where(kinds == Kind.HOLE, NO_LAYER, layers),
        Context.STATUS: np.where(kinds == Kind.LOST, LOST, np.where(old, STALE, KNOWN)),
    }


def few(is_zero):
    """The sectors in rows of zeros that are too short to be told."""
    edges = np.flatnonzero(np.diff(is_zero.view(np.int8), prepend=0, append=0)).reshape(-1, 2)
    found = np.zeros_like(is_zero)
    for start, end in edges.tolist():
        found[start:end] = (end - start) * SECTOR < WORTH_TELLING
    return found


def told(status, context, size, chance):
    """What is said of each sector, asked for piece by piece."""
    found, position = np.full(size // SECTOR, -1, np.int64), 0
    while position < size:
        end = min(size, position + chance.choice([SECTOR, 77 * SECTOR, 1 << 21, size]))
        extents = status.extents(NUMBERS[context], position, end, chance.choice([1, 3, 1 << 16]))
        assert extents
        for length, value in extents:
            assert length > 0
            found[position // SECTOR : (position + length) // SECTOR] = value
            position += length
        assert position <= end
    return found


@given(stacks(max_layers=3, max_mib=6), st.integers(0, 1 << 32), st.booleans())
def test_every_sector_is_told_as_it_is(stack, seed, with_scratch):
    chance, chain = random.Random(seed), chain_of(stack.files)
    if chain.sector_size != SECTOR:
        return
    masked = MaskedDisk(chain, Mask.of(some_ranges(chance, chain.size), chain.size, "gone"))
    stale, written, scratch = some_ranges(chance, chain.size), [], None
    if with_scratch:
        head = ScratchHeader(size=chain.size, sector_size=SECTOR, identity="x", below="y")
        scratch = Scratch(Recorder({PATH: blank(head)}).media[PATH], head)
        for part in [*some_ranges(chance, chain.size), *some_ranges(chance, chain.size)]:
            is_data = chance.random() < 0.6
            if is_data:
                scratch.write(part.start, memoryview(b"x" * part.length))
            else:
                scratch.zero(*part)
            written.append((is_data, part))
    wanted = expected(chain, masked, written, stale)
    status = BlockStatus(Export("", masked, "x", stale, scratch))
    zeroed = np.zeros(chain.size // SECTOR, np.bool_)
    for is_data, part in written:
        zeroed[part.start // SECTOR : part.end // SECTOR] = not is_data
    for context in Context:
        got = told(status, context, chain.size, chance)
        # Zeros in a block that holds something else are kept as its content, and a few between data go with them: they
        # may be told as data, never else.
        kept = zeroed & (got == 0)
        may_be_data = kept | (few((wanted[context] == 3) & ~kept) & (got == 0))
        assert ((got == wanted[context]) | (may_be_data & (context is Context.ALLOCATION))).all()


def test_a_few_zeros_between_data_are_told_as_data_and_more_as_zeros():
    few_sectors = WORTH_TELLING // SECTOR - 1
    kinds = [(Kind.DATA, 1), (Kind.ZERO, few_sectors), (Kind.DATA, 1), (Kind.ZERO, few_sectors), (Kind.TRIM, 1)]
    runs, position = [], 0
    for kind, sectors in [*kinds, (Kind.DATA, 1), (Kind.HOLE, 1)]:
        runs.append(Run(position, sectors * SECTOR, kind, 0, position))
        position += sectors * SECTOR
    extents = BlockStatus(Export("", RunsDisk([], runs), "x")).extents(NUMBERS[Context.ALLOCATION], 0, position)
    assert extents == [(WORTH_TELLING + SECTOR, 0), (WORTH_TELLING, 3), (SECTOR, 0), (SECTOR, 3)]
