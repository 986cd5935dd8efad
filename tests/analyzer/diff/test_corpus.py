"""What differs between any two layers of every chain that other programs wrote."""

from contextlib import ExitStack
from itertools import combinations_with_replacement, permutations
from typing import NamedTuple

import numpy as np
import pytest

import vhdx
from analyzer.convert.cells import CELL
from analyzer.diff.find import Trust, find_changes, plan_changes
from tests.support.corpus_files import manifest
from vhdx.parents import OnMismatch

pytestmark = pytest.mark.corpus

UNIT = 512
OPENVMM = {name: facts["chain"][0] for name, facts in manifest("openvmm").get("sets", {}).items()}
DISCUTILS = {
    name: facts["layers"][-1]["name"]
    for name, facts in manifest("discutils").get("chains", {}).items()
    if not name.startswith("quirk-")
}
LEAVES = [f"openvmm/{leaf}" for leaf in OPENVMM.values()] + [f"discutils/{leaf}" for leaf in DISCUTILS.values()]


def marks(plan, old, new):
    """One boolean for each 512 bytes."""
    found = np.zeros(-(-plan.size // UNIT), dtype=bool)
    for table in find_changes(plan, old, new):
        for start, length, _ in table:
            found[start // UNIT : -(-(start + length) // UNIT)] = True
    return found


class State(NamedTuple):
    """A disk, and the cells of it that are not all zeros by their start: read once, for it is compared with many."""

    disk: vhdx.Chain
    cells: dict[int, bytes]

    @classmethod
    def of(cls, disk):
        cells = ((start, disk.read(start, min(CELL, disk.size - start))) for start in range(0, disk.size, CELL))
        return cls(disk, {start: cell for start, cell in cells if cell != bytes(len(cell))})

    def cell(self, start, end):
        return self.cells.get(start, b"").ljust(CELL, b"\0")[: end - start]


def truth(old, new, granularity):
    """The same from the bytes, a cell at a time, where either holds anything."""
    found = np.zeros(-(-max(old.disk.size, new.disk.size) // UNIT), dtype=bool)
    common = min(old.disk.size, new.disk.size)
    for start in {*old.cells, *new.cells}:
        one, two = (state.cell(start, common) for state in (old, new))
        if start < common and one != two:
            differs = np.frombuffer(one, np.uint8) != np.frombuffer(two, np.uint8)
            found[start // UNIT : start // UNIT + len(differs) // UNIT] = differs.reshape(-1, UNIT).any(axis=1)
    found[common // UNIT :] = True
    grains = found.reshape(-1, granularity // UNIT).any(axis=1)
    return np.repeat(grains, granularity // UNIT)


def assert_true(old, new):
    """By provenance no change is missed; verified, they are the ones that there are."""
    claimed, exact = (plan_changes(old.disk, new.disk, trust) for trust in (Trust.PROVENANCE, Trust.VERIFY))
    real = truth(old, new, exact.granularity)
    assert not (real & ~marks(claimed, old.disk, new.disk)).any()
    assert (marks(exact, old.disk, new.disk) == real).all()


@pytest.mark.slow
@pytest.mark.parametrize("leaf", LEAVES)
def test_between_any_two_layers_no_change_is_missed_and_verified_ones_are_exact(corpus, leaf):
    with vhdx.open_chain(corpus(leaf), on_mismatch=OnMismatch.ACCEPT) as chain:
        states = [State.of(chain.upto(layer)) for layer in range(len(chain.layers))]
        for one, other in combinations_with_replacement(states, 2):
            assert_true(one, other)
            assert_true(other, one)


def test_the_leaves_of_a_fork_and_chains_that_share_nothing_too(corpus):
    names = ("locator_variants/linkage2.vhdx", "locator_variants/absonly.vhdx", "diff_b1m_s512/child.vhdx")
    base = corpus("openvmm/locator_variants/base.vhdx")
    for one, other in permutations(names, 2):
        paths = [corpus(f"openvmm/{name}") for name in (one, other)]
        with ExitStack() as stack:
            old, new = (
                stack.enter_context(
                    vhdx.open_chain(path, parents=[base] if "variants" in str(path) else [], on_mismatch="accept")
                )
                for path in paths
            )
            assert len(plan_changes(old, new, Trust.PROVENANCE).shared) == ("diff" not in one + other)
            assert_true(State.of(old), State.of(new))
