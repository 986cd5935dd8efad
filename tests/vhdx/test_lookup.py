"""Places looked up one by one, against the runs that windows give; and reads by the one against reads by the other."""

import random
import tracemalloc
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vhdx
from fixtures import RECIPES, Verdict
from tests.support.attempts import attempt
from tests.support.catalogue import fixture_of
from tests.support.corpus_files import manifest, mutate, mutations
from tests.support.mutator import mutate as mutated
from tests.support.sources import CountingSource, SparseSource, chain_from, chain_of
from tests.support.strategies import stacks
from vhdx.reader import Reader
from vhdx.runs import Kind

MIB = 1 << 20
GOOD = [name for name, recipe in RECIPES.items() if recipe.verdict is Verdict.GOOD]
LONG = "chain-256"
# A layer of it ends inside a block of the layer above it: there the windows are asked.
CUT_INSIDE = "mixed-disk-sizes"
GENUINE = [name for name, facts in manifest("genuine").get("files", {}).items() if facts["sha256"]]


def assert_found_is_right(chain, find, start, end):
    """What is found from `start` on is the front of one run there; returns whether anything was."""
    found = find(start, end)
    if found is None:
        return False
    upto, kind, layer, offset = found
    assert start < upto <= end
    (run,) = chain.runs(start, upto)
    assert run.kind == kind
    if kind == Kind.DATA:
        assert (run.layer, run.file_offset) == (layer, offset)
    return True


def planned(chain):
    """A reader that makes runs of everything that it reads."""
    made = Reader(chain)
    made.__dict__["_find"] = None
    return made


def assert_reads_agree(chain, chance, reads=12):
    """The same bytes or the same error, looked up and planned; at edges of blocks and anywhere."""
    looked_up, runs = Reader(chain), planned(chain)
    for _ in range(reads):
        edge = chance.randrange(0, chain.size, min(MIB, chain.size))
        start = max(0, chance.choice((chance.randrange(chain.size), edge - chance.randrange(5000), edge)))
        length = min(chance.choice((1, 512, 4096, 70_000, MIB)), chain.size - start)
        data, error = attempt(partial(looked_up.read, start, length))
        expected, refused = attempt(partial(runs.read, start, length))
        assert (data, type(error), str(error)) == (expected, type(refused), str(refused))


@pytest.mark.property
@given(stacks(), st.data())
def test_what_is_found_is_the_run_that_the_windows_have_there(stack, data):
    chain = chain_of(stack.files)
    find = chain.lookup()
    for _ in range(20):
        start = data.draw(st.integers(0, chain.size - 1))
        end = min(chain.size, start + data.draw(st.integers(1, 5000) | st.integers(1, 4 * MIB)))
        assert_found_is_right(chain, find, start, end)


@pytest.mark.property
@given(stacks(max_mib=6), st.randoms(use_true_random=False))
def test_whether_all_of_a_range_is_data_is_what_its_runs_say(stack, chance):
    chain = chain_of(stack.files)
    for _ in range(12):
        start = chance.randrange(chain.size)
        end = min(chain.size, start + chance.choice((1, 512, 5000, MIB)))
        assert chain.holds_data(start, end) == all(run.kind is Kind.DATA for run in chain.runs(start, end))


@pytest.mark.property
@given(stacks(), st.randoms(use_true_random=False))
def test_reads_that_are_looked_up_are_those_of_runs(stack, chance):
    assert_reads_agree(chain_of(stack.files), chance)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name == LONG else ()) for name in GOOD])
def test_of_a_healthy_recipe_every_place_of_a_block_is_found(name):
    fixture = fixture_of(name)
    chain, chance = chain_of([fixture.files[file] for file in fixture.chain[::-1]]), random.Random(name)
    find, starts = chain.lookup(), [chance.randrange(chain.size) for _ in range(10)]
    found = [assert_found_is_right(chain, find, start, min(chain.size, start + 4096)) for start in starts]
    assert all(found) or name == CUT_INSIDE


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("shard", range(4))
def test_damaged_chains_read_alike_looked_up_and_planned(shard):
    for seed in range(shard, 600, 4):
        chain, error = attempt(lambda seed=seed: chain_from(mutated(seed).sources))
        if not error:
            assert_reads_agree(chain, random.Random(seed), reads=4)


@pytest.mark.corpus
@pytest.mark.parametrize("name", GENUINE)
def test_genuine_files_read_alike_looked_up_and_planned(corpus, name):
    with vhdx.open_chain(corpus(f"genuine/{name}")) as chain:
        assert_reads_agree(chain, random.Random(name), reads=40)


@pytest.mark.corpus
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("case", mutations(), ids=lambda case: case["name"])
def test_openvmms_damaged_files_read_alike_looked_up_and_planned(corpus, case, tmp_path):
    image, error = attempt(lambda: vhdx.open_image(mutate(corpus, case, tmp_path)))
    if not error:
        with image:
            assert_reads_agree(image, random.Random(case["name"]), reads=20)


def test_a_short_read_reads_no_more_of_the_tables_than_decides():
    fixture = fixture_of("bitmap-sparse")
    sources = [CountingSource(SparseSource(fixture.files[file])) for file in fixture.chain[::-1]]
    chain = chain_from(sources)
    stream = chain.stream()
    stream.read(4096)
    for source in sources:
        source.reads.clear()
    stream.seek(8192)
    stream.read(4096)
    assert sum(length for source in sources for _, length in source.reads) == 4096


@pytest.mark.slow
def test_what_is_kept_of_tables_is_bounded_however_much_of_a_large_disk_is_read():
    fixture = fixture_of("huge-small-blocks")
    chain, chance = chain_of([fixture.files[file] for file in fixture.chain[::-1]]), random.Random(1)
    stream = chain.stream()
    stream.read(1)
    tracemalloc.start()
    for _ in range(6000):
        stream.seek(chance.randrange(chain.size))
        stream.read(4096)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * MIB
