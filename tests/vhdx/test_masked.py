"""Ranges that are not believed: LOST, with their reason, in a layer as in a disk, and nothing else is."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sources import chain_of
from tests.support.strategies import stacks
from vhdx.disk import Mask, MaskedDisk
from vhdx.errors import LostDataError
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind

pytestmark = pytest.mark.property

REASON = "the moon ate it"


def ranges_of(size):
    edges = st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted).map(tuple)
    return st.lists(edges, max_size=6)


def set_of(ranges):
    return Ranges.of(Range.between(start, end) for start, end in ranges)


def bytes_in(ranges, size):
    held = np.zeros(size, dtype=np.bool_)
    for start, end in ranges:
        held[start:end] = True
    return held


def lost_in(table, size):
    held = np.zeros(size, dtype=np.bool_)
    for run in table.of_kind(Kind.LOST):
        held[run.start : run.end] = True
    return held


def expect_by_bytes(disk, was, lost, size):
    """Each lost range is refused with the reason, and all else reads as it did."""
    edges = [0, *(np.flatnonzero(np.diff(lost)) + 1).tolist(), size]
    for start, end in pairwise(edges):
        if lost[start]:
            with pytest.raises(LostDataError, match=REASON) as caught:
                disk.read(start, end - start)
            assert caught.value.start == start
        else:
            assert disk.read(start, end - start) == was.read(start, end - start)


@given(stacks(max_layers=3, max_mib=6), st.data())
def test_a_masked_disk_is_lost_in_the_mask_alone(stack, data):
    chain = chain_of(stack.files)
    ranges = data.draw(ranges_of(chain.size))
    disk = MaskedDisk(chain, Mask.of(set_of(ranges), chain.size, REASON))
    lost = bytes_in(ranges, chain.size)
    assert (lost_in(disk.runs(), chain.size) == lost).all()
    expect_by_bytes(disk, chain, lost, chain.size)


@given(stacks(min_layers=2, max_layers=3, max_mib=6), st.data())
def test_what_is_masked_in_a_parent_is_lost_where_no_layer_above_hides_it(stack, data):
    chain = chain_of(stack.files)
    base = chain.base
    ranges = data.draw(ranges_of(base.size))
    masked = replace(base, masks=(Mask.of(set_of(ranges), base.size, REASON),))
    disk = replace(chain, layers=(masked, *chain.layers[1:]))
    shows = np.zeros(chain.size, dtype=np.bool_)
    for run in (run for table in chain.windows_above(1) for run in table):
        shows[run.start : run.end] = run.kind is Kind.HOLE
    shows[chain.views[0] :] = False
    held = bytes_in(ranges, max(base.size, chain.size))[: chain.size]
    expect_by_bytes(disk, chain, held & shows, chain.size)
