"""Block table, region tables and more lost at once: what tells its place by its content comes back, nothing else."""

import random
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from analyzer.recover.rebuild.job import rebuild_image
from analyzer.recover.rebuild.mib_pieces import Known, block_of
from analyzer.recover.rebuild.workspace import Certainty
from fixtures import Block, BlockState, Brush, Identity, ImageSpec, encode, flatten
from fixtures.placement import Placement
from fixtures.recipes.kit import child_of
from fixtures.spec import Provision
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import LaidOut
from tests.analyzer.recover.rebuild.helpers import MIB, TABLES, bat_of, known_bytes, metadata_of, rebuilt_image, wiped
from tests.analyzer.recover.rebuild.test_metadata import with_volume
from vhdx.contents import Structures
from vhdx.ranges import Range

pytestmark = pytest.mark.slow

GPT_SIZE = 8 * MIB


def front_of(spec):
    """All of a file up to its first block, as one range."""
    return (0, min(Placement.of(spec).blocks.values()))


def alone(file):
    """What is saved of a file beside which there is no other."""
    return rebuilt_image(file, is_alone=True)


def of_size(size, block_size, blocks, name="bare", **more):
    """A disk whose blocks hold what the brush paints."""
    return ImageSpec(size=size, identity=Identity.of(name), block_size=block_size, blocks=blocks, **more)


def fixed_with_volume(block_size):
    """A fixed disk with a GPT and NTFS: all blocks in order, filled where the volume holds nothing."""
    held = with_volume(block_size).blocks
    brush = Brush(tag=9)
    blocks = {n: held.get(n) or brush.full(n, range(64)) for n in range(-(-GPT_SIZE // block_size))}
    return of_size(GPT_SIZE, block_size, blocks, provision=Provision.FIXED)


@pytest.mark.parametrize("block_size", [MIB, 2 * MIB])
def test_a_fixed_disk_comes_back_whole_without_anything_in_front_of_it(block_size):
    spec = fixed_with_volume(block_size)
    saved = alone(wiped(encode(spec), front_of(spec)))
    assert saved.image.size == GPT_SIZE
    assert known_bytes(saved.image, flatten([spec])) == GPT_SIZE
    assert list(saved.doubted) == [Range(0, GPT_SIZE)]


def test_what_stands_in_front_of_the_first_piece_with_a_place_is_not_believed():
    spec = fixed_with_volume(MIB)
    _, start = front_of(spec)
    saved = alone(wiped(encode(spec), (0, start + 3 * MIB)))
    assert 0 < known_bytes(saved.image, flatten([spec])) <= GPT_SIZE - 3 * MIB


@pytest.mark.parametrize("lost", ["front", "tables and BAT"])
def test_pieces_that_tell_their_place_come_back_and_the_others_are_lost(lost):
    spec = with_volume(MIB)
    ranges = (front_of(spec),) if lost == "front" else (*TABLES, bat_of(spec))
    saved = alone(wiped(encode(spec), *ranges))
    assert saved.image.size == GPT_SIZE
    assert 2 * MIB <= known_bytes(saved.image, flatten([spec])) < GPT_SIZE
    assert all(one.certainty is not Certainty.CERTAIN for one in saved.rebuilt if one.structure == "BAT")


def test_with_metadata_left_no_other_file_need_be_missing():
    spec = with_volume(MIB)
    saved = rebuilt_image(wiped(encode(spec), *TABLES, bat_of(spec)))
    assert known_bytes(saved.image, flatten([spec])) >= 2 * MIB


def test_beside_other_files_a_disk_is_not_guessed_from_its_volumes():
    spec = with_volume(MIB)
    assert rebuilt_image(wiped(encode(spec), front_of(spec))).image is None


def test_a_child_whose_table_is_lost_is_not_taken_for_a_whole_disk():
    base = with_volume(MIB)
    child = child_of(base, "child", {0: replace(base.blocks[0], state=BlockState.PARTIALLY_PRESENT)})
    assert alone(wiped(encode(child), *TABLES, bat_of(child))).image is None


def test_so_does_one_whose_last_block_goes_on_behind_the_disks_end():
    spec = fixed_with_volume(16 * MIB)
    saved = alone(wiped(encode(spec), front_of(spec)))
    assert known_bytes(saved.image, flatten([spec])) == GPT_SIZE


FAR = 131072
"""Entries in one MiB of a block table."""


@pytest.mark.parametrize("first", [FAR - 40, FAR])
def test_the_second_mib_of_a_table_is_not_taken_for_the_table(first):
    spec = of_size(200 << 30, MIB, Brush(tag=4).fulls((*range(4), *range(first, FAR + 60)), range(2048)))
    bat, _ = bat_of(spec)
    saved = alone(wiped(encode(spec), *TABLES, (bat, MIB), metadata_of(spec)))
    assert saved.image is None


def test_a_table_of_several_mib_is_found_whole():
    blocks = dict(Brush(tag=4).fulls((*range(3), *range(FAR + 40, FAR + 60)), range(2048)))
    boot = {**blocks[0].data, 0: bytes(510) + b"\x55\xaa"}
    spec = of_size(200 << 30, MIB, blocks | {0: replace(blocks[0], data=boot)})
    saved = alone(wiped(encode(spec), *TABLES, metadata_of(spec)))
    model = flatten([spec])
    assert saved.image.size >= (FAR + 60) * MIB
    for block in (0, 1, 2, *range(FAR + 40, FAR + 60)):
        assert saved.image.read(block * MIB, MIB) == model.read(block * MIB, MIB)


EXT_SIZE = 512 << 20
"""16 groups of ext4, of 32 MiB each, all of which have a superblock."""


def ext4_in_blocks(block_mib, folder):
    """A dynamic disk of ext4 with files, whose blocks stand in the file in any order."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    draw = random.Random(block_mib)
    (folder / "files").mkdir()
    (folder / "files" / "noise").write_bytes(draw.randbytes(9 * MIB))
    raw = folder / "raw"
    with raw.open("wb") as handle:
        handle.truncate(EXT_SIZE)
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", "-g", "8192", "-O", "^sparse_super,^resize_inode", "-d", folder / "files", raw],
        check=True,
        capture_output=True,
    )
    blocks = {}
    with raw.open("rb") as handle:
        for index in range(EXT_SIZE // MIB // block_mib):
            data = handle.read(block_mib * MIB)
            held = {n: data[n * 512 : n * 512 + 4096] for n in range(0, len(data) // 512, 8)}
            if held := {n: part for n, part in held.items() if part.count(0) < len(part)}:
                blocks[index] = Block(state=BlockState.FULLY_PRESENT, data=held)
    order = draw.sample(sorted(blocks), len(blocks))
    return of_size(EXT_SIZE, block_mib * MIB, {n: blocks[n] for n in order})


@pytest.mark.parametrize("block_mib", [1, 2, 16, 32])
def test_pieces_that_have_a_place_show_how_large_the_blocks_are(block_mib, tmp_path):
    spec = ext4_in_blocks(block_mib, tmp_path)
    saved = alone(wiped(encode(spec), front_of(spec)))
    known = known_bytes(saved.image, flatten([spec]))
    assert saved.image.size == EXT_SIZE
    assert known >= 16 * block_mib * MIB


@pytest.mark.parametrize(
    ("file", "block"),
    [((8, 39, 55), 8), ((8, 72, 9), 1), ((8, 39, 55, 71, 87, 103, 119), 16), ((8, 391, 775), 1)],
)
def test_blocks_are_not_taken_for_larger_ones_because_a_few_pieces_agree_by_chance(file, block):
    disk = np.array((0, 383, 767, 1023, 1279, 1535, 1791)[: len(file)])
    assert block_of(Known(disk, np.array(file), 2048, (max(file) // 8 + 1) * 8)) == block


@pytest.mark.skipif(is_missing("ext"), reason="nothing here makes ext")
def test_ext_of_small_blocks_in_a_partition_is_found_by_its_superblock():
    made = disks.made(disks.partitioned(disks.volume("ext4-1k", 0), "mbr"), MIB, random.Random(1))
    image = rebuild_image(Structures(LaidOut(bytes(len(made.front)), made.flat, made.held, MIB)), is_alone=True).image
    placed = [at for at in range(0, image.size, MIB) if image.holds_data(at, at + MIB)]
    assert all(image.read(at, MIB) == made.flat[at : at + MIB] for at in placed)
    assert len(placed) > 10  # its superblocks, groups and folders; else the MBR alone
