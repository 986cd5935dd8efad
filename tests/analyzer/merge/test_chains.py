"""Random chains merged in place: what comes out is the leaf's disk, by every reader that is right about it."""

import random

import pytest

from analyzer.merge.model import IntoOptions, Letting
from tests.analyzer.merge.chains import random_chain
from tests.analyzer.merge.helpers import disk, merge, read_by_product, small_batches
from tests.support.crashing import Recorder, crash_states

pytestmark = [pytest.mark.property, pytest.mark.slow, pytest.mark.usefixtures("quiet")]
CHAINS = 500


def try_chain(seed):
    """Merge one random chain, look at one crash of it, and go on from there."""
    chance = random.Random(seed)
    files, paths, wanted = random_chain(chance)
    run, into = Recorder(files), chance.randrange(len(paths) - 1)
    above = disk(run.files, paths)
    assert above == wanted
    options = IntoOptions(letting=chance.choice((*Letting, Letting.KEEP)))
    with small_batches():
        merge(run, paths, into, options=options)
        assert disk(run.files, paths[: into + 1]) == wanted
        assert read_by_product(run.files, paths[: into + 1]) == wanted
        left = one_of(crash_states(run, seed=seed, shuffled=1), chance)
        assert disk(left, paths) == wanted
        again = Recorder(left)
        merge(again, paths, into, options=options)
    assert disk(again.files, paths[: into + 1]) == wanted
    return again.files[paths[into]], wanted


def one_of(states, chance):
    """Any of the states, without having them all at one time."""
    chosen = None
    for number, (_, files) in enumerate(states, 1):
        chosen = files if chance.randrange(number) == 0 else chosen
    return chosen


@pytest.mark.parametrize("first", range(0, CHAINS, 50))
def test_a_random_chain_is_merged_and_goes_on_from_a_crash(first):
    for seed in range(first, first + 50):
        try_chain(seed)


@pytest.mark.parametrize("seed", [3000395])
def test_a_layer_that_lets_go_shows_no_larger_block_of_one_below(seed):
    chance = random.Random(seed)
    files, paths, wanted = random_chain(chance)
    run, into = Recorder(files), chance.randrange(len(paths) - 1)
    with small_batches():
        merge(run, paths, into, options=IntoOptions(letting=Letting.DRAIN))
    assert all(disk(left, paths) == wanted for _, left in crash_states(run, shuffled=0))
