"""Files of ext2 and ext3, whose blocks are named by blocks of numbers."""

import struct
from dataclasses import replace

import pytest

from analyzer.guest.layouts.ext_inodes import LEAST_SIZE, block_map_holds, parse_inode
from analyzer.witnesses.claims import claims_of
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.recover.disasters.evidence import Flat

BLOCK = 1024


def inode(size, numbers):
    raw = bytearray(LEAST_SIZE)
    struct.pack_into("<H2xI", raw, 0, 0x81A4, size)
    struct.pack_into("<15I", raw, 40, *numbers, *[0] * (15 - len(numbers)))
    return parse_inode(bytes(raw))


def placed(found, blocks):
    nodes = []
    return list(found.placed(BLOCK, lambda at, length: blocks.get(at // BLOCK), nodes)), nodes


def test_blocks_that_stand_side_by_side_are_one_piece():
    parts, nodes = placed(inode(13 * BLOCK, [*range(20, 32), 90]), {90: struct.pack("<256I", 33, *[0] * 255)})
    assert parts == [(0, 20 * BLOCK, 12 * BLOCK), (12 * BLOCK, 33 * BLOCK, BLOCK)]
    assert nodes == [90 * BLOCK]


def test_a_block_of_numbers_of_such_blocks_is_followed_in_the_order_of_the_file():
    blocks = {90: struct.pack("<256I", *range(1000, 1256)), 91: struct.pack("<256I", 92, 93, *[0] * 254)}
    blocks |= {92: struct.pack("<256I", *range(2000, 2256)), 93: struct.pack("<256I", 3000, *[0] * 255)}
    parts, nodes = placed(inode(600 * BLOCK, [0] * 12 + [90, 91]), blocks)
    assert [offset // BLOCK for offset, _, _ in parts] == [12, 268, 524]
    assert nodes == [at * BLOCK for at in (90, 91, 92, 93)]


def test_a_block_of_numbers_that_names_itself_is_read_once():
    parts, nodes = placed(inode((1 << 32) - 1, [0] * 12 + [0, 0, 90]), {90: struct.pack("<256I", *[90] * 256)})
    assert (parts, nodes) == ([], [90 * BLOCK])


@pytest.mark.parametrize(("blocks", "is_endless"), [(12 + 256 + 256**2 + 256**3, False), (1 << 52, True)])
def test_a_file_of_more_blocks_than_its_trees_can_name_comes_to_no_end(blocks, is_endless):
    high, low = divmod(blocks * BLOCK, 1 << 32)
    found = replace(inode(0, [0] * 15), low_size=low, high_size=high)
    assert found.has_circle(BLOCK, lambda *_: None) is is_endless


@pytest.mark.parametrize(("numbers", "holds"), [((5, 0), True), ((0, 0), False), ((5, 100), False)])
def test_a_block_of_numbers_has_some_and_all_of_its_volume(numbers, holds):
    assert block_map_holds(struct.pack("<2I", *numbers), 100) is holds


@pytest.mark.slow
def test_all_of_a_large_file_of_ext2_is_known():
    if is_missing("ext2"):
        pytest.skip("nothing here makes ext2")
    contents = claims_of(Flat(disks.volume("ext2", 0))).contents
    sizes = {owner: int(contents.length[contents.owner == owner].sum()) for owner in set(contents.owner.tolist())}
    assert max(sizes.values()) >= 5 * disks.MIB
