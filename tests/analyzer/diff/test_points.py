"""Two restore points: what differs, told by a comparison of all their bytes."""

import numpy as np
import pytest

pytest.importorskip("zstandard")

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.address.point import RestorePoint
from analyzer.diff.find import Method, Trust, find_changes, plan_changes
from analyzer.diff.points import compare_chunks
from tests.analyzer.backup.helpers import KIB, back_up, content_of, new_repository
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of
from tests.support.strategies import stacks

pytestmark = pytest.mark.slow


def naive(old, new):
    """Numbers of the sectors that differ, or that only one disk has."""
    longest = max(len(old), len(new))
    first, second = (np.frombuffer(one.ljust(longest, b"\0"), np.uint8).reshape(-1, 512) for one in (old, new))
    differs = (first != second).any(axis=1)
    differs[min(len(old), len(new)) // 512 :] = True
    return set(np.flatnonzero(differs).tolist())


def sectors_of(tables):
    """Their numbers, of tables of ranges."""
    ranges = ((start, start + length) for table in tables for start, length, _ in table)
    return {n for start, end in ranges for n in range(start // 512, -(-end // 512))}


@settings(max_examples=15)
@given(stacks(min_layers=2), st.data())
def test_the_sectors_that_differ_are_found_and_no_other(stack, data):
    repository, chain = new_repository(chunk_size=64 * KIB), chain_of(stack.files)
    layers = data.draw(st.permutations(range(len(stack.disks))))[:2]
    names = [back_up(repository, chain.upto(layer))[0].name for layer in layers]
    old, new = (RestorePoint(repository, name) for name in names)
    found = sectors_of(find_changes(plan_changes(old, new, Trust.PROVENANCE, 512), old, new))
    assert found == naive(*(content_of(repository, name) for name in names))
    chunks = compare_chunks(old.point, new.point)
    assert chunks.changed <= chunks.total


def test_points_of_one_content_are_told_apart_without_reading_a_chunk():

    fixture = fixture_of("chain-3")
    repository, chain = new_repository(), chain_of([fixture.files[path] for path in fixture.chain[::-1]])
    names = [back_up(repository, chain)[0].name for _ in range(2)]
    repository.place.reads.clear()
    old, new = (RestorePoint(repository, name) for name in names)
    assert not sectors_of(find_changes(plan_changes(old, new, Trust.PROVENANCE, 512), old, new))
    assert not [name for name in repository.place.reads if name.endswith(".cacnk")]


def test_points_by_their_addresses_are_compared_by_ids_first_and_only_what_differs_is_read():

    fixture = fixture_of("chain-3")
    repository, chain = new_repository(), chain_of([fixture.files[path] for path in fixture.chain[::-1]])
    names = [back_up(repository, chain.upto(layer))[0].name for layer in (0, 2)]
    old, new = (RestorePoint(repository, name) for name in names)
    repository.place.reads.clear()
    plan = plan_changes(old, new, Trust.PROVENANCE)
    assert plan.method is Method.CHUNKS
    found = sectors_of(find_changes(plan, old, new))
    read = [name for name in repository.place.reads if name.endswith(".cacnk")]
    different = compare_chunks(old.point, new.point).changed
    assert found == naive(*(content_of(repository, name) for name in names))
    assert 0 < len(read) <= 2 * different, "each chunk that differs once of either point"
