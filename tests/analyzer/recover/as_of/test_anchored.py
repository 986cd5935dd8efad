"""Blocks that were let go and whose entries keep a place, entry by entry."""

import pytest

from analyzer.recover.inputs.layers import UnmappedBlocks, View
from fixtures import Block, BlockState, Identity, ImageSpec, encode, stamp
from fixtures.placement import Placement
from fixtures.spec import Layout
from tests.analyzer.recover.as_of.stages import FIRST, MIB, PATH, read, recovered, rows_at, story

OLD = View(unmapped=UnmappedBlocks.OLD_DATA)
UNDEFINED, ZERO, UNMAPPED, PRESENT = 1, 2, 3, 6
SPEC = ImageSpec(
    size=8 * MIB,
    identity=Identity.of("anchored"),
    blocks={0: Block(state=BlockState.FULLY_PRESENT)},
    layout=Layout(block_mib={0: 8}),
)
SIZE = 16 * MIB


def file_with(entries):
    """A file whose table has these entries {block: (state, MiB)}, and in each MiB from 8 on its own number."""
    data = bytearray(encode(SPEC).read(0, SIZE).ljust(SIZE, b"\0"))
    for place in range(8, 16):
        data[place * MIB : (place + 1) * MIB] = stamp(place * MIB, MIB, place)
    bat = Placement.of(SPEC).bat
    for block, (state, place) in entries.items():
        data[bat + block * 8 : bat + block * 8 + 8] = (place << 20 | state).to_bytes(8, "little")
    return bytes(data)


def told(entries, view=OLD):
    """{block: (place that its bytes come from, None for zeros; what is told)}"""
    found = {}
    with recovered({PATH: file_with(entries)}, view) as plan:
        for block in range(8):
            data = read(plan, block * MIB, MIB)
            place = int.from_bytes(data[8:16], "little") or None
            assert data == (stamp(place * MIB, MIB, place) if place else bytes(MIB))
            found[block] = place, rows_at(plan, block * MIB, MIB)
    return found


KNOWN, BACK = {("known", "held")}, {("stale", "anchored")}


@pytest.mark.parametrize("state", [UNDEFINED, UNMAPPED])
def test_a_block_that_was_let_go_has_its_old_data_as_stale(state):
    entries = {0: (PRESENT, 8), 1: (state, 9)}
    assert told(entries)[1] == (9, BACK)
    assert told(entries, View())[1] == (None, KNOWN)
    assert told(entries)[0] == (8, KNOWN)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({1: (UNMAPPED, 8)}, "a block that is there claims the place"),
        ({1: (UNMAPPED, 9), 2: (UNDEFINED, 9)}, "two keep one place"),
        ({1: (UNMAPPED, 1)}, "the log stands there"),
        ({1: (UNMAPPED, 16)}, "the file ends before it"),
        ({1: (UNMAPPED, 1 << 43)}, "the file ends long before it"),
        ({1: (UNMAPPED, 0)}, "it keeps none"),
        ({1: (ZERO, 9)}, "zeros were written"),
        ({1: (0, 9)}, "a block that never was there keeps nothing"),
        ({1: (UNMAPPED | 8, 9)}, "a reserved bit is set"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_place_that_is_contested_or_cannot_be_is_not_taken(entries, reason):
    found = told({0: (PRESENT, 8)} | entries)
    assert all(found[block][0] is None and not found[block][1] & BACK for block in entries), reason
    assert found[0] == (8, KNOWN), reason


def test_how_much_came_back_is_told():
    with recovered({PATH: file_with({1: (UNMAPPED, 9), 5: (UNDEFINED, 12)})}, OLD) as plan:
        assert plan.levels[-1].past.brought_back == 2 * MIB
    with recovered({PATH: file_with({})}, OLD) as plan:
        assert plan.levels[-1].past.brought_back == 0


def test_an_earlier_state_may_have_its_old_data_too():
    tale = story(1, range(6))
    with recovered({PATH: tale.data}, View(as_of=FIRST + 3, unmapped=UnmappedBlocks.OLD_DATA)) as plan:
        assert plan.levels[-1].past.number == FIRST + 3
        assert plan.levels[-1].past.brought_back == 0
        assert {row.status.value for row in plan.rows()} <= {"stale", "lost"}
