"""Metadata lost, alone and with the region tables: from the log, from its own items, from the disk."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from analyzer.recover.rebuild.workspace import Certainty
from fixtures import Block, BlockState, Brush, Identity, ImageSpec, LogSpec, PageWrite, encode, flatten
from fixtures.identity import guid
from fixtures.placement import Placement
from fixtures.recipes.kit import child_of
from fixtures.recipes.volumes import partitioned
from tests.analyzer.recover.rebuild.helpers import (
    HEADERS,
    IDENTIFIER,
    KIB,
    MIB,
    TABLES,
    assert_whole,
    known_bytes,
    metadata_of,
    rebuilt_image,
    upon,
    wiped,
)

pytestmark = pytest.mark.slow

EVERYTHING = ((), TABLES, HEADERS, IDENTIFIER, TABLES + HEADERS + IDENTIFIER)
SIZE = 8 * MIB


def with_volume(block_size, **more):
    """A dynamic disk with a GPT and NTFS, in blocks of another size than the recipes have."""
    sectors = {}
    for start, data in sorted(partitioned().items()):
        sectors.setdefault(start // block_size, {})[start % block_size // 512] = data
    blocks = {index: Block(state=BlockState.FULLY_PRESENT, data=data) for index, data in sectors.items()}
    return ImageSpec(size=SIZE, identity=Identity.of("volume"), block_size=block_size, blocks=blocks, **more)


@pytest.mark.parametrize("also", EVERYTHING)
@pytest.mark.parametrize("block_size", [MIB, 2 * MIB, 4 * MIB, 32 * MIB])
def test_metadata_of_a_dynamic_disk_with_a_file_system_come_back_whole(block_size, also):
    spec = with_volume(block_size)
    saved = rebuilt_image(wiped(encode(spec), metadata_of(spec), *also))
    assert_whole(saved, flatten([spec]))
    if block_size < SIZE:
        assert saved.image.parameters.block_size == block_size
    (one,) = [each for each in saved.rebuilt if each.structure == "metadata"]
    assert "the backup GPT header" in " ".join(one.evidence)


def logged(spec, ranges):
    """The file with the pages in these ranges in a closed log."""
    file = encode(spec)
    pages = (page for start, length in ranges for page in range(start, start + length, 4 * KIB))
    writes = tuple(PageWrite(page, file.read(page, 4 * KIB)) for page in pages if any(file.read(page, 4 * KIB)))
    return replace(spec, old_logs=(LogSpec(guid=guid("old"), entries=(writes,)),))


@pytest.mark.parametrize("also", EVERYTHING)
def test_metadata_that_the_log_has_a_copy_of_come_back_to_the_byte(also):
    plain = ImageSpec(size=SIZE, identity=Identity.of("logged"), blocks=Brush(tag=5).fulls((0, 3), range(9)))
    spec = logged(plain, [metadata_of(plain)])
    saved = rebuilt_image(wiped(encode(spec), metadata_of(spec), *also))
    assert_whole(saved, flatten([spec]))
    assert saved.image.parameters.disk_id == spec.identity.virtual_disk_id
    assert any(one.structure == "metadata" and one.certainty is Certainty.CERTAIN for one in saved.rebuilt)


def test_items_that_still_stand_behind_a_lost_table_are_found_again_with_the_locator():
    base = ImageSpec(size=SIZE, identity=Identity.of("items"), blocks=Brush(tag=1).fulls(range(5)))
    child = child_of(base, "child", {2: Brush(tag=2).partial(2, range(9))})
    saved = rebuilt_image(wiped(encode(child), (Placement.of(child).metadata, 64 * KIB)))
    assert_whole(saved, flatten([base, child]), [encode(base)])
    assert saved.image.locator.linkages == (base.data_write_guid,)


def test_a_child_is_known_by_its_bitmaps_and_its_parent_is_not():
    base = ImageSpec(size=64 * MIB, identity=Identity.of("far"), blocks=Brush(tag=1).fulls(range(60), range(4)))
    brush = Brush(tag=2)
    child = child_of(base, "near", {n: brush.partial(n, range(7), range(1500, 1600)) for n in range(1, 20)})
    saved = rebuilt_image(wiped(encode(child), metadata_of(child)))
    assert saved.image.has_parent
    assert known_bytes(upon([encode(base)], saved.image), flatten([base, child])) == 20 * MIB
    assert any("locator" in text for text in saved.lost)


def test_without_a_file_system_the_blocks_are_known_and_what_a_parent_may_show_is_not():
    spec = ImageSpec(size=SIZE, identity=Identity.of("bare"), blocks=Brush(tag=4).fulls((0, 1, 2, 5)))
    saved = rebuilt_image(wiped(encode(spec), metadata_of(spec)))
    assert known_bytes(saved.image, flatten([spec])) == 4 * MIB
    assert any("parent" in text for text in saved.lost)


def test_blocks_that_are_far_apart_and_half_empty_do_not_tell_their_size():
    spec = ImageSpec(size=SIZE, identity=Identity.of("apart"), blocks=Brush(tag=4).fulls(range(5), range(8)))
    spec = replace(spec, layout=replace(spec.layout, gap_mib=3))
    saved = rebuilt_image(wiped(encode(spec), metadata_of(spec)))
    assert saved.image is None
    assert any("block size" in text for text in saved.lost)


MAKERS = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "ntfs": ["mkntfs", "-Q", "-F", "-q", "-p", "0", "-H", "0", "-S", "0"],
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("block_size", [2 * MIB, 32 * MIB])
def test_real_file_systems_tell_the_disk(kind, block_size, tmp_path):
    if shutil.which(MAKERS[kind][0]) is None:
        pytest.skip(f"{MAKERS[kind][0]} is not installed")
    raw = tmp_path / "raw"
    with raw.open("wb") as handle:
        handle.truncate(512 * MIB)
    subprocess.run([*MAKERS[kind], str(raw)], check=True, capture_output=True)
    blocks = {}
    with raw.open("rb") as handle:
        for index in range(512 * MIB // block_size):
            data = handle.read(block_size)
            if data.count(0) == len(data):
                continue
            held = {n: data[n * 512 : n * 512 + 4096] for n in range(0, len(data) // 512, 8)}
            held = {n: part for n, part in held.items() if part.count(0) < len(part)}
            if held:
                blocks[index] = Block(state=BlockState.FULLY_PRESENT, data=held)
    spec = ImageSpec(size=512 * MIB, identity=Identity.of(kind), block_size=block_size, blocks=blocks)
    for ranges in ((metadata_of(spec),), (metadata_of(spec), *TABLES), TABLES, HEADERS):
        saved = rebuilt_image(wiped(encode(spec), *ranges))
        assert_whole(saved, flatten([spec]))
