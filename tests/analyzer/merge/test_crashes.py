"""A merge in place, broken off anywhere: the leaf over its parents is the same disk, and the same merge goes on."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.merge.model import IntoOptions, Letting
from tests.analyzer.merge.helpers import disk, merge, read_by_product, recorded, small_batches
from tests.support.crashing import Recorder, crash_states
from tests.support.plain_reader import PlainFile
from tests.support.strategies import stacks

pytestmark = [pytest.mark.property, pytest.mark.slow, pytest.mark.usefixtures("quiet")]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=stacks(min_layers=2, max_layers=4, max_mib=6), data=st.data())
def test_a_random_chain_shows_the_same_disk_at_every_moment_and_its_merge_goes_on(stack, data):
    run, paths = recorded(stack)
    into = data.draw(st.integers(0, len(paths) - 2))
    wanted = bytes(stack.disks[-1].bytes)
    options = IntoOptions(letting=data.draw(st.sampled_from(Letting)))
    with small_batches():
        merge(run, paths, into, options=options)
    assert disk(run.files, paths[: into + 1]) == wanted
    assert not PlainFile(run.files[paths[into]]).was_live
    seed = data.draw(st.integers(0, 999))
    states = list(crash_states(run, seed=seed, shuffled=1))
    chosen = random.Random(seed).sample(states, min(len(states), 12))
    for words, files in chosen:
        assert disk(files, paths) == wanted, words
        assert read_by_product(files, paths) == wanted, words
    words, files = chosen[0]
    again = Recorder(files)
    merge(again, paths, into, options=options)
    assert disk(again.files, paths[: into + 1]) == wanted, words
    if options.letting is Letting.DRAIN and len(set(map(len, (layer.bytes for layer in stack.disks)))) == 1:
        for path in paths[into + 1 :]:
            assert {PlainFile(again.files[path]).block(number)[0] for number in range(3)} <= {0}
