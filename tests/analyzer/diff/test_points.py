"""Two restore points: what differs, told by a comparison of all their bytes."""

import numpy as np
import pytest

pytest.importorskip("zstandard")

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.address.point import RestorePoint
from analyzer.backup.restore import PointDisk
from analyzer.diff.find import Method, Trust, find_changes, plan_changes
from analyzer.diff.points import compare_points, plan_comparison
from tests.analyzer.backup.helpers import KIB, back_up, content_of, new_repository
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


@settings(max_examples=15)
@given(stacks(min_layers=2), st.data())
def test_the_sectors_that_differ_are_found_and_no_other(stack, data):
    repository, chain = new_repository(chunk_size=64 * KIB), chain_of(stack.files)
    layers = data.draw(st.permutations(range(len(stack.disks))))[:2]
    names = [back_up(repository, chain.upto(layer))[0].name for layer in layers]
    plan = plan_comparison(*(PointDisk(repository, name) for name in names))
    found = {n for one in compare_points(plan) for n in range(one.start // 512, -(-one.end // 512))}
    assert found == naive(*(content_of(repository, name) for name in names))
    assert plan.changed_chunks <= plan.chunks


def test_points_of_one_content_are_told_apart_without_reading_a_chunk():
    from fixtures import RECIPES

    fixture = RECIPES["chain-3"].build()
    repository, chain = new_repository(), chain_of([fixture.files[path] for path in fixture.chain[::-1]])
    names = [back_up(repository, chain)[0].name for _ in range(2)]
    repository.place.reads.clear()
    plan = plan_comparison(*(PointDisk(repository, name) for name in names))
    assert list(compare_points(plan)) == []
    assert not [name for name in repository.place.reads if name.endswith(".cacnk")]


def test_points_by_their_addresses_are_compared_by_ids_first_and_only_what_differs_is_read():
    from fixtures import RECIPES

    fixture = RECIPES["chain-3"].build()
    repository, chain = new_repository(), chain_of([fixture.files[path] for path in fixture.chain[::-1]])
    names = [back_up(repository, chain.upto(layer))[0].name for layer in (0, 2)]
    old, new = (RestorePoint(repository, name) for name in names)
    repository.place.reads.clear()
    plan = plan_changes(old, new, Trust.PROVENANCE)
    assert plan.method is Method.CHUNKS
    found = {n for table in find_changes(plan, old, new) for start, length, _ in table
             for n in range(start // 512, -(-(start + length) // 512))}  # fmt: skip
    read = [name for name in repository.place.reads if name.endswith(".cacnk")]
    different = plan_comparison(old.point, new.point).changed_chunks
    assert found == naive(*(content_of(repository, name) for name in names))
    assert 0 < len(read) <= 2 * different, "each chunk that differs once of either point"
