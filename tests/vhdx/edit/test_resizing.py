"""Another size for a disk, in its file: at every moment it shows one of the two disks."""

from pathlib import Path
from uuid import UUID

import pytest

from fixtures import Block, BlockState, Identity, ImageSpec, Item, LocatorSpec, Provision, encode, stamp
from fixtures.constants import MIB
from tests.support.crashing import PagedFile, Recorder, crash_states
from tests.support.plain_reader import PlainFile, disk_of
from vhdx.contents import Structures
from vhdx.edit.editor import Editor
from vhdx.edit.metadata import locator_of, stage_items, stage_locator
from vhdx.edit.resizing import grow, shrink
from vhdx.image import image_of
from vhdx.structures.constants import PARENT_LOCATOR
from vhdx.structures.metadata import MetadataItem

BASE, CHILD = Path("base.vhdx"), Path("child.avhdx")
FULL, PARTIAL, ABSENT = BlockState.FULLY_PRESENT, BlockState.PARTIALLY_PRESENT, BlockState.NOT_PRESENT
ODD = 3 * MIB + 512 * 5  # the last block hangs over


def data(block, start=0, length=MIB):
    return {start // 512: stamp(block * MIB + start, length, 3)}


def base(size=ODD, **more):
    blocks = {0: Block(state=FULL, data=data(0)), 3: Block(state=FULL, data=data(3))}
    return ImageSpec(size=size, identity=Identity.of("base"), **{"blocks": blocks} | more)


def child(parent, last, size=ODD):
    """A child with this last block; a partial one has all of its data, and few of the bits."""
    locator = LocatorSpec.full(".\\base.vhdx", parent.data_write_guid)
    blocks = {3: last, 1: Block(state=PARTIAL, data=data(1, 512, 512))}
    return ImageSpec(size=size, identity=Identity.of("child"), parent=locator, blocks=blocks)


LASTS = {
    "full": Block(state=FULL, data=data(3)),
    "partial": Block(state=PARTIAL, data=data(3), bits=(range(1, 3),)),
    "absent": Block(state=ABSENT),
    "zero": Block(state=BlockState.ZERO),
}


def recorder(*specs):
    return Recorder({path: PagedFile.of(encode(one), path) for path, one in zip((BASE, CHILD), specs, strict=False)})


def assert_shows_one(run, paths, disks, work):
    """Whatever a crash leaves reads as one of the two disks, at the end as the last one."""
    work()
    for words, files in crash_states(run, shuffled=1):
        assert disk_of([files[path] for path in paths]) in disks, words
    assert disk_of([run.files[path] for path in paths]) == disks[1]
    image = image_of(Structures(run.files[paths[-1]]))
    assert image.size == len(disks[1])
    assert not any(len(some) for some in image.table.damaged_blocks())


def resized(run, path, change, *arguments, **more):
    def work():
        with Editor(run.media[path], data_write_guid=None) as editor:
            change(editor, *arguments, **more)
            editor.end()

    return work


@pytest.mark.parametrize("provision", Provision)
def test_a_base_grows_by_zeros_whatever_stood_behind_its_end(provision):
    run = recorder(base(provision=provision))
    old = disk_of([run.files[BASE]])
    new = old + bytes(7 * MIB - len(old))
    assert_shows_one(run, [BASE], (old, new), resized(run, BASE, grow, 7 * MIB))
    states = [PlainFile(run.files[BASE]).block(number)[0] for number in (4, 5, 6)]
    assert states == ([6] * 3 if provision is Provision.FIXED else [0] * 3)


@pytest.mark.parametrize("last", LASTS)
@pytest.mark.parametrize("below", [ODD, 9 * MIB])
def test_a_child_grows_by_zeros_though_its_parent_has_something_there(last, below):
    blocks = {number: Block(state=FULL, data=data(number)) for number in range(9) if number * MIB < below}
    parent = base(below, blocks=blocks)
    run = recorder(parent, child(parent, LASTS[last]))
    old = disk_of([run.files[BASE], run.files[CHILD]])
    new = old + bytes(7 * MIB - len(old))
    assert_shows_one(run, [BASE, CHILD], (old, new), resized(run, CHILD, grow, 7 * MIB, zeros_until=below))


@pytest.mark.parametrize("size", [512, 2 * MIB, 3 * MIB])
def test_a_disk_shrinks_and_lets_its_further_blocks_go(size):
    run = recorder(base(5 * MIB))
    old = disk_of([run.files[BASE]])
    assert_shows_one(run, [BASE], (old, old[:size]), resized(run, BASE, shrink, size))
    left = PlainFile(run.files[BASE])
    assert [left.entry(slot) for slot in range(-(-size // MIB), 5)] == [(0, 0)] * (5 - -(-size // MIB))


def test_a_table_without_room_moves_and_its_old_place_is_free():
    run = recorder(base(ODD))
    size = 129 << 30  # entries of 1.03 MiB
    with Editor(run.media[BASE]) as editor:
        old = editor.table.bat_offset
        grow(editor, size)
        assert editor.table.bat_offset != old
        assert editor.allocate(MIB).start == old
        editor.end()
    for words, files in list(crash_states(run, shuffled=0))[::4]:
        left = PlainFile(files[BASE])
        assert left.size in {ODD, size}, words
        assert left.file.read(left.block(0)[1], MIB) == data(0)[0], words
    assert image_of(Structures(run.files[BASE])).read(3 * MIB, 512) == data(3)[0][:512]


def test_a_bitmap_entry_that_padding_left_is_not_believed_when_the_disk_grows():
    parent = base(300 << 30, blocks={})
    run = recorder(parent, child(parent, LASTS["absent"], size=3 << 30))
    left = PlainFile(run.files[CHILD])
    start, length = left.regions["2dc27766-f623-4200-9d64-115e9bfd4a08"]
    run.media[CHILD].file.put(start + 4097 * 8, b"\x06\0\0\0\0\xff\xff\0" * ((length - 4097 * 8) // 8))
    with Editor(run.media[CHILD]) as editor:
        grow(editor, 7 << 30)
        editor.end()
    grown = PlainFile(run.files[CHILD])
    assert [grown.bitmap(chunk)[0] for chunk in (0, 1)] == [6, 0]


def test_items_change_in_their_place_or_in_free_room_and_a_region_without_room_moves():
    mine = UUID(int=99)
    parent = base()
    run = recorder(parent, child(parent, LASTS["full"]))
    before = PlainFile(run.files[CHILD])
    with Editor(run.media[CHILD]) as editor:
        pairs = {entry.key: entry.value for entry in locator_of(editor).entries}
        for number, pairs["parent_linkage2"] in enumerate(("{" + str(UUID(int=5)) + "}", "x" * 9000)):
            editor.commit()
            stage_locator(editor, pairs.items())
            editor.commit_whole()
            assert PlainFile(run.files[CHILD]).locator == pairs, number
        stage_items(editor, [MetadataItem(mine, 2, b"1" * 900_000), MetadataItem(UUID(int=98), 1, b"")])
        editor.commit_whole()
        moved = PlainFile(run.files[CHILD])
        assert moved.regions != before.regions
        stage_items(editor, [], dropped=[(mine, False)])
        editor.commit_whole()
        editor.end()
    after = PlainFile(run.files[CHILD])
    assert moved.items[str(mine)] == b"1" * 900_000
    assert set(after.items) == set(before.items) | {f"user {UUID(int=98)}"}
    kept = {key: value for key, value in after.items.items() if key in before.items and key != str(PARENT_LOCATOR)}
    assert kept == {key: value for key, value in before.items.items() if key != str(PARENT_LOCATOR)}
    assert after.locator == pairs


def test_whole_changes_are_whole_after_every_crash():
    parent = base(items={UUID(int=9): Item(data=b"old" * 40, flags=2)})
    run = recorder(parent)
    wanted = {str(UUID(int=9)): b"new" * 5000, str(UUID(int=8)): b"more"}
    with Editor(run.media[BASE]) as editor:
        stage_items(editor, [MetadataItem(UUID(key), 2, value) for key, value in wanted.items()])
        editor.commit_whole()
        editor.end()
    for words, files in crash_states(run, shuffled=2):
        items = PlainFile(files[BASE]).items
        assert items.get(str(UUID(int=8))) in {None, b"more"}, words
        is_new = str(UUID(int=8)) in items
        assert items[str(UUID(int=9))] == (b"new" * 5000 if is_new else b"old" * 40), words
