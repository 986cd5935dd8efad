"""A file as of an entry of its log, against what the test wrote step by step."""

from dataclasses import replace
from functools import partial

import pytest

from analyzer.examine.log_history import history_of
from analyzer.recover.as_of.image import image_as_of
from analyzer.recover.as_of.timeline import NotLoggedError
from analyzer.recover.inputs.layers import NoUppermostError, UnmappedBlocks, View
from analyzer.recover.job import map_identity
from fixtures import LogSpec, PageWrite, encode, stamp
from fixtures.identity import guid
from fixtures.placement import Placement
from fixtures.recipes.kit import child_of, disk
from fixtures.spec import Block, BlockState, Layout
from tests.analyzer.recover.as_of.stages import FIRST, MIB, PATH, read, recovered, rows_at, story
from tests.support.sources import PatchedSource
from vhdx.errors import VhdxError
from vhdx.image import image_from, open_image
from vhdx.ranges import NO_RANGES

pytestmark = pytest.mark.slow

NEAR = range(6)
FAR = (0, 1, 2, 600, 601, 1100)
"""Blocks whose entries are in three pages of the table."""


@pytest.mark.parametrize("blocks", [NEAR, FAR], ids=["one page", "three pages"])
@pytest.mark.parametrize("seed", range(4))
def test_every_entry_gives_the_table_of_then_and_the_data_that_stands_there_now(seed, blocks):
    tale = story(seed, blocks)
    for stage in range(len(tale.tables)):
        with recovered({PATH: tale.data}, View(as_of=FIRST + stage)) as plan:
            for block in blocks:
                wanted, told = tale.expected(stage, block), rows_at(plan, block * MIB, MIB)
                if not tale.reached(stage, block):
                    assert told <= {("stale", "unreached"), ("lost", "damaged")}
                elif wanted is None:
                    assert told == {("lost", "damaged")}
                else:
                    assert told <= {("stale", "as of"), ("stale", "rebuilt")}
                    assert read(plan, block * MIB, MIB) == wanted


def test_the_stories_have_what_they_are_told_for():
    """Blocks whose place was given away, blocks that moved, pages that the log does not reach."""
    cases = [
        (tale, stage, block)
        for tale in map(partial(story, blocks=FAR), range(4))
        for stage in range(8)
        for block in FAR
    ]
    wanted = [tale.expected(stage, block) for tale, stage, block in cases]
    assert sum(one is None for one in wanted) > 5
    assert sum(one is not None and any(one[:16]) for one in wanted) > 20
    assert sum(not tale.reached(stage, block) for tale, stage, block in cases) > 5


@pytest.mark.parametrize("seed", range(4))
def test_the_last_entry_and_its_session_are_the_present(seed):
    tale = story(seed, NEAR)
    for moment in (FIRST + len(tale.tables) - 1, guid("story", str(seed))):
        with recovered({PATH: tale.data}, View(as_of=moment)) as then, recovered({PATH: tale.data}, View()) as now:
            assert read(then, 0, then.disk.size) == read(now, 0, now.disk.size)
            assert then.levels[-1].past.goes_on
            assert {row.basis.value for row in then.rows()} == {"as of"}


def test_a_moment_that_the_log_does_not_have_is_refused_with_those_that_it_has():
    tale = story(0, NEAR)
    for moment in (FIRST - 1, FIRST + 8, guid("nobody")):
        with pytest.raises(NotLoggedError, match="41 to 48"), recovered({PATH: tale.data}, View(as_of=moment)):
            pass


def test_a_number_that_two_sessions_have_is_refused():
    spec = disk("twice")
    bat = Placement.of(spec).bat
    logs = tuple(
        LogSpec(guid=guid("twice", str(n)), entries=((PageWrite(bat, bytes([n]) * 4096),),), start=n * 16384)
        for n in range(2)
    )
    data = _bytes(encode(_with(spec, logs)))
    with pytest.raises(NotLoggedError, match="does not tell one state"), recovered({PATH: data}, View(as_of=FIRST)):
        pass


def test_a_session_that_the_file_contradicts_is_not_taken_for_the_last_one():
    """Another one may have followed it: nothing that it did not write itself is as it was, for all that is known."""
    spec = disk("contradicted")
    log = LogSpec(guid=guid("old"), entries=((PageWrite(Placement.of(spec).bat, bytes(4096)),),))
    with recovered({PATH: _bytes(encode(_with(spec, (log,))))}, View(as_of=FIRST)) as plan:
        assert not plan.levels[-1].past.goes_on
        assert {(row.status.value, row.basis.value) for row in plan.rows()} == {("stale", "unreached")}
        assert not any(read(plan, 0, plan.disk.size))


def test_the_sector_bitmap_of_then_decides_which_sectors_are_the_parents():
    parent = disk("parent")
    spec = child_of(parent, "child", {0: Block(state=BlockState.PARTIALLY_PRESENT, data={8: stamp(4096, 1 << 16, 3)})})
    spec = _with(spec, (), layout=Layout(bitmap_mib={0: 8}, block_mib={0: 9}))
    bits = [bytes(range_of_bits) for range_of_bits in ([0, 255], [0, 15], [255, 255])]
    now = encode(spec).read(8 * MIB, 4096)
    pages = [one.ljust(4096, b"\0") for one in bits] + [now]
    log = LogSpec(guid=guid("bits"), entries=tuple((PageWrite(8 * MIB, page),) for page in pages))
    data = _bytes(encode(_with(spec, (log,))))
    base = _bytes(encode(parent))
    above, below = PATH.with_name("child.avhdx"), PATH.with_name("base.vhdx")
    with recovered({below: base}, View()) as whole:
        parents = read(whole, 0, 16 * 512)
    for number, page in enumerate(pages):
        with recovered({above: data, below: base}, View(as_of=FIRST + number)) as plan:
            got = read(plan, 0, 16 * 512)
            for sector in range(16):
                own = page[sector // 8] >> sector % 8 & 1
                source, at = (data, 9 * MIB) if own else (parents, 0)
                wanted = source[at + sector * 512 : at + (sector + 1) * 512]
                assert got[sector * 512 : (sector + 1) * 512] == wanted
            assert {row.status.value for row in plan.rows()} == {"stale"}


def test_a_map_of_another_moment_is_not_gone_on_with():
    tale = story(0, NEAR)
    views = (View(), View(as_of=41), View(as_of=42), View(unmapped=UnmappedBlocks.OLD_DATA))
    identities = set()
    for view in views:
        with recovered({PATH: tale.data}, view) as plan:
            identities.add(map_identity(plan.disk, view))
    assert len(identities) == len(views)


def test_a_leaf_that_cannot_be_read_has_no_past():
    tale = story(0, NEAR)
    child = _bytes(encode(child_of(tale.spec, "child", {})))[: 1 << 19]
    with (
        pytest.raises(NoUppermostError, match="leave it out"),
        recovered({PATH.with_name("leaf.avhdx"): child, PATH: tale.data}, View(as_of=FIRST)),
    ):
        pass


@pytest.mark.parametrize("name", ["windows10-xfs", "windows10-dynamic", "windows10-btrfs", "hyperv-2012-dynamic-1g"])
def test_the_last_session_of_a_file_of_hyper_v_is_the_present(corpus, name):
    image = open_image(corpus(f"genuine/{name}.vhdx"))
    try:
        last = max(one.last_sequence for one in history_of(image).sessions)
        then = image_as_of(image, last)
        assert (then.is_last, then.doubts) == (True, NO_RANGES)
        here, there = (list(disk.windows()) for disk in (image, then.image))
        assert [list(table) for table in here] == [list(table) for table in there]
    finally:
        image.close()


def test_every_moment_of_every_genuine_log_is_told_or_refused(corpus):
    count = 0
    for name in ("hyperv-2019-orphan-child.avhdx", "qemu-dirty-log-10g.vhdx", "windows10-xfs.vhdx"):
        image = open_image(corpus(f"genuine/{name}"))
        try:
            for session in history_of(image).sessions:
                for number in range(session.first_sequence, session.last_sequence + 1):
                    count += _is_told(image, number)
        finally:
            image.close()
    assert count > 20


def _is_told(image, number):
    try:
        then = image_as_of(image, number)
    except VhdxError:
        return False
    assert then.number == number
    assert not then.doubts or then.doubts.end[-1] <= then.image.size
    assert list(then.image.windows())
    return True


def _with(spec, logs, **more):
    return replace(spec, old_logs=logs, **more)


def _bytes(file):
    return file.read(0, file.size)


def test_the_image_of_then_belongs_to_the_file_and_leaves_it_as_it_is():
    tale = story(3, NEAR)
    image = image_from(PatchedSource(tale.data, path=PATH))
    before = list(image.windows())
    then = image_as_of(image, FIRST)
    assert then.image.file is image.file
    assert [list(table) for table in image.windows()] == [list(table) for table in before]
