"""What a repair finds to fix, and what it leaves alone."""

from pathlib import Path

import pytest

import fixtures
from analyzer.repair.plan import plan_repair
from analyzer.repair.structures import DeadLog
from fixtures import RECIPES, Block, BlockState, Identity, ImageSpec, Provision, encode
from fixtures.checksum import sealed
from fixtures.damage import DAMAGES
from fixtures.spec import HeaderCopy
from tests.analyzer.repair.helpers import HEADERS, KIB, MIB, SAME, TABLES, codes_of, content, flipped, plan_of, sound
from tests.support.catalogue import fixture_of
from tests.support.sources import CountingSource, SparseSource
from vhdx.image import image_from
from vhdx.patched import OverlaySource
from vhdx.structures.header import judge_headers

pytestmark = pytest.mark.slow


def result(file, plan):
    """The file as it will be."""
    for fix in plan.fixes:
        for patch in fix.patches:
            file = file.patched(patch.offset, patch.content(patch.offset, patch.end))
    return file.truncated(plan.result_size)


def fixed(file, *codes):
    """The file after its plan, which fixes just these codes and leaves nothing."""
    plan = plan_of(file)
    assert codes_of(plan) == list(codes)
    assert plan.opens
    assert plan.unfixable == ()
    after = result(file, plan)
    assert plan_of(after).is_empty
    return after


# One table of 512 MiB is enough: each is looked through several times.
LARGE = {"huge-small-blocks", "huge-differencing"}
GOOD = [name for name, recipe in RECIPES.items() if recipe.verdict.name == "GOOD" and name not in LARGE]


@pytest.mark.parametrize("name", GOOD)
def test_good_files_have_nothing_to_fix_but_live_logs_and_old_places(name):
    fixture = fixture_of(name)
    for file in fixture.files.values():
        plan = plan_of(file)
        assert set(codes_of(plan)) <= {"LOG-01", "HDR-03", "REG-03", "REG-05", "BAT-13"}, plan.fixes
        assert plan.opens


@pytest.mark.parametrize("copy", [0, 1])
def test_a_header_is_written_anew_from_its_twin_with_the_next_number(copy):
    file = sound().patched(HEADERS[copy], bytes(4 * KIB))
    after = fixed(file, "HDR-03")
    first, second = (after.read(offset, 4 * KIB) for offset in HEADERS)
    pair = judge_headers((first, second))
    assert pair.current_copy == copy
    assert pair.current.sequence_number == pair.previous.sequence_number + 1
    assert pair.current.data_write_guid == pair.previous.data_write_guid
    assert content(after) == content(sound())


@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("offset", [0, 4, 20, 70])
def test_a_flipped_bit_of_a_header_is_put_right_to_the_last_bit(copy, offset):
    file = flipped(sound(), HEADERS[copy] + offset, 4)
    assert fixed(file, "HDR-03") == sound()


def test_two_headers_with_a_flip_each_are_both_put_right():
    file = flipped(flipped(sound(), HEADERS[0] + 9), HEADERS[1] + 40, 128)
    assert fixed(file, "HDR-04", "HDR-03") == sound()


@pytest.mark.parametrize("copy", [0, 1])
def test_a_region_table_comes_from_its_twin(copy):
    file = sound().patched(TABLES[copy], b"\xee" * 100)
    assert fixed(file, "REG-03") == sound()


def test_checksums_of_both_headers_are_written_again_where_all_else_agrees():
    file = sound().patched(HEADERS[0] + 4, bytes(4)).patched(HEADERS[1] + 4, bytes(4))
    plan = plan_of(file)
    assert plan.opens
    assert [fix.length for fix in plan.fixes] == [4, 4]


def test_two_region_tables_with_one_flip_come_back():
    file = flipped(sound(), TABLES[0] + 35, 2).patched(TABLES[1], bytes(64 * KIB))
    assert fixed(file, "REG-04", "REG-03") == sound()


def test_the_second_region_table_is_made_like_the_first():
    page = bytearray(sound().read(TABLES[1], 64 * KIB))
    page[16 + 28] ^= 1
    file = sound().patched(TABLES[1], sealed(bytes(page)))
    assert fixed(file, "REG-05") == sound()


def test_the_signature_comes_back_when_all_behind_it_is_sound():
    assert fixed(sound().patched(0, b"\0" * 8), "FID-01") == sound()


def test_a_foreign_file_is_not_made_a_vhdx_by_its_signature():
    plan = plan_of(fixtures.SparseFile(4 * MIB, ((0, b"conectix"),)))
    assert plan.is_empty
    assert not plan.opens
    assert plan.unfixable[0].code == "FID-01"


def test_what_cannot_be_fixed_is_said():
    plan = plan_of(sound().patched(HEADERS[0], bytes(128 * KIB)))
    assert plan.is_empty
    assert [finding.code for finding in plan.unfixable] == ["HDR-04", "HDR-01", "HDR-01"]


LIVE = [name for name in GOOD if name.startswith("log-") and name not in {"log-closed-entries", "log-parent"}]


@pytest.mark.parametrize("name", LIVE)
def test_a_live_log_is_applied_for_good_and_the_disk_reads_the_same(name):
    file = sound(name)
    before = image_from(SparseSource(file))
    if not before.header.log_is_live:
        pytest.skip("its leaf has no live log")
    plan = plan_of(file)
    after = result(file, plan)
    image = image_from(SparseSource(after))
    assert codes_of(plan)[:3] == ["LOG-01"] * 3
    assert not image.header.log_is_live
    assert image.file.size == before.source.size
    assert image.header.sequence_number == before.header.sequence_number + 2
    assert image.header.data_write_guid == before.header.data_write_guid
    assert image.header.file_write_guid != before.header.file_write_guid
    assert list(image.runs()) == [*before.runs()]
    assert plan_of(after).is_empty or set(codes_of(plan_of(after))) == {"BAT-13"}


def test_entries_behind_a_damaged_one_are_said_to_be_missing():
    plan = plan_of(sound("log-damaged-middle"))
    assert codes_of(plan) == ["LOG-01"] * 3
    assert [finding.code for finding in plan.unfixable] == ["LOG-05", "LOG-04"]


def test_a_view_reads_as_the_file_that_is_written():
    file = sound("log-override")
    plan = plan_of(file)
    view = SparseSource(file)
    for fix in plan.fixes:
        view = OverlaySource(view, fix.patches, plan.result_size)
    assert view.size == plan.result_size
    buffer = bytearray(view.size)
    view.read_into(0, memoryview(buffer))
    assert bytes(buffer) == result(file, plan).to_bytes()


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.verdict.name == "BAD"])
def test_every_bad_file_gives_a_plan_or_a_reason(name):
    for file in fixture_of(name).files.values():
        plan = plan_of(file)
        assert plan.opens or plan.unfixable
        assert not {"BAT-16", "BAT-17", "BAT-18"} & set(codes_of(plan))


def test_a_live_log_of_which_nothing_can_be_applied_is_closed_where_that_is_asked_for():
    damage = DAMAGES["live-log-without-entries"]
    file = damage.build().files[damage.healthy().leaf]
    source = SparseSource(file, Path("disk.vhdx"))
    kept, dropped = plan_repair(source, SAME), plan_repair(source, SAME, dead_log=DeadLog.DROP)
    assert not kept.opens
    assert not codes_of(kept)
    assert dropped.opens
    assert codes_of(dropped) == ["LOG-02"] * 2


def test_a_log_that_can_be_applied_is_applied_whatever_is_asked_for():
    file = sound("log-live")
    plan = plan_repair(SparseSource(file, Path("disk.vhdx")), SAME, dead_log=DeadLog.DROP)
    assert codes_of(plan) == codes_of(plan_of(file))


def unsummed(spec, *copies):
    """A file some of whose headers lack their checksums."""
    file = encode(spec)
    for copy in copies:
        file = file.patched(HEADERS[copy] + 4, b"sums")
    return file


EARLIER, LATER = Identity.of("earlier"), Identity.of("later")
WRITTEN_SINCE = ImageSpec(
    size=4 * MIB,
    identity=LATER,
    headers=(HeaderCopy(sequence=6, identity=EARLIER), HeaderCopy(sequence=7)),
)
"""A disk that was attached and written to again: its newer header alone has the identity that a child would name."""


def made_from(*identities):
    """Children beside the file."""
    return lambda: ((identity.data_write_guid, Path("leaf.avhdx")) for identity in identities)


@pytest.mark.parametrize("copies", [(1,), (0, 1)])
def test_a_header_that_a_child_was_made_from_gets_its_checksum_before_an_older_twin_is_believed(copies):
    broken, whole = unsummed(WRITTEN_SINCE, *copies), encode(WRITTEN_SINCE)
    plan = plan_repair(SparseSource(broken), SAME, children=made_from(LATER))
    assert "leaf.avhdx" in plan.fixes[0].evidence
    after = result(broken, plan)
    assert after.read(HEADERS[1], 4 * KIB) == whole.read(HEADERS[1], 4 * KIB)
    assert image_from(SparseSource(after)).data_write_guid == LATER.data_write_guid
    assert plan_of(after).is_empty


def test_a_header_is_not_believed_for_a_child_that_its_sound_twin_has_as_well():
    plan = plan_repair(SparseSource(unsummed(WRITTEN_SINCE, 1)), SAME, children=made_from(EARLIER, LATER))
    assert "written anew from copy 1" in plan.fixes[0].title


def test_a_header_whose_log_only_it_knows_is_not_believed_for_a_child():
    at = HEADERS[1] + 48  # the identity of the log
    broken = unsummed(WRITTEN_SINCE, 0, 1).patched(at, b"not in the twin ")
    assert not plan_repair(SparseSource(broken), SAME, children=made_from(LATER)).opens


def test_children_are_not_looked_for_where_both_headers_are_sound():
    assert plan_repair(SparseSource(sound()), SAME, children=lambda: pytest.fail("asked")).is_empty


def test_a_header_of_a_fixed_file_of_14_tib_comes_back_for_a_few_mib_of_reading():
    count, size = (14 << 40) // (256 * MIB), 256 * MIB
    blocks = {number: Block(state=BlockState.FULLY_PRESENT) for number in range(count)}
    spec = ImageSpec(size=count * size, block_size=size, provision=Provision.FIXED, blocks=blocks)
    source = CountingSource(SparseSource(unsummed(spec, 0, 1)))
    plan = plan_repair(source, SAME)
    assert plan.file_size > 14 << 40
    assert [fix.length for fix in plan.fixes] == [4, 4]
    assert plan.opens
    assert sum(length for _, length in source.reads) < 32 * MIB
