"""Sets of ranges, against sets of numbers; and what they cost, counted in calls."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.effort import calls_of
from vhdx.ranges import MOST, NO_RANGES, GrowingRanges, Range, Ranges, covered, joined, repeated, union
from vhdx.runs import Kind, RunTable

pytestmark = pytest.mark.property

RANGE = st.builds(Range, st.integers(0, 60), st.integers(0, 12))
RANGES = st.lists(RANGE, max_size=12)


def numbers(ranges):
    return {n for one in ranges for n in range(one.start, one.end)}


def require_canonical(ranges):
    listed = list(ranges)
    assert all(one.length > 0 for one in listed)
    assert all(before.end < after.start for before, after in pairwise(listed))


@given(RANGES)
def test_a_set_holds_the_bytes_of_its_ranges_and_nothing_else(ranges):
    found = Ranges.of(ranges)
    require_canonical(found)
    assert numbers(found) == numbers(ranges)
    assert found.size == len(numbers(ranges))
    assert bool(found) is bool(numbers(ranges))
    assert len(found) == len(list(found))


@given(RANGES)
def test_a_set_is_the_same_whichever_way_it_is_made(ranges):
    rows = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    of_columns = Ranges.of_columns(rows[:, 0], rows[:, 1])
    between = Ranges.between(rows[:, 0], rows.sum(axis=1))
    grown = GrowingRanges()
    for one in ranges:
        grown.add(one)
    streamed = Ranges.of(joined(sorted(ranges)))
    assert Ranges.of(ranges) == of_columns == between == grown.ranges == streamed
    assert list(joined(sorted(ranges))) == list(streamed)
    assert len({of_columns, between}) == 1


@given(st.lists(st.booleans(), max_size=40))
def test_the_marks_of_an_array_are_a_set_of_its_places(marks):
    found = Ranges.where(np.array(marks, dtype=np.bool_))
    require_canonical(found)
    assert numbers(found) == {place for place, mark in enumerate(marks) if mark}


@given(RANGES, RANGE)
def test_a_table_marks_the_ranges_and_has_holes_between_them(ranges, part):
    table = RunTable.marking(Ranges.of(ranges), part, Kind.LOST)
    assert list(table.of_kind(Kind.LOST).ranges) == list(Ranges.of(ranges).within(part))
    assert numbers(table) == numbers([part])
    assert all(before.end == after.start and before.kind != after.kind for before, after in pairwise(table))
    assert not part.length or table.range == part


@given(RANGES, RANGES)
def test_union_intersection_and_difference_are_those_of_sets_of_bytes(first, second):
    one, other = Ranges.of(first), Ranges.of(second)
    for found, expected in (
        (one | other, numbers(first) | numbers(second)),
        (union([one, other, one]), numbers(first) | numbers(second)),
        (one & other, numbers(first) & numbers(second)),
        (one - other, numbers(first) - numbers(second)),
    ):
        require_canonical(found)
        assert numbers(found) == expected
    assert (one == other) is (numbers(first) == numbers(second))


@given(st.lists(RANGES, min_size=1, max_size=4), st.integers(1, 4))
def test_covered_counts_in_how_many_sets_a_byte_is(sets, at_least):
    found = covered([Ranges.of(ranges) for ranges in sets], at_least=at_least)
    require_canonical(found)
    assert numbers(found) == {n for n in range(80) if sum(n in numbers(one) for one in sets) >= at_least}


@given(RANGES, RANGE)
def test_a_set_is_asked_for_a_part_as_a_set_of_bytes_is(ranges, part):
    found, held, asked = Ranges.of(ranges), numbers(ranges), numbers([part])
    require_canonical(found.within(part))
    assert numbers(found.within(part)) == held & asked
    require_canonical(found.gaps(part))
    assert numbers(found.gaps(part)) == asked - held
    assert found.touches(part) is found.touches_any([Range(99, 1), part]) is bool(held & asked)
    assert found.covers(part) is (asked <= held)
    pieces = list(found.split(part))
    assert [n for one, _ in pieces for n in range(one.start, one.end)] == sorted(asked)
    assert all((n in held) is inside for one, inside in pieces for n in range(one.start, one.end))


@given(RANGES, st.lists(st.integers(0, 80), max_size=20))
def test_each_of_many_bytes_is_in_the_range_that_has_it_or_in_none(ranges, starts):
    found = Ranges.of(ranges)
    index, is_inside = found.places_in(np.array(starts, dtype=np.int64))
    held = [number for number, inside in zip(index.tolist(), is_inside.tolist(), strict=True) if inside]
    wanted = [start for start in starts if start in numbers(ranges)]
    assert is_inside.tolist() == [start in numbers(ranges) for start in starts]
    assert all(start in numbers([list(found)[number]]) for start, number in zip(wanted, held, strict=True))


@given(st.lists(st.integers(0, 5), max_size=12))
def test_an_index_comes_as_often_as_it_is_told_to(times):
    index, step = repeated(np.array(times, dtype=np.int64))
    wanted = [(number, nth) for number, count in enumerate(times) for nth in range(count)]
    assert list(zip(index.tolist(), step.tolist(), strict=True)) == wanted


@given(st.lists(st.tuples(RANGE, RANGE), max_size=12))
def test_a_growing_set_answers_after_each_range(steps):
    grown, held = GrowingRanges(), set()
    for part, asked in steps:
        grown.add(part)
        held |= numbers([part])
        assert grown.touches(asked) is bool(held & numbers([asked]))


def test_numbers_that_are_too_large_are_cut_wherever_they_come():
    huge, whole = Range(7, 1 << 70), Ranges.of([Range.between(7, MOST)])
    assert Ranges.of([huge, Range(1 << 70, 3)]) == whole
    assert whole.within(huge) == whole
    assert list(Ranges.of([Range(9, 1)]).gaps(huge)) == [Range(7, 2), Range.between(10, MOST)]
    assert not whole.touches(Range(1 << 70, 1 << 70))
    grown = GrowingRanges()
    grown.add(huge)
    assert grown.ranges == whole


def test_ranges_up_to_the_greatest_number_are_held():
    whole = Ranges.of([Range(0, MOST)])
    assert list(whole - Ranges.of([Range(5, 1)])) == [Range(0, 5), Range.between(6, MOST)]
    assert whole & NO_RANGES == NO_RANGES
    assert not NO_RANGES - whole


def sparse(count, step=2):
    return Ranges.of_columns(np.arange(count, dtype=np.int64) * step, np.ones(count, dtype=np.int64))


@pytest.mark.parametrize(
    "work",
    [
        lambda one, other: one | other,
        lambda one, other: one & other,
        lambda one, other: one - other,
        lambda one, _: one.within(Range(1, 1 << 40)),
        lambda one, _: one.gaps(Range(1, 1 << 40)),
        lambda one, _: one.touches(Range(77, 1)),
        lambda one, other: one == other,
    ],
)
def test_what_is_done_with_sets_takes_as_many_calls_for_many_ranges_as_for_few(work):
    few, many = (calls_of(lambda count=count: work(sparse(count), sparse(count, 3)))[0] for count in (100, 100_000))
    assert many <= few + 10


def test_a_set_grows_in_calls_that_are_in_proportion_to_its_ranges():
    def grow(count):
        grown = GrowingRanges()
        for number in range(count):
            grown.add(Range(number * 7919 % count * 2, 1))
            grown.touches(Range(number, 1))

    assert calls_of(lambda: grow(8000))[0] <= 2.2 * calls_of(lambda: grow(4000))[0]


def test_ranges_that_come_sorted_are_joined_without_being_kept():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield Range(taken // 2 * 10 + taken % 2, 1)

    stream = joined(endless())
    assert [next(stream) for _ in range(3)] == [Range(1, 1), Range(10, 2), Range(20, 2)]
    assert taken < 10
