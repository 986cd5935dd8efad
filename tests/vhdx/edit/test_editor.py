"""Blocks, bits and room: what OpenVMM's writer got wrong must not come back here."""

from pathlib import Path
from uuid import UUID

import pytest

from fixtures import BitmapState, Block, BlockState, Identity, ImageSpec, Layout, LocatorSpec, Region, encode, stamp
from fixtures.constants import MIB
from tests.support.crashing import PagedFile, Recorder
from tests.support.plain_reader import PlainFile, disk_of
from vhdx.edit.editor import Editor
from vhdx.ranges import Range, Ranges
from vhdx.structures.bat import BlockState as State

BASE, CHILD = Path("base.vhdx"), Path("child.avhdx")
SIZE = 8 * MIB


def base(**more):
    blocks = {number: Block(state=BlockState.FULLY_PRESENT, data={0: stamp(number * MIB, MIB, 1)}) for number in (0, 2)}
    return ImageSpec(size=SIZE, identity=Identity.of("base"), **{"blocks": blocks} | more)


def child(blocks, **more):
    locator = LocatorSpec.full(".\\base.vhdx", base().data_write_guid)
    return ImageSpec(size=SIZE, identity=Identity.of("child"), parent=locator, blocks=blocks, **more)


def recorder(*specs):
    return Recorder({path: PagedFile.of(encode(one), path) for path, one in zip((BASE, CHILD), specs, strict=False)})


def own(*parts):
    return Ranges.of(Range(start, length) for start, length in parts)


@pytest.mark.parametrize("stale", [(range(2048),), (range(3, 9), range(100, 101))])
def test_a_block_that_becomes_partial_has_all_its_bits_set_afresh(stale):
    """Trimmed, then one sector written: OpenVMM leaves the old bits, and another block's old bytes appear."""
    absent = Block(state=BlockState.NOT_PRESENT, bits=stale)
    run = recorder(base(), child({2: absent}, bitmaps={0: BitmapState.PRESENT}))
    model = bytearray(disk_of([run.files[BASE], run.files[CHILD]]))
    with Editor(run.media[CHILD]) as editor:
        place = editor.allocate(MIB)
        editor.session.write(place.start, bytes([9]) * MIB)  # what stands in the block and is not its own
        editor.claim_all(2, own((2 * MIB + 5 * 512, 512)))
        editor.set_block(2, State.PARTIALLY_PRESENT, place.start)
        editor.end()
    model[2 * MIB + 5 * 512 : 2 * MIB + 6 * 512] = bytes([9]) * 512
    assert disk_of([run.files[BASE], run.files[CHILD]]) == model


def test_bits_are_added_by_the_sector():
    data = {3: stamp(2 * MIB + 3 * 512, 512, 7)}
    run = recorder(base(), child({2: Block(state=BlockState.PARTIALLY_PRESENT, data=data)}))
    model = bytearray(disk_of([run.files[BASE], run.files[CHILD]]))
    with Editor(run.media[CHILD]) as editor:
        place, sector = editor.entry(2).file_offset, 2 * MIB + 10 * 512
        editor.session.write(place + 10 * 512, bytes([8]) * 1024)
        editor.claim(2, own((sector, 1024)))
        editor.commit()
        model[sector : sector + 1024] = bytes([8]) * 1024
        assert disk_of([run.files[BASE], run.files[CHILD]]) == model
        editor.end()
    assert disk_of([run.files[BASE], run.files[CHILD]]) == model


def test_an_entry_that_is_let_go_keeps_no_place():
    """OpenVMM keeps offsets in NOT_PRESENT entries, and Hyper-V fails on those of ZERO."""
    run = recorder(base())
    with Editor(run.media[BASE]) as editor:
        editor.set_block(0, State.ZERO)
        editor.set_block(2, State.NOT_PRESENT)
        editor.end()
    left = PlainFile(run.files[BASE])
    assert (left.block(0), left.block(2)) == ((2, 0), (0, 0))


@pytest.mark.parametrize("state", [BlockState.UNMAPPED, BlockState.UNDEFINED])
def test_a_place_that_an_absent_block_keeps_is_never_taken(state):
    kept = Block(state=state, data={0: stamp(3 * MIB, MIB, 4)})
    run = recorder(base(blocks={3: kept}))
    with Editor(run.media[BASE]) as editor:
        taken = Ranges.of(Range(place.start, place.length) for place in (editor.allocate(MIB) for _ in range(6)))
        anchor = editor.entry(3).file_offset
    assert not taken.touches(Range(anchor, MIB))


def test_a_region_that_nobody_knows_is_never_taken():
    stranger = Region(guid=UUID(int=77), data=b"mine", length_mib=3)
    run = recorder(base(regions=(stranger,), layout=Layout(gap_mib=2)))
    place, length = PlainFile(run.files[BASE]).regions[str(stranger.guid)]
    with Editor(run.media[BASE]) as editor:
        taken = Ranges.of(Range(one.start, one.length) for one in (editor.allocate(MIB) for _ in range(12)))
        claimed = Ranges.of(Range(start, size) for start, size, _ in PlainFile(run.files[BASE]).claims())
    assert not len(taken & claimed)
    assert not taken.touches(Range(place, length))


def test_gaps_are_taken_before_the_file_grows_and_what_they_held_never_shows():
    run = recorder(base(layout=Layout(gap_mib=2)))
    run.media[BASE].file.put(5 * MIB, b"old" * 1000)
    size, model = run.files[BASE].size, bytearray(disk_of([run.files[BASE]]))
    with Editor(run.media[BASE]) as editor:
        for block in (4, 5, 6):
            place = editor.allocate_zeros(MIB)
            editor.session.write(place.start + 512, bytes([block]) * 512)
            editor.set_block(block, State.FULLY_PRESENT, place.start)
            model[block * MIB + 512 : block * MIB + 1024] = bytes([block]) * 512
        editor.end()
    assert run.files[BASE].size == size
    assert disk_of([run.files[BASE]]) == model


def test_room_that_is_given_back_is_taken_only_after_that_is_durable():
    run = recorder(base())
    with Editor(run.media[BASE]) as editor:
        old = editor.entry(0).file_offset
        editor.set_block(0, State.ZERO)
        assert editor.allocate(MIB).start != old
        editor.commit()
        assert editor.allocate(MIB).start == old
        editor.end()


def test_a_file_whose_end_is_no_whole_mib_grows_from_the_next_one():
    run = recorder(base(layout=Layout(tail_bytes=512)))
    with Editor(run.media[BASE]) as editor:
        place = editor.allocate(2 * MIB)
    assert place.start % MIB == 0
    assert place.start >= encode(base()).size
