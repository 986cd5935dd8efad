"""A session of changes: whatever a crash leaves of it, the file is that of one commit, whole."""

import random
from pathlib import Path

import pytest

from fixtures import Block, BlockState, Identity, ImageSpec, encode, stamp
from fixtures.constants import MIB
from tests.support.crashing import Killed, PagedFile, Recorder, crash_states
from tests.support.plain_reader import PlainFile, disk_of
from vhdx.contents import Structures
from vhdx.edit.editor import Editor
from vhdx.edit.replaying import apply_log
from vhdx.edit.session import Order
from vhdx.errors import FileSystemFullError, OutputError
from vhdx.findings import Severity
from vhdx.image import image_of
from vhdx.structures.bat import BlockState as State

BASE = Path("base.vhdx")


def spec(size=3 * MIB, **more):
    blocks = {0: Block(state=BlockState.FULLY_PRESENT, data={3: stamp(3 * 512, 4096, 1)})}
    return ImageSpec(size=size, identity=Identity.of("base"), **{"blocks": blocks} | more)


def recorder(image, **more):
    return Recorder({BASE: PagedFile.of(encode(image), BASE)}, **more)


def put(editor, block, tag):
    """A whole new block."""
    place = editor.allocate(editor.geometry.block_size)
    data = stamp(block * editor.geometry.block_size, editor.geometry.block_size, tag)
    editor.session.write(place.start, data)
    editor.set_block(block, State.FULLY_PRESENT, place.start)
    return data


def edited(run):
    """Three steps over a base: the disks that it shows one after the other."""
    disks = [bytearray(disk_of([run.files[BASE]]))]
    with Editor(run.media[BASE]) as editor:
        for step, block in enumerate((1, 2, 0)):
            disks.append(disks[-1][:])
            disks[-1][block * MIB : (block + 1) * MIB] = put(editor, block, step + 2)
            editor.commit()
        editor.end()
    return disks


def test_every_crash_leaves_the_disk_of_one_commit():
    run = recorder(spec())
    disks = edited(run)
    reached = 0
    for words, files in crash_states(run, shuffled=1):
        disk = disk_of([files[BASE]])
        assert disk in disks, words
        number = disks.index(disk)
        assert number >= reached - 1, words  # at most the step that was under way is lost
        reached = max(reached, number)
        image = image_of(Structures(files[BASE]))
        assert not any(found.severity is Severity.ERROR for found in image.findings)
        assert image.read(0, image.size) == disk, words
    assert disk_of([run.files[BASE]]) == disks[-1]
    assert not PlainFile(run.files[BASE]).was_live


def test_a_log_that_a_crash_left_is_applied_and_a_crash_meanwhile_does_no_harm():
    first = recorder(spec())
    with Editor(first.media[BASE]) as editor:
        put(editor, 2, 5)
        first.stop_after = len(first.operations) + 3  # payload flushed, the log written and flushed
        with pytest.raises(Killed):
            editor.commit()
    assert PlainFile(first.files[BASE]).was_live
    wanted = disk_of([first.files[BASE]])
    again = Recorder(first.files)
    assert apply_log(again.media[BASE]) > 0
    for words, files in crash_states(again, shuffled=1):
        assert disk_of([files[BASE]]) == wanted, words
    assert not PlainFile(again.files[BASE]).was_live
    assert apply_log(again.media[BASE]) == 0


def test_what_is_not_committed_when_work_ends_leaves_no_trace():
    run = recorder(spec())
    before, size = disk_of([run.files[BASE]]), run.files[BASE].size
    with Editor(run.media[BASE]) as editor:
        put(editor, 2, 5)
    left = PlainFile(run.files[BASE])
    assert (left.was_live, run.files[BASE].size) == (False, size)
    assert disk_of([run.files[BASE]]) == before


@pytest.mark.parametrize("room", range(0, 12 * 4096, 4096))
def test_a_full_medium_costs_the_step_that_was_under_way_alone(room):
    run = recorder(spec(), room=MIB + room)
    disks = [disk_of([run.files[BASE]])]

    def work(editor):
        for block in (1, 2, 0):
            put(editor, block, block)
            editor.commit()
            disks.append(disk_of([run.files[BASE]]))

    with Editor(run.media[BASE]) as editor, pytest.raises(FileSystemFullError):
        work(editor)
    assert disk_of([run.files[BASE]]) == disks[-1]


def test_a_live_log_and_a_missing_one_are_refused_with_what_to_do():
    run = recorder(spec())
    Editor(run.media[BASE])  # begun, and never ended
    with pytest.raises(OutputError, match="vhdx repair"):
        Editor(run.media[BASE])
    with pytest.raises(OutputError, match="no log"):
        Editor(recorder(spec(log_length=0)).media[BASE])


def test_the_log_goes_round_and_reads_stay_those_of_a_model():
    size = 4 * MIB
    run, chance = recorder(spec(size, blocks={})), random.Random(4)
    model = bytearray(size)
    with Editor(run.media[BASE]) as editor:
        for step in range(12):
            block = chance.randrange(4)
            data = stamp(block * MIB, 4096, step + 1)
            place = editor.allocate_zeros(MIB)
            editor.session.write(place.start, data)
            editor.set_block(block, State.FULLY_PRESENT, place.start)
            model[block * MIB : (block + 1) * MIB] = data.ljust(MIB, b"\0")
            for at in range(0, 100 * 4096, 4096):  # pages enough to fill a ring of 1 MiB in three steps
                editor.session.stage(2 * MIB + 512 * 1024 + at, step.to_bytes(8, "little"), Order.METADATA)
            editor.commit()
            assert disk_of([run.files[BASE]]) == model
        editor.end()
    assert disk_of([run.files[BASE]]) == model
    assert run.files[BASE].size <= encode(spec(size, blocks={})).size + 5 * MIB  # what is let go is used again
