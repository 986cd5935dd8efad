"""Chains with a layer taken out: what is known is right, and everything that may depend on the layer is said."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.recover.disk.filled import Fill, FilledDisk
from analyzer.recover.inputs.layers import Presence
from analyzer.recover.inputs.order import NothingToRecoverError, UnusedBaseError
from analyzer.recovery_map.mapfile import Status
from fixtures import BitmapState, Block, BlockState, Identity, ImageSpec, LocatorSpec, encode, stamp
from tests.analyzer.recover.disks import disk_of, expected_without, gathered, looks_wiped, statuses
from tests.support.strategies import name_of, stacks
from vhdx.reader import Reader

pytestmark = pytest.mark.slow


def whole_stacks(**limits):
    """Chains in which no bitmap looks as if it had been wiped, and no block table as if it had lost an entry."""
    return stacks(max_mib=6, **limits).filter(lambda stack: not looks_wiped(stack.specs) and not _lost_one(stack.specs))


def _lost_one(specs):
    """Whether data is in a file for a block whose entry says that nothing is there: such an entry is in doubt."""
    blocks = (block for spec in specs for block in spec.blocks.values())
    return any(block.state is BlockState.NOT_PRESENT and block.data for block in blocks)


def without(stack, missing):
    return {name_of(number): file for number, file in enumerate(stack.files) if number != missing}


@given(whole_stacks(min_layers=2, max_layers=4), st.data())
def test_every_sector_is_what_the_model_says_when_any_layer_but_the_leaf_is_gone(stack, data):
    missing = data.draw(st.integers(0, len(stack.specs) - 2))
    disk = disk_of(gathered(without(stack, missing)))
    sector = disk.sector_size
    found = statuses(disk)
    assert found == expected_without(stack.specs, missing, sector)
    content = Reader(FilledDisk(disk, Fill.ZERO)).read(0, disk.size)
    for number, status in enumerate(found):
        place = slice(number * sector, (number + 1) * sector)
        if status is Status.KNOWN:
            assert content[place] == bytes(stack.disks[-1].bytes[place])
        elif status is Status.LOST:
            assert content[place] == bytes(sector)


@given(whole_stacks(min_layers=1, max_layers=4), st.randoms())
def test_a_whole_chain_is_known_end_to_end_in_whatever_order_its_files_are_named(stack, random):
    files = list(without(stack, None).items())
    random.shuffle(files)
    disk = disk_of(gathered(dict(files)))
    assert set(statuses(disk)) == {Status.KNOWN}
    assert Reader(FilledDisk(disk, Fill.ZERO)).read(0, disk.size) == bytes(stack.disks[-1].bytes)


@given(whole_stacks(min_layers=2, max_layers=4), st.data())
def test_a_layer_that_does_not_open_is_as_one_that_is_gone(stack, data):
    missing = data.draw(st.integers(0, len(stack.specs) - 2))
    found = gathered(without(stack, None), broken=[name_of(missing)])
    assert Presence.UNREADABLE in {level.presence for level in found.levels}
    disk = disk_of(found)
    assert statuses(disk) == expected_without(stack.specs, missing, disk.sector_size)


@given(stacks(min_layers=2, max_layers=4, max_mib=6))
def test_what_is_below_an_assumed_base_is_stale_and_never_lost(stack):
    files = without(stack, 0) | {"other.vhdx": stack.files[0]}
    if len(stack.specs) > 2:
        del files[name_of(1)]
    found = gathered(files, assumed="other.vhdx")
    assert set(statuses(disk_of(found))) <= {Status.KNOWN, Status.STALE}


@given(stacks(min_layers=2, max_layers=4, max_mib=6))
def test_what_is_known_of_a_whole_chain_is_right_even_where_bitmaps_look_wiped(stack):
    disk = disk_of(gathered(without(stack, None)))
    content = Reader(FilledDisk(disk, Fill.ZERO)).read(0, disk.size)
    for number, status in enumerate(statuses(disk)):
        place = slice(number * disk.sector_size, (number + 1) * disk.sector_size)
        if status is Status.KNOWN:
            assert content[place] == bytes(stack.disks[-1].bytes[place])


def test_no_file_that_opens_is_an_error_with_the_reasons():
    file = encode(ImageSpec(size=1 << 20, identity=Identity.of("x")))
    with pytest.raises(NothingToRecoverError, match=r"x\.vhdx"):
        gathered({"x.vhdx": file}, broken=["x.vhdx"])


def a_chain(depth):
    """A chain of `depth` files in which layer n holds sector n alone, {name: file}, base first."""
    specs = [ImageSpec(size=1 << 20, identity=Identity.of("chain-0", disk="chain"), block_size=1 << 20)]
    for number in range(1, depth):
        parent = LocatorSpec.full(f".\\{name_of(number - 1)}", specs[-1].data_write_guid)
        block = Block(state=BlockState.PARTIALLY_PRESENT, data={number: stamp(number * 512, 512, number)})
        identity = Identity.of(f"chain-{number}", disk="chain")
        specs.append(
            replace(specs[0], identity=identity, parent=parent, blocks={0: block}, bitmaps={0: BitmapState.PRESENT})
        )
    return {name_of(number): encode(spec) for number, spec in enumerate(specs)}


def test_a_base_that_is_assumed_beside_one_that_is_there_is_refused():
    files = a_chain(3)
    with pytest.raises(UnusedBaseError, match="--assume-base"):
        gathered(files | {"other.vhdx": files[name_of(0)]}, assumed="other.vhdx")


def test_an_assumed_base_that_does_not_open_is_a_gap_with_its_reason():
    files = a_chain(3)
    del files[name_of(0)]
    found = gathered(files | {"other.vhdx": a_chain(1)[name_of(0)]}, assumed="other.vhdx", broken=["other.vhdx"])
    assert found.levels[0].presence is Presence.UNREADABLE
    assert Status.LOST in statuses(disk_of(found))


def test_two_gaps_in_one_chain_leave_nothing_known_for_no_link_tells_which_part_is_newer():
    files = a_chain(6)
    for gone in (2, 4):
        del files[name_of(gone)]
    found = gathered(files)
    kept = [level.path.name if level.path else None for level in found.levels]
    assert kept[0] == name_of(0)
    assert kept.count(None) == 2
    assert Status.KNOWN not in statuses(disk_of(found))
    assert sum("order of the files is not certain" in finding.message for finding in found.findings) == 2


def test_below_a_leaf_that_does_not_open_everything_is_an_older_state():
    found = gathered(a_chain(3), broken=[name_of(2)])
    assert [level.presence for level in found.levels] == [Presence.PRESENT, Presence.PRESENT, Presence.UNREADABLE]
    assert set(statuses(disk_of(found))) == {Status.STALE}
