"""Entries of a whole table that changed places, put back by what their blocks hold."""

import random

import pytest

from analyzer.recover.rebuild.job import rebuild_tables
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB, LaidOut
from vhdx.contents import Structures

pytestmark = pytest.mark.slow


def swapped(made, one, other):
    """The file, with the contents of two blocks in one another's place."""
    front = bytearray(len(made.front))
    made.without(set()).read_into(0, memoryview(front))
    order = list(made.held)
    first, second = order.index(one), order.index(other)
    order[first], order[second] = other, one
    return LaidOut(front, made.flat, order, made.block_size)


def rebuilt(source, made):
    saved = rebuild_tables(Structures(source))
    return saved, saved.image.read(0, len(made.flat)) == made.flat


def disk(kind):
    if is_missing(kind):
        pytest.skip(f"nothing here makes {kind}")
    return disks.made(disks.volume(kind, 0), MIB, random.Random(f"{kind} swapped"))


# A backup superblock; the boot sector; the root of the tree of chunks.
@pytest.mark.parametrize(("kind", "telling"), [("ext4", 8), ("ntfs", 0), ("btrfs", 1)])
@pytest.mark.parametrize("as_on_disk", [True, False], ids=["as-on-disk", "other-way-round"])
def test_two_blocks_one_of_which_tells_its_place_are_put_back_as_likely(kind, telling, as_on_disk):
    made = disk(kind)
    place = made.held.index
    others = (block for block in made.held if block > telling + 1 and block not in made.trimmable)
    other = next(block for block in others if (place(block) > place(telling)) is as_on_disk)
    saved, is_right = rebuilt(swapped(made, telling, other), made)
    assert is_right
    assert {part.start // MIB for part in saved.doubted} == {telling, other}


def test_a_block_with_an_mbr_tells_that_it_is_the_first():
    if is_missing("fat32"):
        pytest.skip("nothing here makes FAT")
    made = disks.made(disks.partitioned(disks.volume("fat32", 0), "mbr"), 2 * MIB, random.Random(4))
    _, is_right = rebuilt(swapped(made, 0, made.held[-1] or made.held[0]), made)
    assert is_right


def test_a_whole_table_is_left_as_it_is():
    made = disk("ext4")
    saved, is_right = rebuilt(made.without(set()), made)
    assert is_right
    assert not saved.rebuilt


def test_blocks_that_tell_nothing_stay_where_their_entries_say():
    made = disks.made(random.Random(2).randbytes(8 * MIB), MIB, random.Random(3))
    saved, is_right = rebuilt(swapped(made, 1, 5), made)
    assert not is_right
    assert not saved.rebuilt
