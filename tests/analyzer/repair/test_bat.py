"""Block tables: healed from the log, moved back to their slots, or left alone."""

import struct
from dataclasses import replace

import pytest

from analyzer.check.diagnosis.displaced_entries import missing_interleave, shifted_pages
from analyzer.check.diagnosis.logged_entries import lost_table_updates
from fixtures import Brush, Identity, ImageSpec, Layout, LogSpec, PageWrite, encode
from fixtures.bat import Table
from fixtures.identity import guid
from fixtures.placement import Placement
from tests.analyzer.repair.helpers import MIB, codes_of, content, plan_of
from tests.analyzer.repair.test_plan import fixed, result
from tests.support.catalogue import fixture_of
from tests.support.sources import image_of

PAGE = 4096
BLOCK = 32 * MIB
COUNT = 300
BRUSH = Brush(tag=9, block_size=BLOCK)


def large(blocks, *, creator="QEMU v7.2.22", **layout):
    """A disk of 300 blocks of 32 MiB: slots 128 and 257 are kept for sector bitmaps."""
    return ImageSpec(
        size=COUNT * BLOCK,
        identity=Identity.of("large"),
        block_size=BLOCK,
        blocks={number: BRUSH.full(number, range(2)) for number in blocks},
        creator=creator,
        layout=Layout(**layout),
    )


def table_of(file, spec, length=PAGE):
    return list(struct.unpack(f"<{length // 8}Q", file.read(Placement.of(spec).bat, length)))


def with_table(file, spec, entries):
    return file.patched(Placement.of(spec).bat, struct.pack(f"<{len(entries)}Q", *entries))


def shifted(spec):
    """What QEMU leaves when block 0 is written last: the others a slot late."""
    file = encode(spec)
    entries = table_of(file, spec)
    return with_table(file, spec, [entries[0], 0, *entries[1:-1]])


def last_first(blocks):
    """Blocks in the order in which they were written: block 0 last."""
    return large([*(block for block in blocks if block), 0])


@pytest.mark.parametrize("blocks", [range(COUNT), range(0, COUNT, 3), range(100, COUNT)])
def test_qemus_shift_is_seen_and_undone(blocks):
    spec = last_first([0, *blocks])
    file = shifted(spec)
    (found,) = shifted_pages((image := image_of(file)).table, image.identifier.creator)
    assert found.finding.code == "BAT-17"
    assert "QEMU" in found.evidence
    assert fixed(file, "BAT-17") == encode(spec)


def test_entries_written_after_the_shift_stay_where_they_are():
    early = last_first([5, 6, 127, 200])
    late = large([5, 6, 127, 200, 0, 9, 40])
    entries = table_of(shifted(early), early)
    right = table_of(encode(late), late)
    slots = [Table.of(late).payload_slot(block) for block in (9, 40)]
    for slot in slots:
        entries[slot] = right[slot]
    file = with_table(encode(late), late, entries)
    assert fixed(file, "BAT-17") == encode(late)


def test_a_shift_without_qemus_name_is_believed_when_blocks_go_on_through_the_bitmaps_slot():
    spec = replace(last_first(range(COUNT)), creator="somebody")
    assert fixed(shifted(spec), "BAT-17") == encode(spec)


def test_a_shift_that_loses_an_entry_says_so():
    spec = replace(last_first(range(COUNT)), size=600 * BLOCK)
    plan = plan_of(shifted(spec))
    assert codes_of(plan) == ["BAT-17"]
    assert [finding.code for finding in plan.unfixable] == ["BAT-17"]
    assert "block 508" in plan.unfixable[0].message


def test_one_block_in_a_bitmaps_slot_is_left_alone():
    spec = large([0, 1], creator="somebody")
    file = encode(spec)
    entries = table_of(file, spec)
    entries[128] = entries[1] + (32 << 20)
    file = with_table(file, spec, entries).truncated(file.size + 64 * MIB)
    assert codes_of(plan_of(file)) == []


@pytest.mark.parametrize("blocks", [range(COUNT), range(100, COUNT), [127, 128, 129, 299]])
def test_a_missing_interleave_is_seen_and_put_in(blocks):
    spec = large(blocks, creator="somebody")
    file = encode(spec)
    entries, table = table_of(file, spec), Table.of(spec)
    flat = [entries[table.payload_slot(block)] for block in range(COUNT)]
    broken = with_table(file, spec, [*flat, *[0] * (512 - COUNT)])
    found = missing_interleave(image_of(broken).table)
    assert (found is None) == (128 not in blocks)
    if found:
        assert fixed(broken, "BAT-18") == file


def logged(spec, *, sequence=40):
    """The file with the page of its table in a closed log."""
    file = encode(spec)
    page = file.read(Placement.of(spec).bat, PAGE)
    session = LogSpec(guid=guid("old"), entries=((PageWrite(Placement.of(spec).bat, page),),), first_sequence=sequence)
    return encode(replace(spec, old_logs=(session,)))


SMALL = ImageSpec(size=64 * MIB, identity=Identity.of("small"), blocks=Brush(tag=3).fulls(range(0, 40, 3), range(4)))


@pytest.mark.parametrize("damage", [bytes(PAGE), b"\xff" * 64, b"\x05" * 8, bytes(512), b"\x06" + b"\xff" * 7])
def test_a_damaged_table_comes_back_from_the_log(damage):
    file = logged(SMALL)
    broken = file.patched(Placement.of(SMALL).bat, damage)
    (page,) = lost_table_updates((image := image_of(broken)).table, image.log)
    assert (page.finding.code, page.sequence_number) == ("BAT-16", 40)
    after = fixed(broken, "BAT-16")
    assert content(after) == content(file)


def test_two_entries_upon_one_place_come_back_from_the_log():
    file = logged(SMALL)
    bat = Placement.of(SMALL).bat
    broken = file.patched(bat + 24, file.read(bat, 8))
    assert fixed(broken, "BAT-16") == file


def test_sound_entries_that_are_newer_than_the_log_are_kept():
    newer = replace(SMALL, blocks=Brush(tag=3).fulls(range(0, 43, 3), range(4)))
    old = logged(SMALL)
    log = old.read(MIB, MIB)
    file = encode(newer).patched(MIB, log)
    bat = Placement.of(newer).bat
    after = fixed(file.patched(bat, b"\x05" * 8), "BAT-16")
    assert after == file


def test_a_table_that_merely_differs_from_an_old_copy_is_left_alone():
    for name in ("log-closed-entries",):
        fixture = fixture_of(name)
        assert not codes_of(plan_of(fixture.files[fixture.leaf]))
    newer = replace(SMALL, blocks=Brush(tag=3).fulls(range(0, 43, 3), range(4)))
    file = encode(newer).patched(MIB, logged(SMALL).read(MIB, MIB))
    assert plan_of(file).is_empty


def test_a_damaged_table_without_logged_copies_is_said_and_left():
    broken = encode(SMALL).patched(Placement.of(SMALL).bat, b"\x05" * 8)
    plan = plan_of(broken)
    assert plan.is_empty
    assert [finding.code for finding in plan.unfixable] == ["BAT-01", "BAT-02"]


def test_places_of_absent_blocks_are_cleared_and_nothing_else():
    file = encode(SMALL)
    bat = Placement.of(SMALL).bat
    stale = file.patched(bat + 8, (2 | 9 << 20).to_bytes(8, "little")).patched(
        bat + 16, (0 | 12 << 20).to_bytes(8, "little")
    )
    plan = plan_of(stale)
    assert codes_of(plan) == ["BAT-13"]
    after = result(stale, plan)
    assert after == file.patched(bat + 8, b"\x02")
    assert content(after) == content(stale)
