"""Upper layers to one differencing file on a layer that stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vhdx
from analyzer.convert.merge_upper import block_states, plan_merge_upper
from analyzer.convert.model import Options
from fixtures import RECIPES, Verdict, write_files
from tests.analyzer.convert.helpers import (
    MIB,
    SEEDED,
    assert_blocks_are_apart,
    assert_new_file_of_the_same_disk,
    assert_no_full_block_is_zeros,
    merge,
    reads_as,
)
from tests.support.catalogue import fixture_of
from tests.support.corpus_files import file_hash
from tests.support.laws import same
from tests.support.strategies import stacks
from vhdx.errors import LostDataError, NoSuchLayerError, OutputError
from vhdx.runs import Kind, RunTable, concatenate
from vhdx.structures.bat import BlockState
from vhdx.structures.locator import LINKAGE, RELATIVE_PATH

pytestmark = pytest.mark.slow


@settings(max_examples=40)
@given(stack=stacks(min_layers=2), data=st.data())
def test_the_upper_layers_of_a_random_chain_become_one_that_reads_the_same(tmp_path_factory, stack, data):
    folder = tmp_path_factory.mktemp("merge")
    paths = stack.write_to(folder)
    hashes = [file_hash(path) for path in paths]
    kept = data.draw(st.integers(0, len(paths) - 2))
    block_size = data.draw(st.sampled_from((None, None, MIB, 2 * MIB, 8 * MIB)))
    target = folder / "merged.avhdx"
    options = Options(block_size=block_size, identities=SEEDED.identities)
    with vhdx.open_chain(paths[-1]) as chain:
        outcome = merge(chain, paths[kept], target, options)
        with vhdx.open_chain(target) as merged:
            assert [layer.path for layer in merged.layers] == [*paths[: kept + 1], target]
            assert merged.read(0, merged.size) == stack.disks[-1].bytes
            assert_new_file_of_the_same_disk(merged.leaf, chain, chain.layers)
            assert_blocks_are_apart(merged.leaf)
            assert merged.leaf.parameters.block_size == (block_size or chain.leaf.parameters.block_size)
            holes = [concatenate(disk.windows_above(kept + 1)).of_kind(Kind.HOLE) for disk in (chain, merged)]
            assert [(run.start, run.length) for run in holes[0]] == [(run.start, run.length) for run in holes[1]]
            locator = merged.leaf.locator
            assert locator.get(LINKAGE) == f"{{{chain.layers[kept].data_write_guid}}}"
            assert locator.get(RELATIVE_PATH) == f".\\{paths[kept].name}"
    assert outcome.layers == len(paths) - kept - 1
    assert [file_hash(path) for path in paths] == hashes


@settings(max_examples=40)
@given(stack=stacks(min_layers=2))
def test_a_merge_holds_no_full_block_that_reads_as_zeros(tmp_path_factory, stack):
    folder = tmp_path_factory.mktemp("merge")
    paths = stack.write_to(folder)
    with vhdx.open_chain(paths[-1]) as chain:
        merge(chain, paths[0], folder / "merged.avhdx")
    with vhdx.open_image(folder / "merged.avhdx") as image:
        assert_no_full_block_is_zeros(image)


@settings(max_examples=10)
@given(stack=stacks(min_layers=2, max_layers=3))
def test_the_same_identities_give_the_same_bytes(tmp_path_factory, stack):
    folder = tmp_path_factory.mktemp("twice")
    paths = stack.write_to(folder)
    with vhdx.open_chain(paths[-1]) as chain:
        for name in ("one.avhdx", "two.avhdx"):
            merge(chain, paths[0], folder / name)
    assert file_hash(folder / "one.avhdx") == file_hash(folder / "two.avhdx")


CHAINS = [
    name
    for name, recipe in RECIPES.items()
    if recipe.verdict is Verdict.GOOD
    and name.startswith(("chain-3", "chain-6", "mixed", "short", "child", "states", "demo"))
]


@pytest.mark.parametrize("name", [*CHAINS, "bitmap-dense", "bitmap-sparse", "bitmap-4096", "log-parent", "locator-up"])
def test_the_chains_of_the_catalogue_can_be_merged_onto_every_layer(tmp_path, name):
    fixture = fixture_of(name)
    write_files(fixture, tmp_path)
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(tmp_path / fixture.leaf) as chain:
        for kept, layer in enumerate(chain.layers[:-1]):
            merge(chain, layer.path, tmp_path / f"merged{kept}.avhdx")
    for kept in range(len(fixture.chain) - 1):
        assert reads_as(tmp_path / f"merged{kept}.avhdx") == model.read(0, model.size)


def test_bitmaps_of_several_chunks_are_written_each_in_its_place(tmp_path):
    fixture = fixture_of("bitmap-second-chunk")
    write_files(fixture, tmp_path)
    base = tmp_path / fixture.chain[-1]
    with vhdx.open_chain(tmp_path / fixture.leaf) as chain:
        merge(chain, base, tmp_path / "merged.avhdx")
        with vhdx.open_chain(tmp_path / "merged.avhdx") as merged:
            for run in chain.runs():
                if run.kind is Kind.DATA:
                    assert merged.read(run.start, run.length) == chain.read(run.start, run.length)
            kinds = [[(run.start, run.length, run.kind) for run in disk.runs()] for disk in (chain, merged)]
            assert kinds[0] == kinds[1]


def test_merging_a_merge_again_changes_nothing(tmp_path):
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path)
    base = tmp_path / fixture.chain[-1]
    with vhdx.open_chain(tmp_path / fixture.leaf) as chain:
        merge(chain, base, tmp_path / "one.avhdx")
    with vhdx.open_chain(tmp_path / "one.avhdx") as chain:
        merge(chain, base, tmp_path / "two.avhdx")
    with vhdx.open_chain(tmp_path / "one.avhdx") as first, vhdx.open_chain(tmp_path / "two.avhdx") as second:
        assert same(first.leaf.runs(), second.leaf.runs())


def test_a_merge_into_another_folder_names_its_parent_from_there(tmp_path):
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path / "vm")
    (tmp_path / "out" / "deep").mkdir(parents=True)
    target = tmp_path / "out" / "deep" / "merged.avhdx"
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(tmp_path / "vm" / fixture.leaf) as chain:
        merge(chain, chain.base.path, target)
    assert reads_as(target) == model.read(0, model.size)


def test_the_leaf_itself_and_strangers_cannot_be_kept(tmp_path):
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path)
    with vhdx.open_chain(tmp_path / fixture.leaf) as chain:
        for base in (chain.path, tmp_path / "stranger.vhdx"):
            with pytest.raises(NoSuchLayerError) as caught:
                plan_merge_upper(chain, base, tmp_path / "x.avhdx", SEEDED)
            assert caught.value.exit_code == 2
        with pytest.raises(OutputError):
            plan_merge_upper(chain, chain.base.path, tmp_path / "x.avhdx", Options(block_size=5))


def test_what_only_the_kept_layer_has_lost_does_not_stop_a_merge(tmp_path):
    """The upper layers are whole: their merge is what rescues them from a damaged base."""
    from fixtures import encode
    from fixtures.recipes.bad_blocks import with_block
    from fixtures.recipes.kit import child_of, disk
    from fixtures.recipes.states import Block, Brush
    from fixtures.recipes.states import BlockState as State

    base = with_block(disk("lost"), Block(state=State.RESERVED_4))
    child = child_of(
        base, "lost-child", {2: Brush(tag=3).partial(2, range(2048)), 4: Brush(tag=3).partial(4, range(9))}
    )
    encode(base).write_to(tmp_path / "base.vhdx")
    encode(child).write_to(tmp_path / "child.avhdx")
    with vhdx.open_chain(tmp_path / "child.avhdx") as chain:
        merge(chain, tmp_path / "base.vhdx", tmp_path / "merged.avhdx")
        expected = chain.read(0, chain.size)
    assert reads_as(tmp_path / "merged.avhdx") == expected


def test_what_an_upper_layer_has_lost_stops_a_merge(tmp_path):
    fixture = fixture_of("partial-without-bitmap")
    write_files(fixture, tmp_path)
    with vhdx.open_chain(tmp_path / fixture.leaf) as chain, pytest.raises(LostDataError):
        plan_merge_upper(chain, chain.base.path, tmp_path / "x.avhdx", SEEDED)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(0, 4 * MIB, Kind.HOLE)], [BlockState.NOT_PRESENT] * 2),
        ([(0, 4 * MIB, Kind.DATA)], [BlockState.FULLY_PRESENT] * 2),
        ([(0, 4 * MIB, Kind.ZERO)], [BlockState.ZERO] * 2),
        ([(0, 2 * MIB, Kind.TRIM), (2 * MIB, 2 * MIB, Kind.HOLE)], [BlockState.ZERO, BlockState.NOT_PRESENT]),
        (
            [(0, 512, Kind.DATA), (512, 4 * MIB - 512, Kind.HOLE)],
            [BlockState.PARTIALLY_PRESENT, BlockState.NOT_PRESENT],
        ),
        (
            [(0, 512, Kind.ZERO), (512, 4 * MIB - 512, Kind.HOLE)],
            [BlockState.PARTIALLY_PRESENT, BlockState.NOT_PRESENT],
        ),
        ([(0, 3 * MIB, Kind.ZERO), (3 * MIB, MIB, Kind.DATA)], [BlockState.ZERO, BlockState.FULLY_PRESENT]),
    ],
)
def test_the_state_of_a_block_follows_from_what_it_holds(runs, expected):
    table = RunTable.of([(start, length, kind, 0, 0) for start, length, kind in runs])
    assert block_states(table, 0, 4 * MIB, 2 * MIB).tolist() == expected
