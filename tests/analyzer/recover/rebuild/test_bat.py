"""Parts of the block table and sector bitmaps lost: from the log, by signs of their place, or said to be lost."""

from dataclasses import replace

import pytest

from analyzer.recover.rebuild.job import rebuild_tables
from analyzer.recover.rebuild.workspace import BitmapPolicy, Certainty
from fixtures import BlockState, Brush, Identity, ImageSpec, LogSpec, PageWrite, encode, flatten
from fixtures.gpt import BASIC_DATA, SECTOR, Gpt
from fixtures.identity import guid
from fixtures.placement import Placement
from fixtures.recipes.kit import child_of
from tests.analyzer.recover.rebuild.helpers import (
    KIB,
    MIB,
    TABLES,
    bat_of,
    known_bytes,
    rebuilt_image,
    recipe_of,
    upon,
    wiped,
)
from tests.analyzer.recover.rebuild.test_metadata import logged, with_volume
from tests.support.sources import SparseSource
from vhdx.contents import Structures
from vhdx.ranges import Range
from vhdx.runs import Kind

PAGE = 4 * KIB
SPEC = ImageSpec(size=1024 * MIB, identity=Identity.of("table"), blocks=Brush(tag=3).fulls(range(0, 900, 30), range(9)))


def healed(file):
    """What is saved of the table of a file that opens."""
    return rebuild_tables(Structures(SparseSource(file)))


@pytest.mark.slow
@pytest.mark.parametrize("zeros", [0, BlockState.ZERO])
def test_a_table_without_slots_for_bitmaps_is_read_as_it_was_meant_and_is_likely_from_the_second_chunk_on(zeros):
    spec = replace(SPEC, size=5000 * MIB, blocks=Brush(tag=3).fulls((0, 7, *range(4090, 4110), 4999), range(9)))
    bat, file = Placement.of(spec).bat, encode(spec)
    entries = [file.read(bat + 8 * (n + n // 4096), 8) for n in range(5000)]
    broken = file.patched(bat, b"".join(entries) + zeros.to_bytes(8, "little"))
    saved = healed(broken)
    assert known_bytes(saved.image, flatten([spec])) == spec.size
    assert list(saved.doubted) == [Range(4096 * MIB, 904 * MIB)]


@pytest.mark.parametrize("start", [0, 512, 3584, 4096])
def test_a_sector_of_the_table_that_the_log_has_a_copy_of_comes_back(start):
    spec = logged(SPEC, [bat_of(SPEC)])
    saved = healed(wiped(encode(spec), (Placement.of(spec).bat + start, 512)))
    assert known_bytes(saved.image, flatten([spec])) == spec.size
    assert [one.structure for one in saved.rebuilt] == ["BAT"]


def test_it_comes_back_as_well_when_the_region_tables_are_gone():
    spec = logged(SPEC, [bat_of(SPEC)])
    saved = rebuilt_image(wiped(encode(spec), (Placement.of(spec).bat + 512, 512), *TABLES))
    assert known_bytes(saved.image, flatten([spec])) == spec.size


@pytest.mark.parametrize("length", [512, 1024, MIB])
def test_a_sector_that_nothing_remembers_is_lost_and_never_zeros(length):
    saved = healed(wiped(encode(SPEC), (Placement.of(SPEC).bat, length)))
    known = known_bytes(saved.image, flatten([SPEC]))
    assert known < SPEC.size
    assert any("blocks that no entry owns" in text for text in saved.lost)
    assert all(run.kind is Kind.LOST for run in saved.image.runs(0, length // 8 * MIB) if run.start < MIB)


@pytest.mark.parametrize("block_size", [MIB, 2 * MIB])
def test_blocks_with_the_partition_table_and_its_backup_tell_their_place(block_size):
    spec = with_volume(block_size)
    saved = healed(wiped(encode(spec), bat_of(spec)))
    blocks = 3 if block_size == MIB else 2  # blocks of 1 MiB have the volume's boot sector in one of its own
    assert known_bytes(saved.image, flatten([spec])) == blocks * block_size
    assert len([one for one in saved.rebuilt if one.structure == "BAT"]) == blocks


def test_a_block_of_a_child_that_tells_its_place_does_not_hide_what_its_parent_has():
    volume = with_volume(MIB)
    base = replace(volume, blocks=Brush(tag=1).fulls(range(8)))
    child = child_of(base, "child", {n: replace(volume.blocks[n], state=BlockState.PARTIALLY_PRESENT) for n in (0, 7)})
    saved = healed(wiped(encode(child), bat_of(child)))
    assert any("block 0 is put back" in one.how for one in saved.rebuilt)
    assert known_bytes(upon([encode(base)], saved.image), flatten([base, child])) >= 2 * MIB
    assert saved.doubted.covers(Range(0, MIB))


def test_a_copy_of_a_blocks_front_where_no_block_begins_does_not_hide_its_place():
    size, block = 200 * MIB, 2 * MIB
    gpt = Gpt(last=size // SECTOR - 1, disk=guid("a"), partition=guid("b"), kind=BASIC_DATA, name="c")
    brush = Brush(tag=2)
    blocks = {n: brush.full(n, range(8)) for n in (70, 71, 72, 5)}
    copy = blocks[5].data | {MIB // SECTOR: gpt.front}
    blocks[5] = replace(blocks[5], data=copy)
    blocks[0] = replace(blocks[5], data={0: gpt.front})
    spec = ImageSpec(size=size, identity=Identity.of("copy"), block_size=block, blocks=blocks)
    saved = healed(wiped(encode(spec), (Placement.of(spec).bat, 512)))
    assert any("block 0 is put back" in one.how for one in saved.rebuilt)
    assert known_bytes(saved.image, flatten([spec])) < size


def test_a_sound_table_is_left_alone():
    saved = healed(encode(SPEC))
    assert (saved.rebuilt, saved.lost) == ((), ())
    assert known_bytes(saved.image, flatten([SPEC])) == SPEC.size


BASE = ImageSpec(size=8 * MIB, identity=Identity.of("base"), blocks=Brush(tag=1).fulls(range(8)))
CHILD = child_of(BASE, "child", {n: Brush(tag=2).partial(n, range(7)) for n in (1, 4)})
BITMAP = (Placement.of(CHILD).bitmaps[0], MIB)


def test_a_bitmap_that_the_log_has_a_copy_of_comes_back():
    file = encode(CHILD)
    write = PageWrite(BITMAP[0], file.read(BITMAP[0], PAGE))
    child = replace(CHILD, old_logs=(LogSpec(guid=guid("bits"), entries=((write,),)),))
    saved = healed(wiped(encode(child), BITMAP))
    assert known_bytes(upon([encode(BASE)], saved.image), flatten([BASE, child])) == BASE.size
    assert [one.structure for one in saved.rebuilt] == ["sector bitmaps"]


def test_blocks_whose_bitmap_is_lost_are_lost():
    file = wiped(encode(CHILD), BITMAP)
    saved = rebuild_tables(Structures(SparseSource(file)), bitmaps=BitmapPolicy.LOST)
    assert known_bytes(upon([encode(BASE)], saved.image), flatten([BASE, CHILD])) == BASE.size - 2 * MIB
    assert "2 blocks (1, 4)" in saved.lost[0]


@pytest.mark.parametrize(("policy", "kind"), [(BitmapPolicy.WHOLE, Kind.DATA), (BitmapPolicy.PARENT, Kind.HOLE)])
def test_a_policy_takes_them_or_leaves_them_and_marks_it(policy, kind):
    saved = rebuilt_image(wiped(encode(CHILD), BITMAP, *TABLES), policy)
    assert {run.kind for run in saved.image.runs(MIB, 2 * MIB)} == {kind}
    assert saved.rebuilt[-1].certainty is Certainty.GUESSED
    assert list(saved.guessed) == [Range(MIB, MIB), Range(4 * MIB, MIB)]
    assert any("asked for" in one.how for one in saved.rebuilt)


@pytest.mark.parametrize("policy", BitmapPolicy)
def test_a_block_at_the_end_of_all_places_whose_bitmap_is_lost_is_treated_like_any_other(policy):
    bat = Placement.of(CHILD).bat
    far = encode(CHILD).patched(bat + 8, ((1 << 64) - (1 << 20) | 7).to_bytes(8, "little"))
    saved = rebuild_tables(Structures(SparseSource(wiped(far, (bat + 4096 * 8, 8)))), bitmaps=policy)
    if policy is not BitmapPolicy.PARENT:  # whatever is chosen, the file ends before that place
        assert (MIB, 2 * MIB) in lost_runs(saved)
    if policy in {BitmapPolicy.WHOLE, BitmapPolicy.PARENT}:
        assert list(saved.guessed) == [Range(MIB, MIB), Range(4 * MIB, MIB)]


def lost_runs(saved):
    return [(run.start, run.end) for run in saved.image.runs(0, saved.image.size) if run.kind is Kind.LOST]


@pytest.mark.parametrize("name", ["demo", "chain-3", "differencing", "states-base", "log-override", "volume-ext"])
def test_nothing_reported_as_known_is_ever_wrong_whatever_sector_of_the_table_is_wiped(name):
    (*parents, leaf), model = recipe_of(name)
    for at in (3 * MIB, 3 * MIB + 512):
        saved = healed(wiped(leaf, (at, 512)))
        if saved.image is not None:
            known_bytes(upon(parents, saved.image), model)
