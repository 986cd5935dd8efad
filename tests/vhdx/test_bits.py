"""Edges of bits and runs of sectors, against loops over single bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vhdx.allocation import cut_at_file_end
from vhdx.runs import Kind, RunTable
from vhdx.structures.bat import edges_of_bits

pytestmark = pytest.mark.property

FULL = (1 << 64) - 1
words = st.lists(st.sampled_from((0, FULL, 1, 1 << 63, 0xF0F0F0F0F0F0F0F0)) | st.integers(0, FULL), max_size=12)


def naive_edges(values):
    bits = [value >> n & 1 for value in values for n in range(64)]
    return [n for n, (before, bit) in enumerate(zip([0, *bits], bits, strict=False)) if before != bit]


@given(words)
def test_edges_are_where_bits_differ(values):
    edges, looked = edges_of_bits(np.array(values, dtype=np.uint64), 10_000)
    assert (edges.tolist(), looked) == (naive_edges(values), 64 * len(values))


@given(words, st.integers(1, 70))
def test_a_look_at_bits_stops_once_there_are_edges_enough(values, most):
    edges, looked = edges_of_bits(np.array(values, dtype=np.uint64), most)
    everything = naive_edges(values)
    assert edges.tolist() == [edge for edge in everything if edge < looked]
    assert len(edges) < most + 64
    assert looked == 64 * len(values) or len(edges) >= most
    assert looked > 0 or not values


@given(
    st.integers(0, 40), st.lists(st.tuples(st.integers(1, 5), st.sampled_from(Kind), st.integers(0, 40)), max_size=8)
)
def test_runs_that_pass_the_end_of_the_file_are_cut_there(size, given_):
    """Sectors of 4 bytes; a sector is DATA when the file has all of it."""
    start, rows = 0, []
    for length, kind, place in given_:
        rows.append((start, length * 4, kind, 0, place if kind is Kind.DATA else 0))
        start += length * 4
    found = [
        (at + n, kind) for at, length, kind, _, _ in cut_at_file_end(RunTable.of(rows), size, 4) for n in range(length)
    ]
    expected = []
    for at, length, kind, _, place in rows:
        for n in range(length):
            has_all = place + n // 4 * 4 + 4 <= size
            expected.append((at + n, Kind.LOST if kind is Kind.DATA and not has_all else kind))
    assert found == expected
