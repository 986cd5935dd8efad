"""The algebra of runs against a naive model: one tuple for each unit of the disk."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.laws import assert_lawful, rows, same, table_of
from tests.support.strategies import tables
from vhdx.runs import Kind, Run, RunTable, changed, concatenate, cut_evenly, overlay

pytestmark = pytest.mark.property

TOTAL = 60
DATA, ZERO, TRIM, HOLE, LOST = Kind


def cells(table):
    """One (kind, layer, place) for each unit, place being 0 where the kind is not DATA."""
    found = []
    for run in table:
        found += [(run.kind, run.layer, run.file_offset + n if run.kind is DATA else 0) for n in range(run.length)]
    return found


def joined(units, start=0):
    """The runs of units, as plain tuples: the naive way back."""
    runs = []
    for at, (kind, layer, place) in enumerate(units, start):
        last = runs[-1] if runs else None
        if last and last[2:4] == [kind, layer] and (kind != DATA or last[4] + last[1] == place):
            last[1] += 1
        else:
            runs.append([at, 1, kind, layer, place])
    return [tuple(int(value) for value in run) for run in runs]


def naive_overlay(upper, lower):
    return [below if above[0] == HOLE else above for above, below in zip(cells(upper), cells(lower), strict=True)]


def naive_changed(old, new):
    found = []
    for (kind, layer, place), before in zip(cells(new), cells(old), strict=True):
        same_place = (kind, layer, place) == before
        stays = same_place if kind in {DATA, LOST} else before[0] in {ZERO, TRIM, HOLE}
        found.append((HOLE, 0, 0) if stays else (ZERO if kind == HOLE else kind, layer, place))
    return found


def reads_as(units):
    """What a reader gets: zeros are zeros, whatever they are called."""
    return [unit if unit[0] in {DATA, LOST} else (ZERO, 0, 0) for unit in units]


one = tables(TOTAL).map(table_of)


@given(upper=one, lower=one)
def test_overlay_is_what_the_naive_model_says(upper, lower):
    assert rows(overlay(upper, lower)) == joined(naive_overlay(upper, lower))


@given(old=one, new=one)
def test_changed_is_what_the_naive_model_says(old, new):
    assert rows(changed(old, new)) == joined(naive_changed(old, new))


@given(one, one, one)
def test_overlay_is_associative(top, middle, bottom):
    assert same(overlay(top, overlay(middle, bottom)), overlay(overlay(top, middle), bottom))


@given(one)
def test_a_hole_is_the_identity_of_overlay(table):
    hole = RunTable.filled(0, TOTAL, HOLE, 0)
    assert same(overlay(hole, table), table)
    # Below, a hole takes the place of another layer's hole: what reads is the same.
    assert reads_as(cells(overlay(table, hole))) == reads_as(cells(table))


@given(one, one)
def test_overlay_is_lawful(upper, lower):
    assert_lawful(overlay(upper, lower), 0, TOTAL)


@given(one, one)
def test_changes_laid_over_the_old_disk_read_as_the_new_one(old, new):
    difference = changed(old, new)
    assert_lawful(difference, 0, TOTAL)
    assert reads_as(cells(overlay(difference, old))) == reads_as(cells(new))


@given(one)
def test_nothing_has_changed_from_a_disk_to_itself(table):
    assert rows(changed(table, table)) == [(0, TOTAL, int(HOLE), 0, 0)]


@given(one, st.sets(st.integers(0, TOTAL), min_size=2, max_size=2))
def test_clip_cuts_out_exactly_the_range(table, edges):
    start, end = sorted(edges)
    part = table.clip(start, end)
    assert rows(part) == joined(cells(table)[start:end], start)


@given(one, st.lists(st.integers(1, TOTAL - 1), max_size=6))
def test_parts_put_together_are_the_whole(table, cuts):
    edges = [0, *sorted(set(cuts)), TOTAL]
    parts = [table.clip(start, end) for start, end in pairwise(edges)]
    assert same(concatenate(parts), table)
    assert_lawful(concatenate(parts), 0, TOTAL)


@given(one, st.integers(1, TOTAL + 5))
def test_a_table_that_is_cut_evenly_says_the_same_in_pieces_of_one_unit(table, unit):
    pieces = cut_evenly(table, unit)
    assert cells(pieces) == cells(table)
    assert all(run.start // unit == (run.end - 1) // unit for run in pieces)
    assert len(pieces) == sum((run.end - 1) // unit - run.start // unit + 1 for run in table)


@given(one, one)
def test_clipping_and_overlaying_can_change_places(upper, lower):
    start, end = 7, 41
    assert same(overlay(upper, lower).clip(start, end), overlay(upper.clip(start, end), lower.clip(start, end)))


@given(one)
def test_bytes_of_a_kind_add_up_to_the_disk(table):
    assert sum(table.bytes_of(kind) for kind in Kind) == TOTAL
    for kind in Kind:
        chosen = table.of_kind(kind)
        assert int(chosen.length.sum()) == table.bytes_of(kind)
        assert all(run.kind is kind for run in chosen)


def test_clipping_to_nothing_gives_no_run():
    table = RunTable.of([(0, 10, ZERO, 0, 0)])
    assert len(table.clip(5, 5)) == 0


def test_an_empty_table_ends_at_0_and_survives_everything():
    empty = RunTable.of([])
    assert empty.end == 0
    assert len(concatenate([])) == len(empty.clip(0, 5)) == len(overlay(empty, empty)) == 0
    assert len(RunTable.filled(5, 5, ZERO, 0)) == 0
    assert concatenate([empty, RunTable.filled(0, 3, ZERO, 1)]).end == 3


def test_a_run_knows_its_end_and_a_table_gives_runs():
    table = RunTable.of([(0, 512, DATA, 1, 4096), (512, 512, HOLE, 0, 0)])
    first, second = table
    assert first == Run(0, 512, DATA, 1, 4096)
    assert (first.end, second.end, len(table)) == (512, 1024, 2)
    assert isinstance(first.kind, Kind)
