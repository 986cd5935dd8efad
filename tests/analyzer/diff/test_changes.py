"""What differs between states of random chains and forks, against the comparison of the flat bytes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.diff import ranges as content
from analyzer.diff.find import Method, Totals, Trust, find_changes, plan_changes
from analyzer.diff.ranges import Change
from tests.support.sources import CountingSource, SparseSource, chain_from, chain_of
from tests.support.strategies import stacks
from vhdx import layers as layers_module
from vhdx.chain import Chain
from vhdx.runs import Kind

pytestmark = pytest.mark.property

SECTOR = 512


def ranges(old, new, trust, granularity=None):
    """(start, end, kind) of all that differs."""
    plan = plan_changes(old, new, trust, granularity)
    return plan, [(start, start + length, kind) for table in find_changes(plan, old, new)
                  for start, length, kind in table]  # fmt: skip


def units_of(found, size, unit):
    """One boolean for each unit: whether any range touches it."""
    marks = np.zeros(-(-size // unit), dtype=bool)
    for start, end, _ in found:
        marks[start // unit : -(-end // unit)] = True
    return marks


def naive(old, new, unit):
    """The same from the flat bytes: what one has past the other's end is changed."""
    size, common = max(len(old), len(new)), min(len(old), len(new))
    differs = np.ones(-(-size // SECTOR) * SECTOR, dtype=bool)
    differs[:common] = np.frombuffer(old, np.uint8)[:common] != np.frombuffer(new, np.uint8)[:common]
    differs[size:] = False
    padded = np.zeros(-(-size // unit) * unit, dtype=bool)
    padded[: len(differs)] = differs[: len(padded)]
    return padded.reshape(-1, unit).any(axis=1)


def assert_lawful(found, size, granularity):
    for start, end, _ in found:
        assert 0 <= start < end <= size
        assert start % granularity == 0
        assert end % granularity == 0 or end == size
    for before, after in itertools.pairwise(found):
        assert before[1] < after[0] or (before[1] == after[0] and before[2] is not after[2])


def assert_kinds(found, new):
    for start, end, kind in found:
        if kind is Change.ZERO:
            assert new.count(0, start, end) == len(new[start:end])
        assert (kind is Change.GONE) == (start >= len(new))
        assert kind is not Change.LOST


granularities = st.none() | st.sampled_from((512, 4096, 65536, 3 * 512, 1 << 20, 5 << 20))


def check(old, new, before, after, granularity):
    """All laws between two states and their flat bytes."""
    size = max(len(before), len(after))
    plan, claimed = ranges(old, new, Trust.PROVENANCE, granularity)
    truth = naive(before, after, plan.granularity)
    assert not (truth & ~units_of(claimed, size, plan.granularity)).any(), "a change was missed"
    _, exact = ranges(old, new, Trust.VERIFY, granularity)
    assert (units_of(exact, size, plan.granularity) == truth).all()
    for found in (claimed, exact):
        assert_lawful(found, size, plan.granularity)
        assert_kinds(found, after)
    return plan


@given(stacks(), st.data(), granularities)
def test_between_any_two_layers_no_change_is_missed_and_verified_ones_are_exact(stack, data, granularity):
    chain = chain_of(stack.files)
    one, other = (data.draw(st.integers(0, len(chain.layers) - 1)) for _ in range(2))
    before, after = stack.disks[one].bytes, stack.disks[other].bytes
    plan = check(chain.upto(one), chain.upto(other), before, after, granularity)
    assert plan.method is Method.PROVENANCE


class InvertedSource(SparseSource):
    """The same file with all bits of its payload inverted: other bytes in the same places."""

    payload = ()

    def read_into(self, offset, buffer):
        super().read_into(offset, buffer)
        for start, end in self.payload:
            low, high = max(start, offset), min(end, offset + len(buffer))
            if low < high:
                part = np.frombuffer(buffer[low - offset : high - offset], np.uint8)
                np.bitwise_not(part, out=part)


@given(stacks(min_layers=2), st.data(), granularities)
def test_between_the_leaves_of_a_fork_too(stack, data, granularity):
    fork, like = data.draw(st.integers(0, len(stack.specs) - 2)), data.draw(st.integers(1, len(stack.specs) - 1))
    files = [SparseSource(file) for file in stack.files]
    chain = chain_from(files)
    # The other leaf: a layer's file once more, with other bytes in the same places, upon the layer of the fork.
    twin = InvertedSource(stack.files[like])
    leaf = chain_from([*files[: fork + 1], twin]).leaf
    twin.payload = [(run.file_offset, run.file_offset + run.length) for run in leaf.runs() if run.kind is Kind.DATA]
    links = (*chain.links[:fork], chain_from([files[fork], twin]).links[0])
    shared = Chain((*chain.layers[: fork + 1], leaf), links)
    model = shared.read(0, shared.size)
    for old, new, before, after in (
        (chain, shared, stack.disks[-1].bytes, model),
        (shared, chain, model, stack.disks[-1].bytes),
    ):
        plan = check(old, new, before, after, granularity)
        assert len(plan.shared) == fork + 1


@given(stacks(max_layers=3, sectors=(512,)), stacks(max_layers=3), granularities)
def test_between_unrelated_disks_too(first, second, granularity):
    plan = check(
        chain_of(first.files), chain_of(second.files), first.disks[-1].bytes, second.disks[-1].bytes, granularity
    )
    assert plan.method is Method.CONTENT


@given(stacks(min_layers=2), st.integers(1, 9))
def test_small_windows_give_the_same_ranges(stack, limit):
    chain = chain_of(stack.files)
    old = chain.upto(0)
    _, whole = ranges(old, chain, Trust.VERIFY, 4096)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers_module, "MOST_RUNS", limit)
        patch.setattr(content, "GRANULE", 1 << 20)
        _, parts = ranges(old, chain, Trust.VERIFY, 4096)
    assert parts == whole


@given(stacks(min_layers=2))
def test_by_provenance_nothing_but_tables_is_read(stack):
    sources = [CountingSource(SparseSource(file)) for file in stack.files]
    chain = chain_from(sources)
    for source in sources:
        source.reads.clear()
    ranges(chain.upto(0), chain, Trust.PROVENANCE)
    for source, layer in zip(sources, chain.layers, strict=True):
        payload = [(run.file_offset, run.file_offset + run.length) for run in layer.runs() if run.kind is Kind.DATA]
        reads = [(start, start + length) for start, length in source.reads]
        assert all(end <= first or last <= start for start, end in reads for first, last in payload)
        geometry = layer.geometry
        tables = 8 * layer.table.slots_needed + (1 << 20) * (-(-layer.size // geometry.chunk_size))
        assert sum(length for _, length in source.reads) <= 8 * tables


@given(stacks(min_layers=2))
def test_totals_are_the_sums_of_the_ranges(stack):
    chain = chain_of(stack.files)
    old, totals = chain.upto(0), Totals()
    plan, found = ranges(old, chain, Trust.PROVENANCE)
    assert len(list(totals.passing(find_changes(plan, old, chain)))) == len(found)
    assert totals.ranges == len(found)
    assert totals.changed_bytes == sum(end - start for start, end, _ in found)


def test_a_granularity_that_is_no_multiple_of_a_sector_is_refused(recipe):
    _, leaf = recipe("demo")
    import vhdx

    with vhdx.open_chain(leaf) as chain, pytest.raises(ValueError, match="multiple of 512"):
        plan_changes(chain, chain, Trust.PROVENANCE, 1000)
