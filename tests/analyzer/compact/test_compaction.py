"""Files made smaller in their place: the disk is the same at every moment, and the file as small as it can be."""

import random
from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.compact.free import FreeSpace
from analyzer.compact.plan import plan_compaction
from analyzer.compact.run import run_compaction
from analyzer.judgement.judge import judged
from fixtures import Block, BlockState, Identity, ImageSpec, Layout, Part, Provision, encode, stamp
from tests.analyzer.merge.chains import random_chain
from tests.analyzer.merge.helpers import disk, opened_chain, recorded
from tests.support.crashing import PagedFile, Recorder, crash_states, full_at_each_write, interrupted_at_each_step
from tests.support.plain_reader import PlainFile
from tests.support.strategies import stacks
from vhdx.chain import open_chain
from vhdx.contents import Structures
from vhdx.disk import Mask
from vhdx.errors import CorruptFileError, LostDataError, OutputError
from vhdx.ranges import Range, Ranges

MIB = 1 << 20


def compact(run, paths, free=None):
    plan = plan_compaction(opened_chain(run, paths), free)
    run_compaction(plan, lambda path: nullcontext(run.media[path]))
    return plan


def read_judged(files, paths):
    """The disk by the product, which takes data without an owner for loss where the table has become empty."""
    with judged(open_chain(paths[-1], parents=paths[-2::-1], opened=lambda path: Structures(files[path]))) as chain:
        return chain.read(0, chain.size)


def one_file(tmp_path, blocks, size=16 * MIB, **more):
    path = tmp_path / "disk.vhdx"
    file = encode(ImageSpec(size=size, identity=Identity.of("compact"), blocks=blocks, **more))
    return Recorder({path: PagedFile.of(file, path)}), [path]


def full(number, version=1):
    return Block(state=BlockState.FULLY_PRESENT, data={0: stamp(number * MIB, MIB, version)})


@pytest.mark.property
@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=stacks(min_layers=1, max_layers=3, max_mib=6), seed=st.integers(0, 999))
def test_a_random_chain_shows_the_same_disk_at_every_moment_and_a_new_plan_goes_on(stack, seed):
    run, paths = recorded(stack)
    wanted = bytes(stack.disks[-1].bytes)
    plan = compact(run, paths)
    assert disk(run.files, paths) == wanted
    assert not PlainFile(run.files[paths[-1]]).was_live
    assert run.media[paths[-1]].size == plan.size_after <= plan.file_size
    assert not plan_compaction(opened_chain(run, paths)).saved
    states = list(crash_states(run, seed=seed, shuffled=1))
    chosen = random.Random(seed).sample(states, min(len(states), 12))
    for words, files in chosen:
        assert disk(files, paths) == wanted, words
        assert read_judged(files, paths) == wanted, words
    words, files = chosen[0]
    again = Recorder(files)
    compact(again, paths)
    assert disk(again.files, paths) == wanted, words


def test_blocks_of_zeros_go_and_the_last_ones_move_into_their_places(tmp_path):
    zeros = Block(state=BlockState.FULLY_PRESENT, data={})
    run, paths = one_file(tmp_path, {0: zeros, 1: zeros, 2: full(2), 3: zeros, 4: full(4)})
    before = disk(run.files, paths)
    plan = compact(run, paths)
    assert plan.gone == (0, 1, 3)
    assert plan.saved == 3 * MIB
    assert plan.moved_bytes == 2 * MIB
    assert disk(run.files, paths) == before
    assert run.media[paths[0]].size == plan.size_after


@pytest.mark.slow
def test_tables_at_the_end_move_down_with_the_blocks_and_the_disk_is_the_same_at_every_moment(tmp_path):
    """A disk that outgrew its table has it there, and one with many items its metadata: nothing could be cut off."""
    zeros = Block(state=BlockState.FULLY_PRESENT, data={})
    places = Layout(region_mib={Part.BAT: 12, Part.METADATA: 13})
    run, paths = one_file(tmp_path, {0: zeros, 1: zeros, 2: full(2)}, size=4 * MIB, layout=places)
    before = disk(run.files, paths)
    plan = compact(run, paths)
    assert run.media[paths[0]].size == plan.size_after == 5 * MIB  # the front, a log, both regions, a block
    assert disk(run.files, paths) == before
    for number, (words, files) in enumerate(crash_states(run, shuffled=1)):
        assert disk(files, paths) == before, words
        if number % 16 == 0:
            assert read_judged(files, paths) == before, words
            again = Recorder(files)
            compact(again, paths)
            assert disk(again.files, paths) == before, words
            assert again.media[paths[0]].size == plan.size_after


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_ctrl_c_at_any_step_loses_nothing_although_tables_move(tmp_path):
    zeros = Block(state=BlockState.FULLY_PRESENT, data={})
    places = Layout(region_mib={Part.BAT: 12, Part.METADATA: 13})
    run, paths = one_file(tmp_path, {0: zeros, 1: zeros, 2: full(2)}, size=4 * MIB, layout=places)
    before = disk(run.files, paths)
    for stopped in interrupted_at_each_step(run.files, lambda run: compact(run, paths)):
        assert read_judged(stopped.files, paths) == before
        again = Recorder(stopped.files)
        compact(again, paths)
        assert disk(again.files, paths) == before


def test_a_trimmed_block_that_keeps_its_place_gives_it_back(tmp_path):
    run, paths = one_file(tmp_path, {0: Block(state=BlockState.UNMAPPED, data={0: stamp(0, MIB, 1)}), 1: full(1)})
    before = disk(run.files, paths)
    compact(run, paths)
    assert disk(run.files, paths) == before


def test_a_file_that_is_as_small_as_it_can_be_is_left_as_it_is(tmp_path):
    run, paths = one_file(tmp_path, {0: full(0), 1: full(1)})
    plan = plan_compaction(opened_chain(run, paths))
    assert (plan.saved, plan.moves, plan.gone) == (0, (), ())


def test_free_space_of_volumes_goes_and_the_identity_changes_with_it(tmp_path):
    run, paths = one_file(tmp_path, {number: full(number) for number in range(4)})
    model, identity = bytearray(disk(run.files, paths)), PlainFile(run.files[paths[0]]).data_write_guid
    free = FreeSpace(Ranges.of([Range(MIB, MIB), Range(3 * MIB - 4096, 4096)]))
    plan = compact(run, paths, free)
    assert plan.gone == (1,)
    model[MIB : 2 * MIB] = bytes(MIB)
    assert disk(run.files, paths) == model
    assert PlainFile(run.files[paths[0]]).data_write_guid != identity


def test_the_identity_stays_where_the_disk_shows_what_it_did(tmp_path):
    run, paths = one_file(tmp_path, {0: Block(state=BlockState.FULLY_PRESENT, data={}), 1: full(1)})
    identity = PlainFile(run.files[paths[0]]).data_write_guid
    compact(run, paths)
    assert PlainFile(run.files[paths[0]]).data_write_guid == identity


def test_a_fixed_file_is_refused_with_the_way_out(tmp_path):
    run, paths = one_file(
        tmp_path, {number: full(number) for number in range(4)}, size=4 * MIB, provision=Provision.FIXED
    )
    with pytest.raises(OutputError, match="vhdx convert"):
        plan_compaction(opened_chain(run, paths))


def test_a_damaged_table_is_refused(tmp_path):
    run, paths = one_file(tmp_path, {0: full(0), 1: Block(state=BlockState.FULLY_PRESENT, data={}, offset_mib=9000)})
    with pytest.raises(CorruptFileError):
        plan_compaction(opened_chain(run, paths))


def test_a_file_whose_table_lost_entries_keeps_what_has_no_owner(tmp_path):
    run, paths = one_file(tmp_path, {0: full(0), 1: Block(state=BlockState.FULLY_PRESENT, data={})})
    chain = opened_chain(run, paths)
    doubted = Mask.of(Ranges.of([Range(4 * MIB, MIB)]), chain.size, "its entry was lost")
    with pytest.raises(LostDataError, match="its entry was lost"):
        plan_compaction(replace(chain, layers=(replace(chain.leaf, masks=(doubted,)),)))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_on_a_medium_that_is_full_at_any_write_nothing_is_lost_and_nothing_seems_to_be(seed):
    files, paths, wanted = random_chain(random.Random(seed))
    for run in full_at_each_write(files, lambda run: compact(run, paths)):
        assert read_judged(run.files, paths) == wanted
        again = Recorder(run.files)
        compact(again, paths)
        assert disk(again.files, paths) == wanted
