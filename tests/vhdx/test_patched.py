"""Bytes laid over a source, against a bytearray."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vhdx.errors import ShortReadError
from vhdx.patched import OverlaySource, Patch, visible
from vhdx.ranges import Range
from vhdx.source import MemorySource, read_at

END = 260
CONTENT = st.builds(lambda at, data: Patch(at, len(data), data), st.integers(0, END), st.binary(max_size=60))
ZEROS = st.builds(lambda at, length: Patch(at, length, None), st.integers(0, END), st.integers(0, 120))
STEPS = st.lists(st.tuples(st.lists(CONTENT | ZEROS, max_size=6), st.integers(0, END)), max_size=4)


def applied(data, patches, size):
    """The simplest model: each patch written into a bytearray; zeros never make it longer."""
    ends = (patch.end for patch in patches if patch.after is not None)
    model = bytearray(data.ljust(max(size, len(data), *ends, 0), b"\0"))
    for patch in patches:
        end = min(patch.end, len(model))
        if patch.offset < end:
            model[patch.offset : end] = patch.content(patch.offset, end)
    return bytes(model)


@example(below=b"", steps=[], start=1, length=0)
@given(below=st.binary(max_size=200), steps=STEPS, start=st.integers(0, END), length=st.integers(0, 120))
def test_a_source_with_patches_reads_as_if_each_had_been_written_in_turn(below, steps, start, length):
    source, model = MemorySource(below, Path("x")), below
    for patches, size in steps:
        source, model = OverlaySource(source, patches, size), applied(model, patches, size)
    assert source.size == len(model)
    assert read_at(source, 0, source.size) == model
    if start + length > len(model):
        with pytest.raises(ShortReadError):
            source.read_into(start, memoryview(bytearray(length)))
    else:
        assert read_at(source, start, length) == model[start : start + length]


@given(below=st.binary(max_size=200), steps=STEPS)
def test_what_is_in_no_extent_of_an_overlay_is_zeros(below, steps):
    source = MemorySource(below)
    for patches, size in steps:
        source = OverlaySource(source, patches, size)
    data = bytearray(read_at(source, 0, source.size))
    extents = list(source.extents()) if isinstance(source, OverlaySource) else [Range(0, source.size)]
    assert extents == sorted(extents)
    for one in extents:
        data[one.start : one.end] = bytes(len(data[one.start : one.end]))
    assert data.count(0) == len(data)


@given(st.lists(CONTENT | ZEROS, max_size=12))
def test_visible_pieces_are_sorted_disjoint_and_the_last_patch_of_each_byte(patches):
    owner = {at: patch for patch in patches for at in range(patch.offset, patch.end)}
    pieces = list(visible(patches))
    assert all(before.end <= after.start for before, after in pairwise(pieces))
    assert {at: piece.patch for piece in pieces for at in range(piece.start, piece.end)} == owner
    assert all(owner[piece.start] is piece.patch for piece in pieces)


def test_a_hundred_steps_are_one_overlay_over_the_first_source():
    file = MemorySource(bytes(1 << 20))
    source = file
    for step in range(100):
        source = OverlaySource(source, [Patch(step * 4096, 4096, bytes([step + 1]) * 4096)])
    assert source.source is file
    assert len(source.pieces) == 100
    assert read_at(source, 99 * 4096 - 1, 2) == bytes([99, 100])


def test_what_patches_cover_is_not_read_from_the_source():
    class Failing(MemorySource):
        def read_into(self, offset, buffer):
            assert not (offset < 8192 and offset + len(buffer) > 4096), "a bad sector was read"
            super().read_into(offset, buffer)

    source = OverlaySource(Failing(bytes(1 << 16)), [Patch(4096, 4096, b"x" * 4096)])
    assert read_at(source, 0, 1 << 16).count(b"x") == 4096


def test_many_overlapping_zero_ranges_take_no_walk_over_all_of_them(monkeypatch):
    """A hostile log: every range covers every other one. n log n steps are counted, not seconds."""
    count, looked = 4000, 0
    content = Patch.content

    def counting(patch, start, end):
        nonlocal looked
        looked += 1
        return content(patch, start, end)

    monkeypatch.setattr(Patch, "content", counting)
    order = list(range(count))
    random.Random(1).shuffle(order)
    source = OverlaySource(MemorySource(b""), [Patch(at, 2 * count, None) for at in order], 4 * count)
    for at in range(0, 4 * count, 100):
        read_at(source, at, 10)
    assert looked < 40 * 12 * 4
    assert len(source.pieces) <= 2 * count
